"""The sidecar's report and metrics, made from what it knows at the moment."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from trainyard.agent.adapters import clock, files
from trainyard.agent.core.finish import Work
from trainyard.agent.core.lifecycle import Decision, Over
from trainyard.agent.errors import AgentError, readable
from trainyard.api.names import FAILURE_REASON_CHARS
from trainyard.api.reasons import Reason
from trainyard.api.report import Artifact, CheckpointReport, Phase, Report, Result, StopReason

if TYPE_CHECKING:
    from trainyard.agent.app.sidecar import Sidecar

FULL_BYTES = 1 << 20
"""Free on a volume that is called full."""


def compose(sidecar: Sidecar, decision: Decision) -> Report:
    """The report as of now; with a result once the worker or algo-1 is done."""
    facts = sidecar.facts
    stage = files.read_json(sidecar.settings.stage_progress)
    report = Report(
        host=sidecar.settings.host,
        phase=_phase(sidecar, decision, stage),
        stop_reason=decision.stop,
        stop_message=_stop_message(sidecar, decision),
        training_started_at=_wall(facts.first_probe),
        training_ended_at=_wall(facts.last_probe) if decision.over is not Over.NO else None,
        objects=stage.get("objects"),
        bytes=stage.get("bytes"),
        failure=_failure(sidecar, decision),
        checkpoints=_checkpoints(sidecar),
    )
    update = (
        _kept(sidecar, _ending(sidecar, decision))
        or _news(sidecar, report.phase, stage)
        or _full(sidecar, report.phase)
        or _slow(sidecar, report.phase, stage)
    )
    if message := update.get("message"):
        update["message"] = readable(message)
    return report.but(**update)


def _checkpoints(sidecar: Sidecar) -> CheckpointReport | None:
    """Of a job that keeps any."""
    if sidecar.checkpoints is None or sidecar.plan.checkpoints is None:
        return None
    return sidecar.checkpoints.report()


def not_begun(host: str, error: AgentError) -> Report:
    """The sidecar cannot even start."""
    return Report(
        host=host,
        phase=Phase.STARTING,
        result=Result.FAILED,
        reason=error.reason.value,
        message=error.message,
    )


def abandoned(sidecar: Sidecar, decision: Decision) -> Report:
    """Training never ran. How far staging had come helps where that could not say it itself."""
    stage = files.read_json(sidecar.settings.stage_progress)
    listed = stage.get("listed") if stage.get("phase") == Phase.STAGING.value else None
    return Report(
        host=sidecar.settings.host,
        phase=Phase.DONE,
        result=Result.ABANDONED,
        stop_reason=decision.stop,
        message=f"{listed} objects were listed." if listed else None,
    )


def for_peers(sidecar: Sidecar, decision: Decision) -> dict[str, Any]:
    """What other hosts need to know of this one."""
    ended, final = sidecar.facts.ended, sidecar.final
    exit_code = None if decision.stop or not ended else ended.exit_code
    return {
        "host": sidecar.settings.host,
        "over": decision.over.value,
        "failed": exit_code not in {0, None} or decision.stop is StopReason.INPUT_FAILED,
        "prepared": sidecar.prepared or sidecar.worker.work in {Work.PREPARED, Work.UNPREPARED},
        "missing": list(sidecar.facts.committed_without),
        "result": final.result.value if final and final.result else None,
        "reason": final.reason if final else None,
        "message": final.message if final else None,
    }


def _wall(moment: float | None) -> datetime | None:
    return None if moment is None else clock.wall_at(moment)


def _phase(sidecar: Sidecar, decision: Decision, stage: dict[str, Any]) -> Phase:
    if decision.over is not Over.NO:
        return Phase.UPLOADING
    if sidecar.facts.first_probe is not None:
        return Phase.TRAINING
    return Phase(stage.get("phase", Phase.STARTING))


def _stop_message(sidecar: Sidecar, decision: Decision) -> str | None:
    """Only of a stop that is the agent's own: the operator knows the words of its orders."""
    order = sidecar.facts.stop
    return readable(order.message) if order and decision.stop is order.reason is StopReason.INPUT_FAILED else None


