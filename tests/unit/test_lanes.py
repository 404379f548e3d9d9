"""Which tests of whole jobs may run beside others."""

from __future__ import annotations

import re

from hack.paths import REPO
from tests.support import lanes

DISTURBS = re.compile(r"\b(site\.install|kill_operator|operator_away|s3_paused|apiserver_paused|signal_apiserver)\(")


def test_what_disturbs_other_jobs_has_the_cluster_for_itself() -> None:
    modules = {path.relative_to(REPO).as_posix(): path.read_text() for path in REPO.glob("tests/e2e/test_*.py")}
    found = {module for module, text in modules.items() if DISTURBS.search(text)}
    assert found
    assert found <= set(lanes.DISTURBING)
    assert set(lanes.DISTURBING) <= set(modules)


def test_a_module_of_whole_jobs_stays_together_and_the_long_lanes_come_first() -> None:
    ids = [
        "tests/unit/test_docs.py::test_a",
        "tests/e2e/test_jobs.py::test_a",
        "tests/e2e/test_jobs.py::test_b",
        "tests/e2e/test_faults.py::test_a",
        "tests/e2e/test_stopping.py::test_a",
        "tests/integration/test_crds.py::test_a",
    ]
    first, *_, last = sorted(ids, key=lanes.turn)
    assert {lanes.lane(first), lanes.lane(ids[5])} <= {lanes.APISERVER, lanes.CLUSTER}
    assert lanes.lane(ids[1]) == lanes.lane(ids[2])
    assert lanes.lane(ids[3]) == lanes.lane(ids[4]) == lanes.CLUSTER
    assert last.startswith("tests/e2e/" if lanes.OWN_APISERVER else "tests/unit/")
