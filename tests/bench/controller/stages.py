"""What kwok does instead of kubelets: pods go through their containers' states, with the agent's words in them.

The training image says how fast. `quick`: runs, then over, at once. `slow`: staging, training, uploading, over, a second or
more each. `held`: trains and never ends.
"""

from __future__ import annotations

import json
from typing import Any

from trainyard.api import names
from trainyard.api.report import Phase, Report, Result

# Loopback, where a server of the benchmark's answers for every agent.
POD_NET = "127.77.0.0/16"
QUICK, SLOW, HELD, PLAIN = (f"bench.invalid/{pace}:1" for pace in ("quick", "slow", "held", "plain"))
NOW = "{{ Now | Quote }}"
PATHS = {"image": ".spec.containers.[0].image", "deleted": ".metadata.deletionTimestamp", "phase": ".status.phase"}
TRAINING = f'.status.containerStatuses.[] | select( .name == "{names.CONTAINER_TRAINING}" ) | .state'
Doc = dict[str, Any]


def configuration() -> list[Doc]:
    """kwok's whole configuration."""
    kwok = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokConfiguration",
        "options": {"podPlayStageParallelism": 16, "nodePlayStageParallelism": 16},
    }
    return [kwok, _node(), _deleted(), *_plain(), *_ours()]


def _stage(name: str, kind: str, expressions: list[Doc], following: Doc, delay: int = 0) -> Doc:
    spec: Doc = {
        "resourceRef": {"apiGroup": "v1", "kind": kind},
        "selector": {"matchExpressions": expressions},
        "next": following,
    }
    if delay:
        spec["delay"] = {"durationMilliseconds": delay}
    return {"apiVersion": "kwok.x-k8s.io/v1alpha1", "kind": "Stage", "metadata": {"name": name}, "spec": spec}


def _is(key: str, operator: str, *values: str) -> Doc:
    return {"key": key, "operator": operator} | ({"values": list(values)} if values else {})


def _node() -> Doc:
    ready = '.status.conditions.[] | select( .type == "Ready" ) | .status'
    condition = f"{{lastHeartbeatTime: {NOW}, lastTransitionTime: {NOW}, message: ready, reason: KubeletReady, status: 'True', type: Ready}}"
    return _stage("node", "Node", [_is(ready, "NotIn", "True")], {"statusTemplate": f"conditions: [{condition}]"})


def _deleted() -> Doc:
    return _stage("pod-deleted", "Pod", [_is(PATHS["deleted"], "Exists")], {"delete": True})


def _from(phase: str, *images: str) -> list[Doc]:
    return [
        _is(PATHS["deleted"], "DoesNotExist"),
        _is(PATHS["image"], "In", *images),
        _is(PATHS["phase"], "In", phase),
    ]


def _plain() -> list[Doc]:
    running, over = {"running": {"startedAt": NOW}}, _ended()
    return [
        _stage("plain-runs", "Pod", _from("Pending", PLAIN), _status("Running", {"main": running})),
        _stage("plain-over", "Pod", _from("Running", PLAIN), _status("Succeeded", {"main": over})),
    ]


def _ours() -> list[Doc]:
    running, waiting = {"running": {"startedAt": NOW}}, {"waiting": {"reason": "PodInitializing"}}
    agents = {names.CONTAINER_SIDECAR: running, names.CONTAINER_PREFETCH: running}
    rest = (names.CONTAINER_TRAINING, names.CONTAINER_HOLD)
    done = _ended(Report(host="{{ .spec.hostname }}", phase=Phase.STAGED, result=Result.STAGED, objects=7, bytes=700))
    last = _ended(Report(host="{{ .spec.hostname }}", phase=Phase.DONE, result=Result.COMMITTED))
    staging = agents | {names.CONTAINER_STAGE: running} | dict.fromkeys(rest, waiting)
    training = agents | {names.CONTAINER_STAGE: done} | dict.fromkeys(rest, running)
    uploading = training | {names.CONTAINER_TRAINING: _ended()}
    over = uploading | {
        names.CONTAINER_PREFETCH: _ended(),
        names.CONTAINER_HOLD: _ended(),
        names.CONTAINER_SIDECAR: last,
    }
    unscheduled = _is(".status.podIP", "DoesNotExist")
    staged = _is(".status.podIP", "Exists")
    trains, ended = _is(f"{TRAINING}.running", "Exists"), _is(f"{TRAINING}.terminated", "Exists")
    return [
        _stage("quick-trains", "Pod", _from("Pending", QUICK, HELD), _status("Running", training)),
        _stage("quick-over", "Pod", _from("Running", QUICK), _status("Succeeded", over)),
        _stage("slow-stages", "Pod", [*_from("Pending", SLOW), unscheduled], _status("Pending", staging), 500),
        _stage("slow-trains", "Pod", [*_from("Pending", SLOW), staged], _status("Running", training), 1500),
        _stage("slow-uploads", "Pod", [*_from("Running", SLOW), trains], _status("Running", uploading), 3000),
        _stage("slow-over", "Pod", [*_from("Running", SLOW), ended], _status("Succeeded", over), 1500),
    ]


def _ended(report: Report | None = None) -> Doc:
    terminated: Doc = {"exitCode": 0, "reason": "Completed", "startedAt": NOW, "finishedAt": NOW}
    if report is not None:
        terminated["message"] = report.to_termination_message()
    return {"terminated": terminated}


ADDRESS = "{{ index ( PodIPsWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace ) 0 }}"
INIT = (names.CONTAINER_SIDECAR, names.CONTAINER_PREFETCH, names.CONTAINER_STAGE)


def _status(phase: str, containers: dict[str, Doc]) -> Doc:
    """A template of the whole status: each stage says everything, as a kubelet does."""
    ready = "True" if phase == "Running" else "False"
    entries = {
        name: {
            "name": name,
            "image": "x",
            "imageID": "",
            "ready": "running" in state,
            "restartCount": 0,
            "state": state,
        }
        for name, state in containers.items()
    }
    status: Doc = {
        "phase": phase,
        "conditions": [
            {"type": kind, "status": "True" if kind == "Initialized" else ready, "lastTransitionTime": NOW}
            for kind in ("Initialized", "Ready", "ContainersReady")
        ],
        "initContainerStatuses": [entry for name, entry in entries.items() if name in INIT],
        "containerStatuses": [entry for name, entry in entries.items() if name not in INIT],
    }
    status["podIP"], status["podIPs"] = "@IP@", [{"ip": "@IP@"}]
    # JSON is YAML. The clock is a function of the template, and brings its own quotes.
    return {"statusTemplate": json.dumps(status).replace(f'"{NOW}"', NOW).replace("@IP@", ADDRESS)}
