"""Objects that somebody damages, a real apiserver and a real operator: only the job that they belong to shows it, and says what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.jobs import Kubectl, eventually
from tests.support.neighbours import Control, place, step, submit, unharmed
from tests.support.operator import OperatorProcess
from tests.support.rest import EVENTS, JOBS, PLANS, PODS, ROLES, SERVICES, TYPES, Raw, Rest
from tests.support.unscheduled import NOWHERE
from trainyard.api import names


@dataclass(frozen=True)
class Damage:
    """`do` damages the job of this name, which has its pods, and `mend` puts it right. `told`: the reason of a warning, and words of
    its text; empty: the job goes on as if nothing had been. `end`: of the mended job. `spec`: what else is said of it."""

    do: Callable[[Site], object]
    told: tuple[str, ...] = ()
    mend: Callable[[Site], object] | None = None
    end: str = "Completed"
    spec: Raw = field(default_factory=dict)


@dataclass(frozen=True)
class Site:
    """Where one job is damaged."""

    rest: Rest
    namespace: str
    name: str
    job: Raw
    pod: Raw

    def path(self, plural: str, name: str = "") -> str:
        return f"{plural.format(self.namespace)}/{name or self.name}"

    def status(self, **fields: Any) -> Raw:
        return self.rest.merge(f"{self.path(JOBS)}/status", {"status": fields})

    def pod_metadata(self, **fields: Any) -> Raw:
        return self.rest.merge(self.path(PODS, f"{self.name}-1-algo-1"), {"metadata": fields})

    def plan_metadata(self, **fields: Any) -> Raw:
        return self.rest.merge(self.path(PLANS, f"{self.name}-1-plan"), {"metadata": fields})


def _times(site: Site, first: str) -> Raw:
    (now, *_) = site.rest.done("GET", site.path(JOBS))["status"]["secondaryStatusTransitions"]
    return site.status(secondaryStatusTransitions=[now | {"startTime": first}])


def _without_plan(site: Site) -> None:
    """And the garbage collector is told to leave what it owned."""
    site.rest.done("DELETE", site.path(PLANS, f"{site.name}-1-plan"), {"propagationPolicy": "Orphan"})


def _without_service(site: Site) -> None:
    (service,) = site.rest.items(SERVICES.format(site.namespace), f"{names.LABEL_JOB_NAME}={site.name}")
    site.rest.done("DELETE", site.path(SERVICES, service["metadata"]["name"]))


def _labels(*wrong: str) -> Callable[[Site], Raw]:
    return lambda site: site.pod_metadata(labels=dict.fromkeys(wrong or _POD_LABELS, None))


def _put_back(site: Site) -> Raw:
    was = site.pod["metadata"]
    return site.pod_metadata(labels=was["labels"], ownerReferences=was["ownerReferences"])


_POD_LABELS = (names.LABEL_JOB_UID, names.LABEL_JOB_NAME, names.LABEL_ATTEMPT, names.LABEL_HOST, names.LABEL_MANAGED_BY)
UNREADABLE, ALTERED = "StatusUnreadable", "PodAltered"
DAMAGES: dict[str, Damage] = {
    "a-time-that-no-clock-says": Damage(
        lambda site: site.status(attemptStartTime="9999-12-31T23:59:59Z"),
        (UNREADABLE, "attemptStartTime"),
        lambda site: site.status(attemptStartTime=None),
    ),
    "a-life-that-began-in-year-one": Damage(
        lambda site: _times(site, "0001-01-01T00:00:00Z"),
        (UNREADABLE, "secondaryStatusTransitions.0.startTime"),
        lambda site: site.status(secondaryStatusTransitions=site.job["status"]["secondaryStatusTransitions"]),
    ),
    "no-status": Damage(lambda site: site.status(**dict.fromkeys(site.job["status"]))),
    "odd-conditions": Damage(
        lambda site: site.status(
            conditions=[
                {"type": "Ready", "status": "Unknown", "reason": "\u00b2", "message": "x" * 30_000}
                | {"lastTransitionTime": "2999-12-31T23:59:59Z"}
            ]
        )
    ),
    "large-counters": Damage(
        lambda site: site.status(
            earlierRunningTimeInSeconds=2**31 - 1, suspendedTimeInSeconds=2**31 - 1, interruptions=2**31 - 1
        )
    ),
    "unknown-transition": Damage(
        lambda site: site.status(
            secondaryStatusTransitions=[{"status": "Bogus", "startTime": "2026-01-01T00:00:00Z", "statusMessage": ""}]
        )
    ),
    "a-host-that-never-was": Damage(
        lambda site: site.status(hosts=[{"name": "algo-7", "pod": "configmaps"}]),
        ("PodLost", "algo-7"),
        end="Failed",
    ),
    "pod-of-nobody": Damage(_labels(), (ALTERED, "kubectl label pod pod-of-nobody-1-algo-1"), _put_back),
    "pod-of-another": Damage(
        lambda site: site.pod_metadata(labels={names.LABEL_JOB_UID: "x", names.LABEL_ATTEMPT: "99"}),
        (ALTERED, names.LABEL_JOB_UID),
        _put_back,
    ),
    "pod-out-of-sight": Damage(_labels(names.LABEL_MANAGED_BY), (ALTERED, names.LABEL_MANAGED_BY), _put_back),
    "pod-without-owner": Damage(
        lambda site: site.pod_metadata(ownerReferences=None), (ALTERED, "ConfigMap pod-without-owner-1-plan"), _put_back
    ),
    "odd-orders": Damage(
        lambda site: site.pod_metadata(annotations={names.ANNOTATION_STOP: "{", names.ANNOTATION_TRAINING_ENDED: "[]"})
    ),
    "plan-of-another": Damage(
        lambda site: site.plan_metadata(labels={names.LABEL_JOB_UID: "x", names.LABEL_JOB_NAME: ""})
    ),
    "plan-of-earlier": Damage(lambda site: site.plan_metadata(labels={names.LABEL_ATTEMPT: "0"})),
    "no-plan": Damage(_without_plan, (ALTERED, "ConfigMap no-plan-1-plan")),
    "no-service": Damage(
        _without_service,
        ("ServiceMadeAgain", "by which the hosts find each other"),
        spec={"resourceConfig": {"instanceType": NOWHERE, "instanceCount": 2}},
    ),
}


@dataclass(frozen=True)
class Reference:
    """A spec of an InstanceType or an ExecutionRole that the apiserver lets through and no pod can be made from, and how it is told."""

    path: str
    spec: Raw
    told: tuple[str, ...]
    end: str = "Completed"


_SIZE = {"cpu": "1", "memory": "2Gi"}
_AWAY = {"trainyard.dev/no-such": "node"}
GOOD = {TYPES: {"capacity": _SIZE, "nodeSelector": _AWAY}, ROLES: {}}
REFERENCES: dict[str, Reference] = {
    "odd-toleration": Reference(
        TYPES,
        {"capacity": _SIZE, "nodeSelector": _AWAY, "tolerations": [{"operator": "Bogus", "key": ["x"]}]},
        ("PodsRefused", "tolerations"),
    ),
    "odd-selector": Reference(
        TYPES, {"capacity": _SIZE, "nodeSelector": {"bad key!": "x"}}, ("PodsRefused", "spec.nodeSelector")
    ),
    "odd-resource": Reference(
        TYPES, {"capacity": _SIZE | {"bad resource!": "1"}, "nodeSelector": _AWAY}, ("PodsRefused", "bad resource!")
    ),
    "too-small": Reference(
        TYPES, {"capacity": {"cpu": "1m", "memory": "1"}}, ("InstanceTypeInvalid", "spec.capacity"), end="Failed"
    ),
    "no-account": Reference(ROLES, {"serviceAccountName": "nobody"}, ("PodsRefused", "nobody")),
}


@pytest.mark.timeout(300)
def test_damaged_objects_harm_their_own_job_alone_and_it_recovers_once_they_are_mended(
    crds: Kubectl, rest: Rest, tmp_path: Path
) -> None:
    with place(crds, rest, tmp_path / "log") as operator:
        namespace, wrong = operator.namespace, []
        sites = _submitted(rest, namespace)
        with Control(rest, namespace) as control:
            for name, site in sites.items():
                DAMAGES[name].do(site)
            wrong += _told(rest, namespace, DAMAGES)
            wrong += unharmed(operator)
            # The damage is there when it starts again.
            started_anew(operator)
            wrong += _told(rest, namespace, DAMAGES)
            for name, site in sites.items():
                if (mend := DAMAGES[name].mend) is not None:
                    mend(site)
            wrong += _ended(rest, namespace, DAMAGES)
        wrong += control.wrong + unharmed(operator)
        assert not wrong, "\n".join(wrong)


def started_anew(operator: OperatorProcess) -> None:
    """Until it has looked at every job."""
    operator.stop()
    operator.start()
    compared = "trainyard_resync_timestamp_seconds"
    eventually("it has compared all", lambda: operator.metric(compared) > 0, within=30)


def _submitted(rest: Rest, namespace: str) -> dict[str, Site]:
    for name, damage in DAMAGES.items():
        submit(rest, namespace, name, **damage.spec)

    def recorded() -> dict[str, Site]:
        jobs = {job["metadata"]["name"]: job for job in rest.items(JOBS.format(namespace))}
        pods = {pod["metadata"]["name"]: pod for pod in rest.items(PODS.format(namespace))}
        found = {
            name: Site(rest, namespace, name, jobs[name], pods[f"{name}-1-algo-1"])
            for name in DAMAGES
            if jobs[name].get("status", {}).get("hosts") and f"{name}-1-algo-1" in pods
        }
        return found if len(found) == len(DAMAGES) else {}

    sites: dict[str, Site] = eventually("all have their pods", recorded, within=30)
    return sites


def _told(rest: Rest, namespace: str, damages: Mapping[str, Damage | Reference]) -> list[str]:
    """Whose damage was not told within the time, or whose job ended from it though it need not."""
    left: list[str] = []

    def told() -> bool:
        nonlocal left
        said = {
            (event["involvedObject"]["name"], event["reason"], event["message"])
            for event in rest.items(EVENTS.format(namespace))
            if event["type"] == "Warning"
        }
        left = [
            f"{name}: no warning {reason} with {words}"
            for name, damage in damages.items()
            if damage.told
            for reason, *words in [damage.told]
            if not any((of, why) == (name, reason) and all(word in text for word in words) for of, why, text in said)
        ]
        return not left

    with contextlib.suppress(AssertionError):
        eventually("all are told", told, within=40, every=0.5)
    jobs = {job["metadata"]["name"]: job.get("status", {}) for job in rest.items(JOBS.format(namespace))}
    early = [
        f"{name} ended {jobs[name]['trainingJobStatus']}: {jobs[name].get('failureReason')}"
        for name, damage in damages.items()
        if damage.end == "Completed" and jobs[name].get("trainingJobStatus") in ("Failed", "Stopped", "Completed")
    ]
    return left + early


def _ended(rest: Rest, namespace: str, damages: Mapping[str, Damage | Reference]) -> list[str]:
    left: dict[str, str] = {}

    def ended() -> bool:
        nonlocal left
        for name in damages:
            for host in ("algo-1", "algo-2"):
                code, pod = rest("GET", f"{PODS.format(namespace)}/{name}-1-{host}")
                if code == 200:
                    step(rest, pod)
        jobs = {job["metadata"]["name"]: job.get("status", {}) for job in rest.items(JOBS.format(namespace))}
        left = {
            name: str(jobs[name].get("failureReason") or jobs[name].get("secondaryStatus"))
            for name, damage in damages.items()
            if jobs[name].get("trainingJobStatus") != damage.end
        }
        return not left

    with contextlib.suppress(AssertionError):
        eventually("all end as they should", ended, within=60, every=0.5)
    return [f"{name} is not {damages[name].end}: {why}" for name, why in left.items()]


@pytest.mark.timeout(300)
def test_what_a_job_names_is_damaged_and_the_job_says_so_and_goes_on_once_it_is_mended(
    crds: Kubectl, rest: Rest, tmp_path: Path
) -> None:
    with place(crds, rest, tmp_path / "log") as operator:
        namespace, wrong = operator.namespace, []
        with Control(rest, namespace) as control:
            try:
                for name, reference in REFERENCES.items():
                    _offered(rest, namespace, name, reference)
                wrong += _told(rest, namespace, REFERENCES) + unharmed(operator)
                started_anew(operator)
                wrong += _told(rest, namespace, REFERENCES)
                for name, reference in REFERENCES.items():
                    path = f"{reference.path.format(namespace)}/{_unique(namespace, name)}"
                    kept = rest.done("GET", path)
                    rest.done("PUT", path, kept | {"spec": _spec(namespace, name, reference, GOOD[reference.path])})
                wrong += _ended(rest, namespace, REFERENCES)
            finally:
                for name, reference in REFERENCES.items():
                    rest("DELETE", f"{reference.path.format(namespace)}/{_unique(namespace, name)}")
        wrong += control.wrong + unharmed(operator)
        assert not wrong, "\n".join(wrong)


def _unique(namespace: str, name: str) -> str:
    return f"{namespace}.{name}"


def _spec(namespace: str, name: str, reference: Reference, spec: Raw) -> Raw:
    return spec if reference.path is TYPES else spec | {"roleARN": f"arn:aws:iam::123456789012:role/{name}"}


def _offered(rest: Rest, namespace: str, name: str, reference: Reference) -> None:
    """The damaged object, and a job that names it."""
    made = {
        "apiVersion": names.API_VERSION,
        "kind": "InstanceType" if reference.path is TYPES else "ExecutionRole",
        "metadata": {"name": _unique(namespace, name)},
        "spec": _spec(namespace, name, reference, reference.spec),
    }
    rest.done("POST", reference.path.format(namespace), made)
    if reference.path is TYPES:
        submit(rest, namespace, name, resourceConfig={"instanceType": _unique(namespace, name)})
    else:
        submit(rest, namespace, name, roleARN=made["spec"]["roleARN"])
