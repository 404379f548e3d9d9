"""What every lane shares: the cluster that `make` chose. A cluster that is not ours is used only if its name is allowed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import settings
from xdist.scheduler.loadscope import LoadScopeScheduling

from hack import providers
from tests.e2e.jobs import Kubectl
from tests.support import lanes

# No test of ours is a measurement: on a busy machine any example may take long.
settings.register_profile("short", deadline=None)
settings.register_profile("long", max_examples=5_000, deadline=None)
settings.load_profile("long" if os.environ.get("TRAINYARD_LONG") == "1" else "short")

# Contexts that the tests may write to. Others must be named on purpose, so that nobody tests on production by accident.
ALLOWED_CONTEXTS = {"trainyard-native", "kind-trainyard"}


class Lanes(LoadScopeScheduling):
    """`make test` has two processes; what must not run at the same time stays together in one, and the order is ours."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return lanes.lane(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    return Lanes(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: lanes.turn(item.nodeid))


@pytest.fixture(scope="session")
def cluster() -> Path:
    """The path of the cluster's kubeconfig, whose current context must be an allowed one."""
    path = Path(os.environ.get("TRAINYARD_KUBECONFIG") or providers.choose().kubeconfig)
    assert path.exists(), f"no cluster: {path} is missing; run `make cluster-up`"
    context = yaml.safe_load(path.read_text()).get("current-context")
    allowed = ALLOWED_CONTEXTS | set(os.environ.get("TRAINYARD_TEST_CONTEXTS", "").split(","))
    assert context in allowed, (
        f"context {context!r} is not one to test on; allow it with TRAINYARD_TEST_CONTEXTS={context}"
    )
    return path


@pytest.fixture(scope="session")
def kubectl(cluster: Path) -> Kubectl:
    return Kubectl(str(providers.choose().kubectl), str(cluster))


@pytest.fixture(scope="session")
def images() -> dict[str, str]:
    """Name of an image -> its reference in the cluster."""
    found: dict[str, str] = json.loads(Path(os.environ["TRAINYARD_IMAGES"]).read_text())
    return found
