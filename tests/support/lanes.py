"""Which tests must be one after the other, which may share the cluster, and whose turn comes first."""

from __future__ import annotations

from hack import providers

# Where the cluster is made of processes, the tests that need an apiserver and no kubelet have a control plane of their own.
OWN_APISERVER = providers.choose().name == "native"
# Integration tests whose S3 servers and agents are all that they need.
ALONE = tuple(
    f"tests/integration/test_{name}"
    for name in (
        "agent_",
        "benches",
        "checkpoint_faults",
        "commit_faults",
        "doctor",
        "encryption",
        "fetcher",
        "instance_metadata",
        "peer_faults",
        "replaced_objects",
        "store_",
        "training_",
        "virtual_hosts",
        "web_identity",
        "whole_jobs",
    )
)
# They stop the operator, S3 or a node, fill one, or count what is written: nothing else runs on the cluster meanwhile.
DISTURBING = tuple(
    f"tests/e2e/test_{name}.py"
    for name in (
        "deletion",
        "demo",
        "faults",
        "metrics",
        "node_loss",
        "preemption",
        "pull_policy",
        "stopping",
        "undisturbed",
    )
)
APISERVER, CLUSTER = "apiserver", "cluster"


def lane(nodeid: str) -> str:
    """What a test must not share the time with is in the same lane; one that disturbs nobody has a lane of its own."""
    if not nodeid.startswith(("tests/integration/", "tests/e2e/")) or nodeid.startswith(ALONE):
        return nodeid
    if nodeid.startswith("tests/integration/"):
        return APISERVER if OWN_APISERVER else CLUSTER
    return CLUSTER if nodeid.startswith(DISTURBING) or not OWN_APISERVER else nodeid.partition("::")[0]


def turn(nodeid: str) -> int:
    """The long lanes first, beside each other; then what needs no cluster; last what would have to wait for the cluster's lane."""
    if (name := lane(nodeid)) in (APISERVER, CLUSTER):
        return (APISERVER, CLUSTER).index(name)
    return 3 if nodeid.startswith("tests/e2e/") else 2
