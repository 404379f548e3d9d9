"""The operator on the cluster, by its Helm chart and with the images built here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hack import shell, tools
from hack.paths import REPO

NAMESPACE = "trainyard-system"
RELEASE = "trainyard"


def operator(kubeconfig: Path, images: Mapping[str, str], values: Mapping[str, str] | None = None) -> None:
    """Install it, or make what is there this version with these values; returns when it is ready."""
    chosen: dict[str, str] = dict(values or {})
    for image, setting in (("operator", "image"), ("agent", "agentImage")):
        repository, _, tag = images[image].rpartition(":")
        chosen |= {f"{setting}.repository": repository, f"{setting}.tag": tag}
    settings = [argument for name, value in chosen.items() for argument in ("--set", f"{name}={value}")]
    where: tuple[str | Path, ...] = ("--kubeconfig", kubeconfig, "--namespace", NAMESPACE)
    with shell.locked("operator installation"):
        _recover(where)
        shell.run(
            *(tools.HELM.binary, "upgrade", RELEASE, REPO / "charts/trainyard", "--install", "--reset-values"),
            # Objects of our names may have come by other ways: CRDs by kubectl, kept ones from a release elsewhere.
            # And fields of theirs that kubectl wrote are the chart's again.
            *(*where, "--create-namespace", "--take-ownership", "--force-conflicts", "--wait", "--timeout", "3m"),
            *settings,
        )


def _recover(where: tuple[str | Path, ...]) -> None:
    """A helm that was killed leaves its release locked for ever; CRDs and jobs outlive its removal."""
    releases = json.loads(shell.output(tools.HELM.binary, "list", "--pending", "-o", "json", *where))
    if any(release["name"] == RELEASE for release in releases):
        shell.run(tools.HELM.binary, "uninstall", RELEASE, "--wait", *where)
