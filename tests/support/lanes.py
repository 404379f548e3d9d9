"""Which tests must be one after the other."""

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


def lane(nodeid: str) -> str:
    """What a test must not share the time with is in the same lane; one that disturbs nobody has a lane of its own."""
    if not nodeid.startswith(("tests/integration/", "tests/e2e/")) or nodeid.startswith(ALONE):
        return nodeid
    return "apiserver" if OWN_APISERVER and nodeid.startswith("tests/integration/") else "cluster"
