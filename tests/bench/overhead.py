"""What a job costs beside its training: apply -> the program has started, and the program has ended -> Completed.

Twenty one-host jobs with 1 MB of data, each beside a bare pod of the same image, in turn, so that a drifting machine
meets both alike. The program prints its own clock at start and end; node and client share one clock on a local cluster.
Prints a table, then one JSON object: `start_over_bare_pod_s` and `finish_s` are p50 in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch

from hack import providers
from tests.e2e.jobs import INSTANCE_TYPE, Kubectl, channel, eventually, manifest
from tests.e2e.site import Desk, Site, open_desk

JOB_API = {"group": "trainyard.dev", "version": "v1alpha1", "plural": "trainingjobs"}
STAMP = re.compile(r"^(started|ended) (\d+\.\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """Seconds: create -> the program's first line, and (jobs only) its last line -> Completed seen by a watch."""

    start: float
    finish: float | None = None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs, dice = parser.parse_args().runs, random.Random(1)
    kubeconfig = Path(os.environ["TRAINYARD_KUBECONFIG"])
    config.load_kube_config(str(kubeconfig))
    kubectl = Kubectl(str(providers.choose().kubectl), str(kubeconfig))
    images: dict[str, str] = json.loads(Path(os.environ["TRAINYARD_IMAGES"]).read_text())
    with Site.open(kubectl, images) as site, open_desk(site, "bench") as desk:
        desk.bucket.put("data/part.csv", os.urandom(1_000_000))
        run_pod(desk, "warm-up")
        run_job(desk, "warm-up")
        jobs, pods = [], []
        for number in range(runs):
            # The kubelet looks once a second: without a random moment every run would meet it in the same phase.
            time.sleep(dice.random())
            pods.append(run_pod(desk, f"pod-{number}"))
            time.sleep(dice.random())
            jobs.append(run_job(desk, f"job-{number}"))
            print(f"\r{number + 1} of {runs}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    report(jobs, pods)
    return 0


def run_pod(desk: Desk, name: str) -> Run:
    """One bare pod of the image, alone, with the resources that a job's training container has."""
    core = client.CoreV1Api()
    container = {
        "name": "training",
        "image": desk.images["test-train"],
        "args": ["train"],
        "resources": {"requests": {"cpu": "50m", "memory": "384Mi"}, "limits": {"memory": "384Mi"}},
    }
    pod = {
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]},
    }
    began = time.time()
    core.create_namespaced_pod(desk.namespace, pod)
    stamps = read_stamps(core, desk.namespace, name)
    core.delete_namespaced_pod(name, desk.namespace, grace_period_seconds=1)
    return Run(stamps["started"] - began)


def run_job(desk: Desk, name: str) -> Run:
    """One job with 1 MB of data; over when a watch says so."""
    custom, core = client.CustomObjectsApi(), client.CoreV1Api()
    body = manifest(
        name,
        desk.images["test-train"],
        desk.bucket,
        channels=[channel("train", desk.bucket.uri("data/"))],
        hyper={"write": {"model": "m"}, "seconds": "1"},
    )
    began = time.time()
    made = custom.create_namespaced_custom_object(namespace=desk.namespace, body=body, **JOB_API)
    completed = wait_completed(custom, desk.namespace, made)
    stamps = read_stamps(core, desk.namespace, f"{name}-1-algo-1")
    custom.delete_namespaced_custom_object(namespace=desk.namespace, name=name, **JOB_API)
    return Run(stamps["started"] - began, completed - stamps["ended"])


def wait_completed(custom: Any, namespace: str, made: dict[str, Any]) -> float:
    """When the watch first showed the job at its end; fails if that is not Completed."""
    seen = watch.Watch().stream(
        custom.list_namespaced_custom_object,
        namespace=namespace,
        field_selector=f"metadata.name={made['metadata']['name']}",
        resource_version=made["metadata"]["resourceVersion"],
        timeout_seconds=120,
        **JOB_API,
    )
    for event in seen:
        status = event["object"].get("status", {})
        if status.get("trainingJobStatus") == "Completed":
            return time.time()
        assert status.get("trainingJobStatus") in (None, "InProgress"), status
    raise AssertionError(f"{made['metadata']['name']} did not complete within 120 s")


def read_stamps(core: Any, namespace: str, pod: str) -> dict[str, float]:
    """The program's own clock at its start and end, from its log."""

    def ended() -> dict[str, float] | None:
        try:
            log = core.read_namespaced_pod_log(pod, namespace, container="training")
        except client.ApiException:
            return None
        stamps = {word: float(when) for word, when in STAMP.findall(log or "")}
        return stamps if "ended" in stamps else None

    found: dict[str, float] = eventually(f"{pod} has ended", ended, within=120, every=0.2)
    return found


def report(jobs: list[Run], pods: list[Run]) -> None:
    """The table, then the key figures as JSON."""
    rows = {
        "job: apply -> training started": [run.start for run in jobs],
        "bare pod: create -> started": [run.start for run in pods],
        "job: training ended -> Completed": [run.finish for run in jobs if run.finish is not None],
    }
    print(
        f"{len(jobs)} one-host jobs ({INSTANCE_TYPE}, 1 MB of data) beside {len(pods)} bare pods of the same image, seconds"
    )
    print(f"{'':36}{'p50':>8}{'p90':>8}{'min':>8}{'max':>8}")
    for name, values in rows.items():
        cells = (statistics.median(values), p90(values), min(values), max(values))
        print(f"{name:36}" + "".join(f"{cell:8.2f}" for cell in cells))
    job, pod, finish = (statistics.median(values) for values in rows.values())
    slow_job, slow_pod, _ = (p90(values) for values in rows.values())
    ratio = {"start_ratio": round(job / pod, 2), "start_ratio_p90": round(slow_job / slow_pod, 2)}
    print(f"start, job / bare pod: {ratio['start_ratio']} at p50, {ratio['start_ratio_p90']} at p90")
    print(json.dumps({"start_over_bare_pod_s": round(job - pod, 2), "finish_s": round(finish, 2), **ratio}))


def p90(values: list[float]) -> float:
    return statistics.quantiles(values, n=10, method="inclusive")[8]


if __name__ == "__main__":
    sys.exit(main())
