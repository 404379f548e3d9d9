"""Settings: read from the environment once, empty means the default, and nonsense is refused by name."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from trainyard.controller.adapters.errors import Refused
from trainyard.controller.app.apply import explain_refusal
from trainyard.controller.settings import Settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "TRAINYARD_AGENT_IMAGE": "agent:1",
        "TRAINYARD_IMAGE_PULL_TIMEOUT_SECONDS": "20",
        "TRAINYARD_TRAINING_IMAGE_PULL_POLICY": "",
        "TRAINYARD_WATCH_NAMESPACES": "b, a,,",
        "TRAINYARD_METRICS_FROM_LOGS": "false",
        "POD_NAMESPACE": "system",
        "POD_NAME": "operator-0",
    }.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.namespace, settings.identity, settings.namespaces) == ("system", "operator-0", ("a", "b"))
    options = settings.options()
    assert (options.agent_image, options.image_pull_timeout, options.training_image_pull_policy) == ("agent:1", 20, "")
    assert (options.reference_timeout, options.metrics_from_logs) == (15, False)


def test_networks_are_checked_when_the_operator_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_AGENT_IMAGE", "agent:1")
    monkeypatch.setenv("TRAINYARD_S3_DENIED_ADDRESSES", "10.0.0.0/8, fd00::/8")
    assert Settings().options().denied_addresses == ("10.0.0.0/8", "fd00::/8")
    monkeypatch.setenv("TRAINYARD_S3_ALLOWED_ADDRESSES", "10.0.0.1/8")
    with pytest.raises(ValidationError, match="has host bits set"):
        Settings()


def test_nonsense_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINYARD_AGENT_IMAGE", "agent:1")
    monkeypatch.setenv("TRAINYARD_DEFAULT_SECURITY_MODE", "privileged")
    with pytest.raises(ValidationError, match="default_security_mode"):
        Settings()


@pytest.mark.parametrize(
    ("told", "advice"),
    [
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot', "securityMode: restricted"),
        (
            'pods "x" is forbidden: violates PodSecurity "baseline:latest": hostPort',
            "pod-security.kubernetes.io/enforce",
        ),
        ('pods "x" is forbidden: exceeded quota: q', "free some of the quota"),
        ("admission webhook denied", "tried again every minute"),
    ],
)
def test_a_refusal_is_told_with_what_to_do(told: str, advice: str) -> None:
    text = explain_refusal("Pod", "x", Refused(told, 403))
    assert told in text
    assert advice in text
