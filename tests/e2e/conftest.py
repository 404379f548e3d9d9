"""Whole jobs on the real cluster, the operator installed by its chart, S3 by a real server. Nothing is faked."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.e2e.jobs import Kubectl, slug
from tests.e2e.site import Desk, Site, open_desk


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails on the cluster shows what was there: nobody can look afterwards."""
    report = yield
    desk = getattr(item, "funcargs", {}).get("desk")
    if report.when == "call" and report.failed and isinstance(desk, Desk):
        report.sections.append(("the cluster then", desk.shown()))
    return report


@pytest.fixture(scope="session")
def site(kubectl: Kubectl, images: dict[str, str]) -> Iterator[Site]:
    with Site.open(kubectl, images) as opened:
        yield opened


@pytest.fixture
def desk(site: Site, request: pytest.FixtureRequest) -> Iterator[Desk]:
    """A namespace and a bucket of the test's own."""
    with open_desk(site, slug(request.node.originalname.removeprefix("test_"))[:24].strip("-")) as opened:
        yield opened
