"""The native sidecar's first process: probe, clock, barrier, report. Small, and always there; the S3 work is the Worker's.

Everything it knows is in the state directory, so that after a restart it carries on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from dataclasses import replace
from typing import Any

from trainyard.agent.adapters import clock, files
from trainyard.agent.adapters.podinfo import PodInfo
from trainyard.agent.adapters.server import serve
from trainyard.agent.app import memory
from trainyard.agent.app.barrier import Barrier
from trainyard.agent.app.checkpoints import Checkpoints
from trainyard.agent.app.hosts import Hosts
from trainyard.agent.app.pipes import Pipes
from trainyard.agent.app.reporting import abandoned, compose, for_peers, metrics, not_begun
from trainyard.agent.app.routes import Routes
from trainyard.agent.app.settings import Settings
from trainyard.agent.app.worker import Worker
from trainyard.agent.core.finish import Step, View, Work, missing, next_step
from trainyard.agent.core.lifecycle import (
    Decision,
    Over,
    checkpoint_deadline,
    decide,
    deleting,
    outcome,
    unwanted,
    upload_deadline,
)
from trainyard.agent.core.pace import Pace
from trainyard.agent.errors import unexpected
from trainyard.api.names import agent_token
from trainyard.api.plan import Plan
from trainyard.api.reasons import Reason
from trainyard.api.report import Phase, Report, Result, StopOrder, StopReason, TrainingEnd

log = logging.getLogger(__name__)


class Sidecar:
    def __init__(self, settings: Settings, plan: Plan) -> None:
        self.settings = settings
        self.plan = plan
        self.barrier = Barrier(settings, plan)
        self.hosts = Hosts(settings, plan)
        self.facts = memory.load(settings, clock.now())
        self._wake = asyncio.Event()
        self.worker = Worker(settings, self._wake.set, self.facts.blocked_since)
        intervals = [each.interval_seconds for each in (plan.checkpoints, *plan.folders) if each is not None]
        self.checkpoints = Checkpoints(settings, self._wake.set, min(intervals)) if intervals else None
        self.pipes = Pipes(settings, plan)
        self.probes = 0
        self._rank = plan.rank(settings.host)
        self._podinfo = PodInfo(settings.podinfo)
        kept = files.read_json(settings.report)
        self.final: Report | None = None
        self._kept = Report.from_dict(kept) if kept else None
        self.coming = Pace(settings.timing.pace)
        self._trouble = ""
        self.prepared = settings.release.exists()

    # What the outside tells

    def probed(self) -> bool:
        """One liveness request: may training live on?"""
        now = clock.now()
        live = self._decide(now).live
        first = self.facts.first_probe is None
        before = self.facts
        self.facts = before.probed(now, live)
        self.probes += 1
        if first or self.facts.refused_at != before.refused_at:
            memory.save(self.settings, self.facts)
            self._wake.set()
        return live

    def prestop(self) -> None:
        # At an ordinary end preStop follows the release; before it, only a deletion can be the reason, or anyone who plays
        # the kubelet: what probes have refuted must not hide the real one.
        known = deleting(self.facts, self.settings.timing)
        if not known and self.facts.ended is None and not self.settings.release.exists():
            self._learn(deleted_at=clock.now())

    def training_ended(self, end: TrainingEnd) -> None:
        if self.facts.ended is None:
            self._learn(ended=end)

    def terminated(self) -> None:
        if self.facts.terminated_at is None:
            self._learn(terminated_at=clock.now())

    def leader_says(self, answer: dict[str, Any]) -> None:
        self.hosts.heard(self.plan.hosts[0].name, answer)
        self._wake.set()

    def _learn(self, **facts: Any) -> None:
        self.facts = replace(self.facts, **facts)
        memory.save(self.settings, self.facts)
        self._wake.set()

    # What the outside is told

    def report(self) -> Report:
        return self.final or compose(self, self._decide(clock.now()))

    def state(self) -> dict[str, Any]:
        """What other hosts need to know."""
        return for_peers(self, self._decide(clock.now()))

    def metrics(self) -> str:
        return metrics(self)

    # The loop

    async def run(self) -> None:
        """Until SIGTERM has come and all is done."""
        self.settings.scratch.mkdir(parents=True, exist_ok=True)
        memory.save(self.settings, self.facts)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.terminated)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        token = agent_token(self.plan.job.uid, self.plan.job.attempt)
        servers = await serve(Routes(self, token), self.settings.bind, self.settings.port)
        while not (self.final and self.facts.terminated_at is not None):
            try:
                await self._tick()
            except Exception as error:
                # The probe must be answered whatever happens here. What lasts is said once: the log's disk may be what is full.
                if self._trouble != repr(error):
                    self._trouble = repr(error)
                    log.exception("a tick failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self.settings.timing.poll)
            self._wake.clear()
        # A host that is told late asks itself: give those that still wait for this one's word a moment.
        if self._rank == 0 and self.final and self.final.result is not Result.ABANDONED:
            await self.hosts.tell_committed(self.state())
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # all is said: leave in peace
        await self.pipes.close()
        await self.worker.close()
        if self.checkpoints is not None:
            await self.checkpoints.close()
        for server in servers:
            server.close()

    async def _tick(self) -> None:
        if self.final:
            return
        if self._kept:
            self._finish(self._kept)  # the former process may have been ended in the middle, and the log is a new one
            return
        self._look()
        now = clock.now()
        decision = self._decide(now)
        if decision.abandoned:
            self._finish(abandoned(self, decision))
            return
        await self.pipes.attend(decision.over, staged=self.facts.staged_at is not None)
        if self.pipes.failure and self.facts.stop is None and not decision.over.final:
            # Nothing else keeps training from going on with a part of its data.
            self._learn(stop=StopOrder(reason=StopReason.INPUT_FAILED, message=self.pipes.failure))
        if self.facts.first_probe is not None and self._rank == 0:
            await self.worker.warm()
        if decision.over is not Over.NO:
            await self.hosts.look()
        elif self.worker.work not in {Work.IDLE, Work.COMMITTED} or self.facts.upload_began is not None:
            await self._resume()
        if await self._mirrored(decision, now):
            await self._step(decision, now)
        if self.worker.blocked_since != self.facts.blocked_since:
            self._learn(blocked_since=self.worker.blocked_since)

    async def _resume(self) -> None:
        """The end was none: training goes on. `hold` may be gone, which harms nobody while training is there."""
        log.warning("training was taken for ended, and is not")
        self.prepared = False
        await self.worker.start_over()
        self._learn(upload_began=None, blocked_since=None)

    def _look(self) -> None:
        """Reads what the operator and `stage` left in files."""
        if self.facts.stop is None and self._decide(clock.now()).over is Over.NO and (order := self._podinfo.stop()):
            self._learn(stop=order)
        if self.facts.ended is None and (end := self._podinfo.training_end()):
            self._learn(ended=end)
        if self.facts.staged_at is None:
            stage = files.read_json(self.settings.stage_progress)
            if stage.get("phase") == Phase.STAGED.value:
                self._learn(staged_at=float(stage["entered"]))

    def _decide(self, now: float) -> Decision:
        facts = self.facts
        may_be_short = facts.first_probe is None and (facts.terminated_at is not None or facts.ended is not None)
        has_files = may_be_short and any(files.has_files(self.settings.tree(name)) for name in ("model", "output"))
        return decide(facts, now, self.settings.timing, self.plan.max_runtime_seconds, has_files=has_files)

    async def _mirrored(self, decision: Decision, now: float) -> bool:
        """Are the checkpoints in S3, or given up, so that the artifacts may follow?"""
        kept = self.checkpoints
        if kept is None or (self.facts.first_probe is None and decision.over is Over.NO):
            return True
        if self.facts.upload_began is None and decision.over.final:
            self._learn(upload_began=now)
        timing, plan = self.settings.timing, self.plan
        failed, budget = self._word(decision) in {"Failed", "Interrupted"}, plan.deletion_budget_seconds
        hold, blocked = plan.upload_hold_seconds, kept.blocked_since
        until = checkpoint_deadline(self.facts, timing, blocked, hold, failed=failed, budget=budget)
        hurry = not decision.live or deleting(self.facts, timing)
        return await kept.attend(now, decision.over, until, hurry=hurry)

    def _word(self, decision: Decision) -> str:
        """The manifest's for how the job has ended, as far as this host knows."""
        word = outcome(self.facts, decision, bool(self.hosts.failed))
        lost = self.checkpoints is not None and self.checkpoints.lost is not None
        return "Failed" if lost and word == "Completed" else word

    async def _step(self, decision: Decision, now: float) -> None:
        since = self.facts.terminated_at or (self.facts.deleted_at if decision.over is Over.SNAPSHOT else None)
        impatient = since is not None and now - since >= self.settings.timing.peer_wait
        view = View(
            self._rank, decision.over, self.worker.work, self.hosts.view(), impatient, may_release=decision.may_release
        )
        word = self._word(decision)
        match next_step(view):
            case Step.WAIT:
                return
            case Step.PREPARE:
                await self._want("prepare", decision, word, missing(view))
            case Step.COMMIT:
                await self._want("commit", decision, word, missing(view))
            case Step.SHARE:
                await self._want("share", decision, word, [])
            case Step.RELEASE:
                self._release()
            case Step.FINISH:
                await self._concluded()

    async def _want(self, command: str, decision: Decision, word: str, without: list[str]) -> None:
        now = clock.now()
        timing = self.settings.timing
        if self.facts.upload_began is None and decision.over.final:
            self._learn(upload_began=now)
        hold, budget = self.plan.upload_hold_seconds, self.plan.deletion_budget_seconds
        if decision.over.final and unwanted(self.facts, budget):
            text = "ClientError: Artifact upload failed:the job was deleted, and deletionBudgetSeconds is 0"
            await self.worker.give_up(Reason.ARTIFACT_UPLOAD_FAILED.value, text)
            return
        until = upload_deadline(self.facts, timing, hold, word in {"Failed", "Interrupted"}, budget)
        overdue = -1.0 if until is None else now - until
        stuck = overdue >= timing.worker_stuck or self.worker.quiet(now) >= timing.quiet
        if stuck and decision.over.final:
            why = self.worker.refusal or "the upload process does not answer"
            text = f"InternalServerError: Artifact upload failed:{why}"
            await self.worker.give_up(Reason.ARTIFACT_UPLOAD_FAILED.value, text)
            return
        await self.worker.want(command, outcome=word, missing=without)
        if overdue >= 0:
            await self.worker.enough()

    async def _concluded(self) -> None:
        """The report follows from what the worker, or algo-1, has said."""
        decision = self._decide(clock.now())
        if without := self.worker.answer.get("missing"):
            self._learn(committed_without=without)
        self._finish(compose(self, decision))
        if self._rank == 0:
            await self.hosts.tell_committed(self.state())

    def _release(self) -> None:
        if not self.prepared:
            files.write_whole(self.settings.release, "")
            self.prepared = True

    def _finish(self, report: Report) -> None:
        """The report first, then the release: whoever sees `hold` gone finds the report. Final is what could be written."""
        files.write_whole(self.settings.report, report.to_json())
        files.write_in_place(self.settings.termination_log, report.to_termination_message())
        files.write_whole(self.settings.release, "")
        self.final = report
        log.info("%s", report.to_json())


def main(settings: Settings) -> int:
    """0: what happened is in the report. 1: it could not even begin; the kubelet starts it again."""
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
        plan = Plan.from_json(settings.plan.read_bytes())
        asyncio.run(Sidecar(settings, plan).run())
    except Exception as error:
        log.exception("cannot go on")
        report = not_begun(settings.host, unexpected(error))
        files.write_in_place(settings.termination_log, report.to_termination_message())
        return 1
    return 0
