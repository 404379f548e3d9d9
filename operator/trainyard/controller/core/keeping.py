"""CheckpointsKept, the condition of jobs with checkpointConfig: is what they write to the directory in S3?"""

from __future__ import annotations

from trainyard.api.reasons import Reason
from trainyard.api.report import CheckpointReport
from trainyard.controller.core.snapshot import Snapshot

TYPE = "CheckpointsKept"


def claim(snapshot: Snapshot) -> tuple[bool, Reason, str] | None:
    """(holds, reason, message); None as long as nobody has said anything. Free of times and counters, as all that is written."""
    spec = snapshot.job.spec
    if spec is not None and spec.checkpoint_config is None:
        return None
    said = {pod.host: report.checkpoints for pod in snapshot.pods if (report := snapshot.report(pod)) is not None}
    told = {host: kept for host, kept in said.items() if kept is not None and _tells(kept)}
    troubles = [f"{host}: {kept.trouble}" for host, kept in told.items() if kept.trouble]
    if troubles:
        more = f"; and {len(troubles) - 3} more hosts" if len(troubles) > 3 else ""
        return False, Reason.CHECKPOINTS_NOT_KEPT, "; ".join(troubles[:3]) + more
    if told and len(told) == len(snapshot.pods):
        return True, Reason.CHECKPOINTS_KEPT, "What every host has written to the checkpoint directory is in S3"
    before = snapshot.job.condition(TYPE)
    if before is None:
        return None
    # Not every host has spoken since the operator was started, or since the job was: what was said stays said.
    held = before.status == "True"
    return held, Reason.CHECKPOINTS_KEPT if held else Reason.CHECKPOINTS_NOT_KEPT, before.message


def _tells(kept: CheckpointReport) -> bool:
    return kept.last_pass_at is not None or kept.trouble is not None