def _failure(sidecar: Sidecar, decision: Decision) -> str | None:
    """What training wrote about its failure, unless it is known to have had none."""
    ended = sidecar.facts.ended
    if decision.over is Over.NO or (ended is not None and ended.exit_code == 0):
        return None
    return files.read_text(sidecar.settings.ml / "output/failure", FAILURE_REASON_CHARS)


def _news(sidecar: Sidecar, phase: Phase, stage: dict[str, Any]) -> dict[str, Any]:
    """Why things take their time, if anything is known."""
    blocked = {Phase.STAGING: stage.get("message"), Phase.TRAINING: sidecar.pipes.blocked}
    if sidecar.worker.refusal:
        return {"reason": Reason.UPLOAD_BLOCKED.value, "message": sidecar.worker.refusal}
    if why := blocked.get(phase):
        return {"reason": Reason.DOWNLOAD_BLOCKED.value, "message": why}
    if phase in {Phase.TRAINING, Phase.UPLOADING} and sidecar.checkpoints is not None and sidecar.checkpoints.refusal:
        return _not_kept(sidecar, phase, sidecar.checkpoints.refusal)
    if phase is Phase.WAITING:
        return {"reason": Reason.WAITING_FOR_HOSTS.value, "message": stage.get("message")}
    if phase is Phase.UPLOADING and sidecar.hosts.unreachable:
        return {"message": f"cannot reach {', '.join(sidecar.hosts.unreachable)}"}
    return {}


def _slow(sidecar: Sidecar, phase: Phase, stage: dict[str, Any]) -> dict[str, Any]:
    """How fast it goes, where that is slow."""
    if phase is Phase.STAGING and (pace := sidecar.coming.look(stage.get("came", 0), stage.get("coming", 0))):
        text = f"the data of {sidecar.settings.host} comes from S3 at {pace}"
        return {"reason": Reason.DOWNLOAD_SLOW.value, "message": text}
    if phase is Phase.UPLOADING and (pace := sidecar.worker.pace.slow):
        text = f"S3 takes what {sidecar.settings.host} sends at {pace} for each connection"
        return {"reason": Reason.UPLOAD_SLOW.value, "message": text}
    return {}


def _full(sidecar: Sidecar, phase: Phase) -> dict[str, Any]:
    """What the program is told as ENOSPC, and may not tell anybody."""
    if phase is not Phase.TRAINING or (free := files.free_bytes(sidecar.settings.ml)) >= FULL_BYTES:
        return {}
    text = (
        f"the storage volume of {sidecar.settings.host} is full ({free} bytes are free): what its program writes is refused. Let it write"
        " less under /opt/ml, or ask for more with resourceConfig.volumeSizeInGB"
    )
    return {"reason": Reason.DISK_FULL.value, "message": text}


def _not_kept(sidecar: Sidecar, phase: Phase, message: str) -> dict[str, Any]:
    """While training runs, checkpoints have a reason of their own: what is lost of them is worth most."""
    kept = _checkpoints(sidecar)
    lost = phase is Phase.TRAINING and kept is not None and bool(kept.trouble)
    reason = Reason.CHECKPOINTS_NOT_KEPT if lost else Reason.UPLOAD_BLOCKED
    return {"reason": reason.value, "message": message}


def _ending(sidecar: Sidecar, decision: Decision) -> dict[str, Any]:
    """Result, reason, message and artifacts; nothing while the work goes on."""
    answer = sidecar.worker.answer
    leader = sidecar.hosts.leader
    match sidecar.worker.work:
        case Work.FAILED:
            ending = {"result": Result.FAILED, "reason": answer["reason"], "message": answer["message"]}
        case Work.COMMITTED:
            ending = _committed(sidecar, answer)
        case _ if leader.get("result") and decision.over.final and sidecar.settings.host not in leader["missing"]:
            ending = {
                "result": Result(leader["result"]),
                "reason": leader.get("reason"),
                "message": leader.get("message"),
            }
        case _:
            return {}
    return {"phase": Phase.DONE} | ending


