"""`make bench-controller`: TrainingJobs beside batch/v1 Jobs and bare pods, on control planes of their own.

Bursts of 100 and 1,000 one-pod jobs and 100 x 8 pods, then one slow job every two seconds. Contenders take turns; nothing else
of the benchmark runs meanwhile. Prints a table, then one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from hack import tools
from hack.console import guarded
from tests.bench.controller import cells, report, stages
from tests.bench.controller.loads import BARE, BATCH_JOB, OURS, UNATTENDED

FULL, SHORT = ((100, 1), (1000, 1), (100, 8)), ((30, 1), (10, 8))


def _interrupted(*_: object) -> None:
    """As Ctrl-C: what was started is stopped."""
    raise KeyboardInterrupt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="small loads, to try it out: its figures mean nothing")
    parser.add_argument("--bursts", nargs="*", metavar="JOBSxPODS", help="other bursts, as 100x1")
    parser.add_argument("--only-ours", action="store_true", help="no peers and no JSON: for work on the operator")
    parser.add_argument(
        "--slow-pods", action="store_true", help="with --only-ours: each state of a pod lasts a second or more"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupted)
    tools.ensure(tools.KWOK)
    asyncio.run(measure(options))


async def measure(options: argparse.Namespace) -> None:
    chosen: tuple[tuple[int, int], ...] = SHORT if options.short else FULL
    if options.bursts is not None:
        chosen = tuple((int(jobs), int(pods)) for jobs, _, pods in (text.partition("x") for text in options.bursts))
    if options.only_ours:
        for jobs, hosts in chosen:
            report.lines([await cells.burst(OURS, jobs, hosts, stages.SLOW if options.slow_pods else stages.QUICK)])
        return
    bursts = [await cells.burst(who, *load) for load in chosen for who in (BARE, BATCH_JOB, UNATTENDED, OURS)]
    slow = [await cells.idle(who, 5 if options.short else 30) for who in (BATCH_JOB, OURS)]
    memory = await cells.memory(max(jobs for jobs, _ in chosen))
    report.show(bursts, slow, memory * 1.048576)


if __name__ == "__main__":
    guarded(main)
    sys.exit(0)
