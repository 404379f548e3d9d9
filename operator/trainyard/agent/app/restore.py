"""Checkpoints from S3 to every host, before training: taken and checked as a channel's objects are, and recorded as stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from trainyard.agent.adapters.ledger import Ledger
from trainyard.agent.adapters.tree import Tree
from trainyard.agent.app import filelook
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.shares import Share, Shares
from trainyard.agent.core import mirror
from trainyard.agent.core.layout import written_by_job
from trainyard.api.base import split_s3_uri
from trainyard.api.plan import ChannelPlan, CheckpointPlan, Plan

if TYPE_CHECKING:
    from trainyard.agent.app.store import Patience, Store
    from trainyard.agent.ports import StoredObject

FIELD = "checkpointConfig"


def take(settings: Settings, plan: Plan, kept: CheckpointPlan, store: Store, patience: Patience) -> Share:
    """All that lies below the S3 URI, except what the job itself writes there. Raises Refused, and ClientFailure for keys that
    cannot be files."""
    bucket, key = split_s3_uri(kept.s3_uri)
    prefix = mirror.prefix_of(key)
    output_bucket, output = split_s3_uri(plan.output_uri)

    def listing() -> Iterator[StoredObject]:
        for item in store.objects(bucket, prefix, patience):
            if mirror.local(item.key) or (bucket == output_bucket and written_by_job(item.key, prefix, output)):
                continue
            yield item

    # Beside the channels' files: a channel may have any name.
    return Shares(settings.state, 0, 1).take(ChannelPlan(name=FIELD, s3_uri=kept.s3_uri), bucket, prefix, listing)


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