def _kept(sidecar: Sidecar, ending: dict[str, Any]) -> dict[str, Any]:
    """The ending of a host whose checkpoints, or files of another folder, are not all in S3: a success is none then."""
    if sidecar.checkpoints is None or sidecar.checkpoints.lost is None or ending.get("result") is not Result.COMMITTED:
        return ending
    reason, message = sidecar.checkpoints.lost
    return ending | {
        "result": Result.FAILED,
        "reason": reason,
        "message": f"{message} This is about {sidecar.checkpoints.lost_what or 'checkpoints'}; the model is in S3.",
    }


def _committed(sidecar: Sidecar, answer: dict[str, Any]) -> dict[str, Any]:
    ending: dict[str, Any] = {"artifacts": [Artifact.from_dict(artifact) for artifact in answer["artifacts"]]}
    failed = {"result": Result.FAILED, "reason": Reason.ARTIFACT_UPLOAD_FAILED.value}
    if not answer["joint"]:
        uris = ", ".join(artifact.uri for artifact in ending["artifacts"]) or "none"
        me = sidecar.settings.host
        why = f"algo-1 was lost before it had the files of {me}; they"
        if sidecar.hosts.leader.get("result"):
            why = f"algo-1 had to commit before {me} had ended; its files"
        elif not sidecar.hosts.unreachable and (sidecar.facts.terminated_at or sidecar.facts.deleted_at):
            why = f"{me} had to leave before algo-1 had ended; its files"
        text = f"{why} are kept apart: {uris}"
        return ending | failed | {"message": f"InternalServerError: Artifact upload failed:{text}"}
    if answer["missing"]:
        text = f"the files of {', '.join(answer['missing'])} are missing: the host could not be reached when training had ended"
        return ending | failed | {"message": f"InternalServerError: Artifact upload failed:{text}"}
    if answer["unreadable"]:
        some = ", ".join(answer["unreadable"][:5])
        text = (
            f"{len(answer['unreadable'])} files cannot be read by the agent (such as {some}); all others are uploaded. "
            f"Let training create them readable for its group and others, or use the baseline security mode."
        )
        return ending | failed | {"message": f"ClientError: Artifact upload failed:{text}"}
    if answer["unfit"]:
        some = ", ".join(answer["unfit"][:5])
        text = (
            f"{len(answer['unfit'])} files have names or sizes that S3 does not take (such as {some}); all others are uploaded. "
            f"Rename them, or use outputDataConfig.compressionType GZIP."
        )
        return ending | failed | {"message": f"ClientError: Artifact upload failed:{text}"}
    remarks = list(answer["warnings"][:3])
    if answer["skipped"]:
        remarks.append(
            f"{answer['skipped']} entries were left out or changed while they were read; the manifest lists them"
        )
    return ending | {"result": Result.COMMITTED, "message": "; ".join(remarks) or None}


def metrics(sidecar: Sidecar) -> str:
    """Prometheus text. No label carries anything a user wrote."""
    stage = files.read_json(sidecar.settings.stage_progress)
    values = {
        "trainyard_agent_staged_objects": stage.get("objects", 0),
        "trainyard_agent_staged_bytes": stage.get("bytes", 0),
        "trainyard_agent_staging_fallbacks_total": stage.get("fallbacks", 0),
        "trainyard_agent_staging_damaged_total": stage.get("damaged", 0),
        "trainyard_agent_liveness_requests_total": sidecar.probes,
        "trainyard_agent_upload_refusals_total": sidecar.worker.refusals,
        "trainyard_agent_sent_bytes": sidecar.worker.sent,
        "trainyard_agent_upload_restarts_total": sidecar.worker.deaths,
        "trainyard_agent_done": int(sidecar.final is not None),
    }
    if (kept := _checkpoints(sidecar)) is not None and sidecar.checkpoints is not None:
        values |= {
            "trainyard_agent_checkpoint_files": kept.files,
            "trainyard_agent_checkpoint_uploads_total": kept.uploaded,
            "trainyard_agent_checkpoint_uploaded_bytes_total": kept.uploaded_bytes,
            "trainyard_agent_checkpoint_deletions_total": kept.deleted,
            "trainyard_agent_checkpoint_refusals_total": sidecar.checkpoints.refusals,
            "trainyard_agent_checkpoint_in_step_timestamp_seconds": (
                kept.last_pass_at.timestamp() if kept.last_pass_at else 0
            ),
        }
    return "".join(f"{name} {value}\n" for name, value in values.items())
