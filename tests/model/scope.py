"""What one exploration covers: jobs, operators, what the user does, what may go wrong and how often."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.kube import BOUND, NEW, STAGING, TRAINING, UPLOADING

FINE = (NEW, BOUND, STAGING, TRAINING, UPLOADING)
COARSE = (NEW, TRAINING)
MIDDLE = (NEW, STAGING, TRAINING, UPLOADING)


@dataclass(frozen=True)
class JobKind:
    """A manifest. Two with the same `training_name` want the same trainingJobName. Times in seconds."""

    name: str
    hosts: int = 1
    training_name: str = ""
    max_runtime: int = 86400
    retries: int = 0
    spot: bool = False
    max_wait: int | None = None
    max_pending: int | None = None
    ttl: int | None = None


@dataclass(frozen=True)
class Scope:
    """`users`: scripts that run beside each other, each a sequence of "create A", "stop A", "suspend A",
    "resume A", "delete A".

    `faults` counts crashes, lost events, lost requests and lost answers together; `losses` counts what becomes of pods by
    somebody else's hand (`loss_kinds`). `interrupts`: events arrive, and answers linger, also within a pass. `workers`: passes
    of one operator at a time. `epochs`: how often all timeouts may run out before they do so because nothing else happens.
    `passes`: of the second operator, None for as many as it wants. `opening`: steps that come first, named by a part of
    their label; all that is possible from there on is explored. `coalesce`: status writes may have to wait for their interval.
    `reduced`: of steps that belong to different jobs, and touch nothing in common, one order is explored for all (`Reduction`).
    `depth`: steps after which it is left as it is, None to go on to the end. `lease`: one operator leads, and a fault may be that
    it loses the lease, with a request under way. `fence`: whether agents keep to it.
    """

    name: str
    jobs: tuple[JobKind, ...] = (JobKind("a"),)
    users: tuple[tuple[str, ...], ...] = (("create a",),)
    operators: int = 1
    faults: int = 0
    fault_kinds: frozenset[str] = frozenset({"crash", "event", "request", "answer"})
    losses: int = 0
    loss_kinds: frozenset[str] = frozenset({"vanish", "evict", "delete", "dead"})
    path: tuple[str, ...] = FINE
    codes: tuple[int, ...] = (0, 1)
    results: tuple[str, ...] = ("Committed",)
    troubles: frozenset[str] = field(default_factory=frozenset)
    interrupts: bool = False
    workers: int = 1
    epochs: int = 0
    passes: int | None = None
    coalesce: bool = False
    opening: tuple[str, ...] = ()
    reduced: bool = False
    depth: int | None = None
    lease: bool = False
    fence: bool = True
    most_states: int = 2_000_000

    def __post_init__(self) -> None:
        if any(kind.hosts > 1 for kind in self.jobs):
            assert len(self.jobs) == 1, "hosts are counted for one job"
            assert {STAGING, UPLOADING} <= set(self.path), (
                "hosts wait for each other before training, and with the upload"
            )

        if self.reduced:
            names = [kind.training_name or kind.name for kind in self.jobs]
            assert len(names) == len(set(names)), "jobs with one trainingJobName are not independent"
            order = [kind.name for kind in self.jobs]
            scripts = [[order.index(command.split()[1]) for command in script] for script in self.users]
            assert all(script == sorted(script) for script in scripts), (
                "a step of one job waits for one of the next job"
            )
            assert (self.workers, self.interrupts, self.epochs) == (1, False, 0), "steps of different jobs would mix"
            assert not self.losses or "dead" not in self.loss_kinds, "jobs share their nodes"

    def kind(self, name: str) -> JobKind:
        return next(kind for kind in self.jobs if kind.name == name)
