"""Which cluster is chosen, and what kind is told."""

import json
import subprocess
from pathlib import Path

import pytest

from hack import choice, providers, tools, versions
from hack.console import Problem
from hack.kind import KindProvider


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing but what a test puts on its PATH."""
    monkeypatch.setenv("TRAINYARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CLUSTER", raising=False)
    choice.docker_answers.cache_clear()
    yield tmp_path
    choice.docker_answers.cache_clear()


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("docker", "expected"), [(None, "native"), ("exit 1", "native"), ("echo 29.0", "kind")])
def test_kind_needs_an_engine_that_answers(machine: Path, docker: str | None, expected: str) -> None:
    if docker:
        program(machine / "bin" / "docker", docker)
    assert providers.choose().name == expected


@pytest.mark.parametrize("name", ["kind", "native", "existing"])
def test_the_user_decides(machine: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    program(machine / "bin" / "docker", "echo 29.0")
    monkeypatch.setenv("CLUSTER", name)
    assert providers.choose().name == name


def test_an_unknown_cluster_is_a_problem() -> None:
    with pytest.raises(Problem, match="choose kind, native, existing"):
        providers.choose("minikube")


def test_an_existing_cluster_is_never_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/somewhere/config:/else/config")
    existing = providers.choose("existing")
    assert existing.kubeconfig == Path("/somewhere/config")
    assert existing.images() is None
    with pytest.raises(Problem, match="not ours"):
        existing.down()


def test_kind_is_told_its_versions_and_paths(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def record(argv: list[str], **_: object) -> str:
        calls.append(argv)
        return ""

    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.setattr(subprocess, "check_output", record)
    kind = program(tools.KIND.directory / "kind", "")
    provider = KindProvider()
    # What pytest-kind reads once the cluster is there.
    user = {"name": "u", "user": {}}
    config = {"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1"}}], "users": [user]}
    contexts = {"contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}], "current-context": "x"}
    provider.kubeconfig.write_text(json.dumps(config | contexts))
    program(provider.kubectl, "")

    provider.up()
    provider.down()

    named, kubeconfig = "--name=trainyard", f"--kubeconfig={provider.kubeconfig}"
    wait = ["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s"]
    assert calls == [
        [str(kind), "get", "clusters"],
        [str(kind), "create", "cluster", named, kubeconfig, f"--image={versions.KIND_NODE}"],
        [str(provider.kubectl), *wait],
        [str(kind), "delete", "cluster", named, kubeconfig],
    ]
    assert provider.context == "kind-trainyard"
    assert versions.KUBECTL in str(provider.kubectl)
    assert not (Path.cwd() / ".pytest-kind").exists()
