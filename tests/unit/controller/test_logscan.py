"""Following logs, against an apiserver that streams, breaks off, rotates, refuses and forgets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.support import objects as o
from tests.support.kubelet import Kubelet
from tests.unit.controller.test_logmetrics import JOB, SECOND, defining
from trainyard.controller.adapters.cache import Key
from trainyard.controller.app import logscan as module
from trainyard.controller.app.logscan import LogScan
from trainyard.controller.app.metrics import Metrics
from trainyard.controller.app.workqueue import WorkQueue
from trainyard.controller.core.job import Job
from trainyard.controller.core.observed import Pod, as_gone
from trainyard.controller.core.policies import decide
from trainyard.controller.core.reading import Reading
from trainyard.controller.core.status import reduce

KEY = (o.NAMESPACE, o.NAME)
NOW = 1_795_508_140 * SECOND


async def until(what: str, probe: Callable[[], Any], within: float = 5) -> Any:
    """The first truthy answer."""
    deadline = time.monotonic() + within
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}; last: {answer!r}"
        await asyncio.sleep(0.005)
    return answer


def name(host: str = "algo-1") -> str:
    return f"{o.NAME}-1-{host}"


@dataclass
class Rig:
    kubelet: Kubelet
    scan: LogScan
    queue: WorkQueue[Key]
    metrics: Metrics

    def look(self, job: Job, *pods: Pod) -> None:
        """One pass."""
        snapshot = o.snapshot(job, list(pods), reading=self.scan.reading(KEY, job.uid))
        self.scan.follow(KEY, snapshot, decide(snapshot))

    def read(self) -> Reading:
        return self.scan.reading(KEY, o.UID) or Reading()

    def values(self) -> dict[str, float]:
        return {found.metric_name: found.value for found in self.read().metrics}

    def follows(self) -> int:
        return sum(asked.follow for asked in self.kubelet.asked)

    def live(self) -> set[tuple[str, str, float]]:
        return {(found.host, found.metric, found.value) for found in self.scan.live.series()}


@contextlib.asynccontextmanager
async def opened(kubelet: Kubelet | None = None, *, streams: int = 10, series: int = 100) -> AsyncIterator[Rig]:
    kubelet, queue, metrics = kubelet or Kubelet(), WorkQueue[Key](), Metrics()
    async with kubelet.serving() as cluster:
        scan = LogScan(cluster, queue, metrics, streams=streams, series=series)
        metrics.training.source = scan.live.series
        running = asyncio.create_task(scan.run())
        try:
            yield Rig(kubelet, scan, queue, metrics)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with opened() as made:
        yield made


# -- what costs nothing


async def test_a_job_without_definitions_costs_nothing(rig: Rig) -> None:
    rig.look(o.job(), o.training())
    rig.look(o.job(), o.uploading())
    assert (rig.scan.reading(KEY, o.UID), rig.scan.hold(KEY), rig.kubelet.asked, len(rig.queue)) == (None, None, [], 0)


# -- values


async def test_the_value_is_there_a_moment_after_the_line_on_the_endpoint_and_for_the_status(rig: Rig) -> None:
    log = rig.kubelet.log(name())
    rig.look(JOB, o.training())
    log.write("loss=0.5 acc=0.1", NOW)
    await until("the first values", lambda: rig.values() == {"loss": 0.5, "acc": 0.1})
    log.write("loss=0.4", NOW + 1)
    await until("the next one", lambda: rig.values() == {"loss": 0.4, "acc": 0.1})
    shown = rig.metrics.render().decode()
    assert (
        f'trainyard_training_metric{{host="algo-1",job="{o.NAME}",metric="loss",namespace="{o.NAMESPACE}"}} 0.4'
        in shown
    )
    assert "trainyard_log_lines_total 2.0" in shown
    assert len(rig.queue) == 0, "a value is no reason to look at the job at once"


async def test_of_several_hosts_the_line_that_was_written_last_counts(rig: Rig) -> None:
    job, hosts = defining(r"loss=(\S+)", hosts=2), ("algo-1", "algo-2")
    rig.kubelet.log(name("algo-2")).write("loss=2", NOW + 5)
    rig.kubelet.log(name("algo-1")).write("loss=1", NOW + 9)
    rig.kubelet.log(name("algo-2")).write("loss=3", NOW + 7)
    rig.look(job, *(o.training(host, metadata={"uid": host}) for host in hosts))
    await until("both are read", lambda: rig.live() == {("algo-1", "loss", 1.0), ("algo-2", "loss", 3.0)})
    assert rig.values() == {"loss": 1}


async def test_a_line_longer_than_any_is_cut_and_what_follows_it_is_read(rig: Rig) -> None:
    rig.look(JOB, o.training())
    rig.kubelet.log(name()).write(b"loss=1 " + b"x" * 3_000_000 + b" acc=9", NOW)
    rig.kubelet.log(name()).write("acc=2", NOW + 1)
    await until("both", lambda: rig.values() == {"loss": 1, "acc": 2})


async def test_a_value_is_looked_at_for_the_status_within_a_minute(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STATUS_SECONDS", 0.05)
    rig.look(JOB, o.training())
    rig.kubelet.log(name()).write("loss=1", NOW)
    assert await asyncio.wait_for(rig.queue.get(), 5) == KEY


# -- the end


async def test_a_log_is_read_to_its_end_before_the_last_status_is_written(rig: Rig) -> None:
    log = rig.kubelet.log(name())
    rig.look(JOB, o.training())
    log.write("loss=1", NOW)
    await until("the first value", rig.values)
    assert not rig.read().final
    log.write("loss=2", NOW + 1)
    log.end()
    rig.look(JOB, o.over())
    assert (rig.scan.hold(KEY) or 0) > 4
    assert await asyncio.wait_for(rig.queue.get(), 5) == KEY
    assert (rig.values(), rig.read().final, rig.scan.hold(KEY)) == ({"loss": 2}, True, None)
    snapshot = o.snapshot(JOB, [o.over()], reading=rig.read())
    assert [
        (found.metric_name, found.value) for found in reduce(snapshot, decide(snapshot)).final_metric_data_list
    ] == [("loss", 2)]
    assert (rig.read().gaps, rig.read().unread) == ((), ())


async def test_a_job_whose_end_alone_is_seen_has_the_same_values(rig: Rig) -> None:
    log = rig.kubelet.log(name())
    for number in range(1000):
        log.write(f"loss={number}", NOW + number)
    log.end()
    rig.look(JOB, o.over())
    await until("all is read", lambda: rig.read().final)
    assert rig.values() == {"loss": 999}
    assert [asked.follow for asked in rig.kubelet.asked] == [False, False], "and once more, to know that it was all"


async def test_a_log_that_cannot_be_read_holds_the_last_status_for_some_seconds_only(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.2)
    rig.kubelet.answers[name()] = (500, "the node does not answer")
    rig.look(JOB, o.over())
    assert rig.scan.hold(KEY) is not None
    await until("it waits no more", lambda: rig.scan.hold(KEY) is None)
    assert rig.read().unread == ("algo-1: the node does not answer",)
    assert not rig.read().final


async def test_the_hosts_of_a_job_that_is_over_are_forgotten_and_their_values_go(rig: Rig) -> None:
    rig.look(JOB, o.training())
    rig.kubelet.log(name()).write("loss=1", NOW)
    await until("the value", rig.live)
    ended = replace(JOB, status=JOB.status.model_copy(update={"training_job_status": "Completed"}))
    rig.look(ended, o.over())
    assert (rig.live(), rig.scan.reading(KEY, o.UID)) == (set(), None)
    await until("no stream is left", lambda: rig.kubelet.open == 0)


# -- faults


async def test_a_stream_that_breaks_off_goes_on_where_it_was(rig: Rig) -> None:
    log = rig.kubelet.log(name())
    rig.look(JOB, o.training())
    log.write("loss=1", NOW)
    await until("the first value", rig.values)
    rig.kubelet.break_off()
    log.write("loss=2", NOW + SECOND)
    await until("the next value", lambda: rig.values() == {"loss": 2})
    assert rig.kubelet.asked[-1].since == "2026-11-24T08:15:40Z"
    assert rig.read().gaps == ()


async def test_an_operator_that_starts_anew_goes_on_from_its_status_and_has_the_same_values() -> None:
    kubelet = Kubelet()
    log = kubelet.log(name())
    async with opened(kubelet) as rig:
        rig.look(JOB, o.training())
        log.write("loss=1 acc=1", NOW)
        log.write("loss=2", NOW + SECOND + 1500)
        await until("both", lambda: rig.values() == {"loss": 2, "acc": 1})
        snapshot = o.snapshot(JOB, [o.training()], reading=rig.read())
        status = reduce(snapshot, decide(snapshot))
    log.write("loss=3", NOW + SECOND + 1700)
    job = replace(JOB, status=type(status).model_validate(status.to_dict()))
    kubelet.asked.clear()
    async with opened(kubelet) as rig:
        rig.look(job, o.training())
        await until("what came meanwhile", lambda: rig.values() == {"loss": 3})
        log.end()
        rig.look(job, o.over())
        await until("the end", lambda: rig.read().final)
        assert (kubelet.asked[0].since, rig.read().gaps) == ("2026-11-24T08:15:41Z", ())
        snapshot = o.snapshot(job, [o.over()], reading=rig.read())
        found = reduce(snapshot, decide(snapshot)).final_metric_data_list
    assert [(data.metric_name, data.value) for data in found] == [("loss", 3), ("acc", 1)]


async def test_lines_that_were_rotated_away_unread_are_told_with_host_and_times(rig: Rig) -> None:
    log = rig.kubelet.log(name())
    rig.look(JOB, o.training())
    log.write("loss=1", NOW)
    await until("the first value", rig.values)
    rig.kubelet.answers[name()] = (503, "away")
    rig.kubelet.break_off()
    log.write("loss=2", NOW + SECOND)
    log.rotate()
    log.write("loss=3", NOW + 5 * SECOND)
    del rig.kubelet.answers[name()]
    await until("the new file", lambda: rig.values() == {"loss": 3})
    assert rig.read().gaps == ("algo-1: between 2026-11-24T08:15:40Z and 2026-11-24T08:15:45Z",)
    assert await asyncio.wait_for(rig.queue.get(), 5) == KEY


async def test_a_rotation_that_was_followed_is_no_loss(rig: Rig) -> None:
    log = rig.kubelet.log(name())
    rig.look(JOB, o.training())
    log.write("loss=1", NOW)
    await until("the first value", rig.values)
    log.rotate()
    log.write("loss=2", NOW + SECOND)
    await until("the next value", lambda: rig.values() == {"loss": 2})
    log.end()
    rig.look(JOB, o.over())
    await until("the end", lambda: rig.read().final)
    assert rig.read().gaps == ()


async def test_a_log_whose_end_was_rotated_away_is_told(rig: Rig) -> None:
    log = rig.kubelet.log(name())
    rig.look(JOB, o.training())
    log.write("loss=1", NOW)
    await until("the first value", rig.values)
    log.rotate()
    log.end()
    rig.look(JOB, o.over())
    await until("the end", lambda: rig.read().final)
    assert rig.read().gaps == ("algo-1: between 2026-11-24T08:15:40Z and the end",)


async def test_a_log_that_goes_with_its_pod_before_it_was_read_is_told(rig: Rig) -> None:
    rig.kubelet.answers[name()] = (500, "later")
    rig.look(JOB, o.training())
    await until("it was asked for", lambda: rig.kubelet.asked)
    rig.kubelet.answers[name()] = (404, "no such pod")
    rig.look(JOB, as_gone(o.training()))
    await until("it is told", lambda: rig.read().gaps == ("algo-1: between its start and the end",))
    assert rig.scan.hold(KEY) is None


async def test_a_refusal_is_told_at_once_and_holds_nothing(rig: Rig) -> None:
    rig.kubelet.answers[name()] = (403, "pods/log is forbidden")
    rig.look(JOB, o.training())
    assert await asyncio.wait_for(rig.queue.get(), 5) == KEY
    assert rig.read().unread == ("algo-1: pods/log is forbidden",)
    rig.look(JOB, o.over())
    assert rig.scan.hold(KEY) is None


async def test_a_log_that_the_kubelet_does_not_have_is_told_in_its_words(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.2)
    rig.kubelet.log(name()).raw(b"unable to retrieve container logs for containerd://1")
    rig.kubelet.log(name()).end()
    rig.look(JOB, o.over())
    await until("it waits no more", lambda: rig.scan.hold(KEY) is None)
    assert rig.read().unread == ("algo-1: unable to retrieve container logs for containerd://1",)


async def test_a_silent_stream_is_opened_anew_as_its_connection_may_be_dead(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.1)
    rig.look(JOB, o.training())
    await until("a second stream", lambda: len(rig.kubelet.asked) >= 2, within=10)


async def test_another_attempt_keeps_the_values_of_the_one_before_until_newer_lines_replace_them(rig: Rig) -> None:
    rig.kubelet.log(name()).write("loss=1 acc=1", NOW)
    rig.look(JOB, o.training())
    await until("the first attempt's", lambda: rig.values() == {"loss": 1, "acc": 1})
    rig.kubelet.answers[name()] = (404, "no such pod")
    second = replace(o.training(), name="second", uid="second", attempt=2)
    rig.kubelet.log(name()).end()
    rig.look(JOB, second)
    rig.kubelet.log("second").write("loss=2", NOW + SECOND)
    await until("the second attempt's", lambda: rig.values() == {"loss": 2, "acc": 1})

    def first_is_let_go() -> bool:
        rig.look(JOB, second)
        return set(rig.read().read_until) == {"second"}

    await until("the first one's log is let go", first_is_let_go)
    assert (rig.read().gaps, rig.live()) == ((), {("algo-1", "loss", 2.0), ("algo-1", "acc", 1.0)})


async def test_a_job_of_the_same_name_starts_afresh(rig: Rig) -> None:
    rig.kubelet.log(name()).write("loss=1", NOW)
    rig.look(JOB, o.training())
    await until("the first job's", rig.values)
    other = replace(JOB, uid="other")
    rig.look(other, o.staging())
    assert (rig.scan.reading(KEY, o.UID), rig.scan.reading(KEY, "other"), rig.live()) == (None, None, set())


# -- many


async def test_more_hosts_than_streams_are_read_in_turn_and_all_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TURN_SECONDS", 0.1)
    hosts = [f"algo-{number}" for number in range(1, 6)]
    job = defining(r"loss=(\S+)", hosts=5)
    async with opened(streams=2) as rig:
        for number, host in enumerate(hosts):
            rig.kubelet.log(name(host)).write(f"loss={number}", NOW + number)
        rig.look(job, *(o.training(host, metadata={"uid": host}) for host in hosts))
        await until("every host was read", lambda: len(rig.live()) == 5, within=20)
        assert rig.kubelet.open <= 2
        for host in hosts:
            rig.kubelet.log(name(host)).end()
        rig.look(job, *(o.over(host, metadata={"uid": host}) for host in hosts))
        await until("all are read to the end", lambda: rig.read().final, within=20)
        assert (rig.values(), rig.read().gaps) == ({"loss": 4}, ())


async def test_values_over_the_limit_are_not_shown_but_counted_and_in_the_status() -> None:
    async with opened(series=1) as rig:
        rig.look(JOB, o.training())
        rig.kubelet.log(name()).write("loss=1", NOW)
        await until("the first", rig.live)
        rig.kubelet.log(name()).write("acc=2", NOW + 1)
        await until("the second is dropped", lambda: rig.scan.live.dropped == 1)
        assert (rig.live(), rig.values()) == ({("algo-1", "loss", 1.0)}, {"loss": 1, "acc": 2})
        rig.scan.forget(KEY)
        rig.look(JOB, o.training())
        await until("the place is free again", rig.live)


async def test_a_fast_log_does_not_keep_the_operator_from_answering() -> None:
    """Forty regexes, as many lines as there are; the loop must come round all the time. In this process' own time: the machine has other work."""
    definitions = [{"name": f"m{n}", "regex": rf".*#011m{n}:([0-9.]+)"} for n in range(40)]
    job = o.job(algorithmSpecification={"trainingImage": o.IMAGE, "metricDefinitions": definitions})
    kubelet = Kubelet()
    log, count = kubelet.log(name()), 50_000
    for number in range(count):
        text = b"[%d]\tm%d:%d" % (number, number % 40, number) if number % 10 == 0 else b"step %d" % number
        log.lines.append(b"2026-11-24T08:15:40.%09dZ %s" % (number, text))
    log.end()
    async with opened(kubelet) as rig:
        rig.look(job, o.over())
        longest, last = 0.0, time.process_time()
        while not rig.read().final:
            await asyncio.sleep(0.001)
            longest, last = max(longest, time.process_time() - last), time.process_time()
        assert rig.values()["m30"] == max(number for number in range(0, count, 10) if number % 40 == 30)
        assert longest < 1.0
