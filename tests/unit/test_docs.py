"""What the documentation says exists, and what exists is in the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trainyard.api.reasons import Reason
from trainyard.api.status import SecondaryStatus
from trainyard.api.trainingjob import TrainingJobSpec
from trainyard.controller.core.announce import ACTIONABLE
from trainyard.controller.core.conditions import TYPES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def settings(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Dotted names as the reference page has them: those whose content is the user's are not divided further."""
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in ("instanceTypes", "resources"):
            yield from settings(value, f"{path}{name}.")
        else:
            yield f"{path}{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    missing = [link for link in LINK.findall(CODE.sub("", page.read_text())) if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    named = re.findall(r"(?:`|^)make (?:-s )?([a-z][a-z0-9-]*)", page.read_text(), re.MULTILINE)
    assert set(named) <= TARGETS


def test_every_reason_is_explained() -> None:
    page = (ROOT / "docs/reference/failure-reasons.md").read_text()
    assert [reason.value for reason in Reason if f"| `{reason.value}` |" not in page] == []


def test_every_setting_is_explained_and_no_other() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text()
    cells = re.findall(r"^\| (`[^|]*`) \|", page, re.MULTILINE)
    explained = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    values = yaml.safe_load((ROOT / "charts/trainyard/values.yaml").read_text())
    assert explained == set(settings(values))


def test_the_readmes_manifest_is_a_valid_job() -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    manifest = yaml.safe_load(block[1])
    assert (manifest["apiVersion"], manifest["kind"]) == ("trainyard.dev/v1alpha1", "TrainingJob")
    assert TrainingJobSpec.model_validate(manifest["spec"]).resource_config.instance_count == 2


def test_every_state_condition_and_event_is_on_the_page_of_states() -> None:
    page = (ROOT / "docs/reference/states.md").read_text()
    wanted = [*SecondaryStatus, *TYPES, *ACTIONABLE, "Resumed", "StopIgnored", "FieldsIgnored"]
    assert [name for name in map(str, wanted) if f"`{name}`" not in page] == []
