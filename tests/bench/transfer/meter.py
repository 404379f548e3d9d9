"""`meter.py OUT COMMAND...`: runs a command, and writes what it took as JSON: seconds, CPU seconds and peak memory in bytes.

A program of its own, and a small one: the peak memory of a process that was just started is at least that of who started it. With
children that it waited for, CPU is of all together and memory of the largest.
"""

import json
import os
import sys
import time


def main() -> int:
    out, *command = sys.argv[1:]
    at, began = time.time(), time.monotonic()
    pid = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - began
    with open(out, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib would be a third of its memory
        json.dump(
            {"at": at, "seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "rss": usage.ru_maxrss * 1024}, file
        )
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
