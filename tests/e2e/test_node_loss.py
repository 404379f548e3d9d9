"""A node dies under a running job: the cluster's own controllers notice, and the job goes on elsewhere."""

from __future__ import annotations

from tests.e2e.jobs import eventually, manifest, path_of
from tests.e2e.site import Desk
from tests.support import objects as o
from tests.support.nodes import become, node

POOL = "trainyard.dev/test-pool"
# Without these a pod stays on a dead node for the cluster's default of 300 s.
IMPATIENT = [
    {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    for taint in ("unreachable", "not-ready")
]


def test_a_job_whose_node_dies_is_trained_again_on_another_one(desk: Desk) -> None:
    pool, kubectl = {POOL: desk.namespace}, desk.kubectl
    name = f"ml.test.{desk.namespace}"
    desk.instance_type(name, nodeSelector=pool, tolerations=IMPATIENT)
    spec = manifest(
        "survivor",
        desk.images["test-train"],
        desk.bucket,
        hyper={"write": {"a": "b"}},
        retryStrategy={"maximumRetryAttempts": 1},
    )
    spec["spec"]["resourceConfig"]["instanceType"] = name
    (alive,) = kubectl("get", "nodes", "-o", "name").split()
    with node(kubectl, f"mortal-{desk.namespace}", pool) as dead:
        job = desk.submit(spec)
        (pod,) = eventually(
            "the pod is on the node that will die",
            lambda: [found for found in job.pods if found["spec"].get("nodeName")],
            within=60,
        )
        become(job, pod, o.staged() | {"training": o.running(6), "hold": o.running(6)})
        job.reaches("Training", within=30)
        kubectl("label", alive, f"{POOL}={desk.namespace}")
        try:
            dead.set()
            # The cluster needs most of a minute to give a silent node up.
            eventually("the second attempt begins", lambda: job.status.get("attempt") == 2, within=180)
            status = job.completes(within=120)
        finally:
            kubectl("label", alive, f"{POOL}-")
    assert path_of(status) == [
        "Starting", "Downloading", "Training", "Starting", "Downloading", "Training", "Uploading", "Completed"
    ]  # fmt: skip
    (record,) = status["earlierAttempts"]
    assert (record["reason"], status["hosts"][0]["node"]) == ("Retrying", alive.removeprefix("node/"))
    assert f"node mortal-{desk.namespace}" in record["message"]
    assert job.model() == {"a": b"b"}
    # The cluster waits 40 s before it believes that a node has gone, and looks every 20 s.
    eventually("the dead node's pod is gone with it", lambda: len(job.pods) == 1, within=150)
