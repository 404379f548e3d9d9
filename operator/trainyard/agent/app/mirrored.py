"""The directories of a host that are kept in S3 while training runs: checkpoints, and folders that only go up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app.settings import Settings
from trainyard.api.plan import CheckpointPlan, FolderPlan, Plan

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Mirrored:
    """One directory: `below` lies in `root`, and may be what training made of it. `what`: its files, for people.

    `one_way`: files go up as they are and stay there. Else S3 has what the directory has, and only whole files.
    """

    what: str
    s3_uri: str
    local_path: str
    interval_seconds: float
    root: Path
    below: str
    ledger: Path
    uploads: Path
    one_way: bool

    def tree(self) -> Tree:
        return Tree(self.root, self.local_path, self.below)


def checkpoints(settings: Settings, kept: CheckpointPlan) -> Mirrored:
    return Mirrored(
        what=CHECKPOINTS,
        s3_uri=kept.s3_uri,
        local_path=kept.local_path,
        interval_seconds=kept.interval_seconds,
        root=settings.checkpoints,
        below="",
        ledger=settings.ledger,
        uploads=settings.checkpoint_uploads,
        one_way=False,
    )


def folder(settings: Settings, number: int, kept: FolderPlan) -> Mirrored:
    return Mirrored(
        what=kept.what,
        s3_uri=kept.s3_uri,
        local_path=kept.local_path,
        interval_seconds=kept.interval_seconds,
        root=settings.ml,
        below=kept.directory,
        ledger=settings.state / f"folder-{number}.db",
        uploads=settings.state / f"folder-{number}-uploads.json",
        one_way=True,
    )


def mirrored(settings: Settings, plan: Plan) -> list[Mirrored]:
    """Checkpoints first: they are worth most where there is little time."""
    kept = [checkpoints(settings, plan.checkpoints)] if plan.checkpoints is not None else []
    return kept + [folder(settings, number, each) for number, each in enumerate(plan.folders)]
