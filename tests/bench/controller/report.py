"""The table for people, and the last line for programs."""

from __future__ import annotations

import json
import statistics

from tests.bench.controller.cells import Cell, control_plane
from tests.bench.controller.loads import BARE, BATCH_JOB, OURS

HEAD = (
    f"{'jobs x pods':12}{'contender':16}{'all pods s':>11}{'all done s':>11}{'jobs/s':>8}{'pods/s':>8}{'->pod p50':>10}{'p99 ms':>8}"
    f"{'writes/job':>11}{'refused':>8}{'cp ms/job':>10}{'api':>6}{'kwok':>6}{'op':>6}{'RSS MiB':>12}"
)


def row(cell: Cell) -> str:
    times = cell.times
    rss = f"{cell.rss[0]:.0f} - {cell.rss[1]:.0f}" if cell.rss[1] else "-"
    return (
        f"{f'{cell.jobs} x {cell.hosts}':12}{cell.contender:16}{times.pods_exist:11.2f}{times.finished:11.2f}"
        f"{cell.jobs / times.finished:8.1f}{times.pods / times.pods_exist:8.1f}"
        f"{quantile(times.waits, 0.5) * 1000:10.0f}{quantile(times.waits, 0.99) * 1000:8.0f}"
        f"{cell.writes_per_job:11.2f}{cell.failures:8}{cell.per_job(control_plane(cell)):10.1f}"
        + "".join(f"{cell.per_job(cell.cpu.get(name, 0)):6.1f}" for name in ("kube-apiserver", "kwok", "operator"))
        + f"{rss:>12}"
    )


def quantile(values: list[float], share: float) -> float:
    """Of few values the upper ones are the maximum."""
    if len(values) < 2:
        return values[0] if values else 0.0
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


def lines(cells: list[Cell]) -> None:
    """The table, and below it what the controllers wrote."""
    print(HEAD)
    for cell in cells:
        print(row(cell))
    print("\nwrites of the controller itself, per job")
    for cell in cells:
        if cell.writes:
            told = ", ".join(f"{kind} {count / cell.jobs:.2f}" for kind, count in cell.writes.most_common())
            print(f"{f'{cell.jobs} x {cell.hosts}':12}{cell.contender:16}{told}")


def show(bursts: list[Cell], slow: list[Cell], memory_mb: float) -> None:
    lines([*bursts, *slow])
    print(json.dumps(figures(bursts, slow, memory_mb)))


def figures(bursts: list[Cell], slow: list[Cell], memory_mb: float) -> dict[str, float]:
    """Of the largest burst of one-pod jobs, and of the slow jobs."""
    largest = max(cell.jobs for cell in bursts if cell.hosts == 1)
    cells = {cell.contender: cell for cell in bursts if cell.hosts == 1 and cell.jobs == largest}
    ours, batch, bare = (cells[contender.name] for contender in (OURS, BATCH_JOB, BARE))
    lone = next(cell for cell in slow if cell.contender == OURS.name)
    return {
        "vs_batch_job": round(batch.times.finished / ours.times.finished, 2),
        "vs_bare_loader": round(bare.times.pods_exist / ours.times.pods_exist, 2),
        "writes_per_job_burst": round(ours.writes_per_job, 2),
        "writes_per_job_slow": round(lone.writes_per_job, 2),
        "control_plane_cpu_ms_per_job": round(ours.per_job(control_plane(ours)), 1),
        "idle_p50_ms": round(quantile(lone.times.waits, 0.5) * 1000, 1),
        "idle_p99_ms": round(quantile(lone.times.waits, 0.99) * 1000, 1),
        "mb_per_1000_jobs": round(memory_mb * 1000, 1),
    }
