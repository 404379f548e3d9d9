"""Checkpoints from S3 to every host, before training: taken and checked as a channel's objects are, and recorded as stored."""

from __future__ import annotations

from trainyard.agent.adapters.ledger import Ledger
from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app import filelook
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.shares import Share
from trainyard.agent.app.sources import Sources
from trainyard.agent.core import mirror
from trainyard.api.plan import ChannelPlan, CheckpointPlan

FIELD = "checkpointConfig"


def share(settings: Settings, kept: CheckpointPlan, sources: Sources) -> Share:
    """All of them. Beside the channels' files, for a channel may have any name."""
    return Share(ChannelPlan(name=FIELD, s3_uri=kept.s3_uri), sources.kept(kept), settings.state)


def record(settings: Settings, kept: CheckpointPlan) -> None:
    """Before training begins: what is in the directory came from S3, and what vanishes from it is to be deleted there."""
    tree = Tree(settings.checkpoints, kept.local_path)
    ledger = Ledger(settings.ledger)
    with tree.root() as root:
        ledger.adopt(
            (mirror.to_key(path), filelook.signature(status))
            for path, status in tree.glance(root)
            if status is not None
        )
    ledger.close()
