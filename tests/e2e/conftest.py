"""Whole jobs on the real cluster, the operator installed by its chart, S3 by a real server. Nothing is faked."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from hack import shell
from tests.e2e.jobs import Kubectl, slug
from tests.e2e.site import Desk, Site, open_desk
from tests.support import lanes


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails on the cluster shows what was there: nobody can look afterwards."""
    report = yield
    desk = getattr(item, "funcargs", {}).get("desk")
    if report.when == "call" and report.failed and isinstance(desk, Desk):
        with contextlib.suppress(subprocess.TimeoutExpired):  # else the whole run ends with it
            report.sections.append(("the cluster then", desk.shown()))
    return report


class Turn:
    """A module's: it has the cluster for itself, or shares it with others that disturb nobody."""

    def __init__(self) -> None:
        self._module: Path | None = None
        self._lock = contextlib.ExitStack()

    def begins(self, item: pytest.Item) -> None:
        if self._module != item.path:
            shared = not item.nodeid.startswith(lanes.DISTURBING)
            self._lock.enter_context(shell.locked("module of tests on the cluster", shared=shared))
            self._module = item.path

    def ends(self) -> None:
        self._module = None
        self._lock.close()


TURN = Turn()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    """Around all that has a timeout, so that waiting counts for none. It is asked of every test, not just of those here."""
    if not item.nodeid.startswith("tests/e2e/"):
        return (yield)
    TURN.begins(item)
    try:
        return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path:
            TURN.ends()


@pytest.fixture(scope="session")
def site(kubectl: Kubectl, images: dict[str, str]) -> Iterator[Site]:
    with Site.open(kubectl, images) as opened:
        yield opened


@pytest.fixture
def desk(site: Site, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A namespace and a bucket of the test's own."""
    with open_desk(site, slug(request.node.originalname.removeprefix("test_"))[:24].strip("-")) as opened:
        yield opened
