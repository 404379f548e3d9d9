"""The end of a host's work: when to upload, when to commit, when to let `hold` go. A pure step function per tick.

algo-1 uploads for all: its own files, then each other host's, in rank order. The others wait for its word; one that must
leave before, or was committed without (its pod is being ended, algo-1 is gone or was ended itself), puts its share beside the job's artifacts itself.

Only a host whose end is a guess lets `hold` go early: the kubelet then makes it sure. One whose end is sure waits, however
long another one is silent: silence may be a kubelet that is away, and a pod that ends cannot wait for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from trainyard.agent.core.lifecycle import Over


class Work(StrEnum):
    """What the upload process has reached."""

    IDLE = "idle"
    BUSY = "busy"
    PREPARED = "prepared"  # every byte is in S3, nothing is visible yet
    UNPREPARED = "unprepared"  # preparing failed; it was ahead of time, and the commit will try again
    COMMITTED = "committed"
    FAILED = "failed"


class Step(StrEnum):
    """What to do now. Steps repeat until the facts change: doing one twice must be harmless."""

    WAIT = "wait"
    PREPARE = "prepare"
    COMMIT = "commit"
    RELEASE = "release"  # let `hold` go without a commit: only the kubelet can tell what is missing, and only then
    SHARE = "share"
    FINISH = "finish"


@dataclass(frozen=True)
class Peer:
    """What is known of another host. `lost`: it did not answer for longer than is patient.

    `prepared`: it has done what can be done before all ends are sure, so that a host which guesses may let its `hold` go.
    """

    over: Over = Over.NO
    lost: bool = False
    prepared: bool = False
    done: bool = False
    without_me: bool = False
    """It has committed without the files of the host that looks."""


@dataclass(frozen=True)
class View:
    """One host's picture at one tick."""

    rank: int
    over: Over
    work: Work
    peers: Mapping[str, Peer]
    """For algo-1: all others. For the others: algo-1 alone."""
    impatient: bool = False
    """This pod is being ended and has waited long enough for others."""
    may_release: bool = True
    """Is the end of training sure enough to let `hold` go?"""


def missing(view: View) -> list[str]:
    """Hosts whose files algo-1 does without."""
    return [name for name, peer in view.peers.items() if peer.lost or (view.impatient and peer.over is Over.NO)]


def next_step(view: View) -> Step:
    """The next step of this host."""
    if view.work is Work.COMMITTED or (view.work is Work.FAILED and view.over.final):
        return Step.FINISH
    if view.over is Over.NO or view.work is Work.FAILED:
        return Step.WAIT
    step = _leader(view) if view.rank == 0 else _follower(view)
    return Step.WAIT if step is Step.RELEASE and not view.may_release else step


def _leader(view: View) -> Step:
    present = [peer for name, peer in view.peers.items() if name not in missing(view)]
    if any(peer.over is Over.NO for peer in present):
        return Step.WAIT
    if view.over.final and (view.impatient or all(peer.over.final for peer in present)):
        return Step.COMMIT
    if view.work not in {Work.PREPARED, Work.UNPREPARED}:
        return Step.PREPARE
    return Step.WAIT if view.over.final else Step.RELEASE


def _follower(view: View) -> Step:
    leader = next(iter(view.peers.values()))
    if leader.done and not view.over.final:
        return Step.RELEASE
    if leader.done:
        return Step.SHARE if leader.without_me else Step.FINISH
    if view.over.final:
        return Step.SHARE if leader.lost or view.impatient else Step.WAIT
    return Step.RELEASE if leader.prepared or leader.lost else Step.WAIT
