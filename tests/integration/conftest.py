"""A real apiserver, and a real S3 server. Nothing is faked; what a test makes is in a namespace, or a bucket, of its own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hack import providers
from hack.native import apart
from tests.e2e.jobs import Kubectl
from tests.integration.agent_rig import Job, S3Server, find_versitygw, job
from tests.support import lanes
from tests.support.faults import FaultProxy
from tests.support.rest import Rest

CRDS = Path(__file__).resolve().parents[2] / "crds"


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Of a control plane for these tests alone, if one can be had; else the cluster's."""
    if lanes.OWN_APISERVER:
        with apart.scratch() as layout, apart.started(layout) as plane:
            yield plane.kubeconfig()
    else:
        yield request.getfixturevalue("cluster")


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Kubectl:
    return Kubectl(str(providers.choose().kubectl), str(kubeconfig))


@pytest.fixture(scope="session")
def crds(kubectl: Kubectl) -> Kubectl:
    """kubectl, with the CRDs of this tree established."""
    kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))
    return kubectl


@pytest.fixture
def rest(kubectl: Kubectl) -> Rest:
    return kubectl.rest


@pytest.fixture(scope="session")
def undisturbed(crds: Kubectl) -> None:
    """Writes can be counted, and a status set, only where no installed operator takes part in the work."""
    installed = json.loads(crds("get", "deployments", "-A", "-l", "app.kubernetes.io/name=trainyard", "-o", "json"))[
        "items"
    ]
    if any(deployment["status"].get("replicas") for deployment in installed):
        pytest.skip("an operator is installed in this cluster and watches all namespaces")


@pytest.fixture
def scratch(kubectl: Kubectl) -> Iterator[str]:
    """A namespace that goes after the test."""
    name = f"it-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """versitygw, with a log of its requests."""
    binary = find_versitygw()
    if binary is None:
        pytest.skip("no versitygw: run `make setup`, or set TRAINYARD_VERSITYGW")
    made = S3Server(binary, tmp_path_factory.mktemp("s3"), tmp_path_factory.mktemp("log") / "access.log")
    yield made
    made.close()


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FaultProxy]:
    """In front of that server; it does nothing until it is told to."""
    with FaultProxy(server.url) as made:
        yield made


@pytest.fixture
def behind(server: S3Server, proxy: FaultProxy, tmp_path: Path) -> Iterator[Job]:
    """A job of one host that has S3 behind the proxy, and little patience with a line that says nothing."""
    with job(server, tmp_path, f"b-{uuid.uuid4().hex}", url=proxy.url) as made:
        made.timing = replace(made.timing, read=1)
        yield made
