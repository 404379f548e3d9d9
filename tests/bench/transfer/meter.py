"""`meter.py OUT COMMAND...`: runs a command, and writes what it took as JSON: seconds, CPU seconds and peak memory in bytes.

A program of its own, and a small one: the peak memory of a process that was just started is at least that of who started it. CPU and
memory are of the command and its children together: of memory the sum of what each had at most, which they need not have had at once.
"""

import json
import os
import select
import sys
import time

LOOK_MS = 10


def peaks(pid: int) -> dict[int, int]:
    """Of that process and its children the most bytes so far."""
    found = {}
    try:
        processes = [pid]
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - see below
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:  # noqa: PTH123 - see below
                processes += map(int, file.read().split())
        for each in processes:
            with open(f"/proc/{each}/status", encoding="ascii") as file:  # noqa: PTH123 - see below
                lines = [line for line in file if line.startswith("VmHWM:")]
            found[each] = sum(int(line.split()[1]) * 1024 for line in lines)
    except OSError:
        pass  # it has just ended
    return found


def main() -> int:
    out, *command = sys.argv[1:]
    at, began = time.time(), time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    most: dict[int, int] = {}
    end = select.poll()
    end.register(os.pidfd_open(pid), select.POLLIN)
    while not end.poll(LOOK_MS):
        for process, size in peaks(pid).items():
            most[process] = max(size, most.get(process, 0))
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - began
    children = sum(size for process, size in most.items() if process != pid)
    rss = max(usage.ru_maxrss * 1024, most.get(pid, 0) + children)
    with open(out, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib would be a third of its memory
        json.dump({"at": at, "seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "rss": rss}, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
