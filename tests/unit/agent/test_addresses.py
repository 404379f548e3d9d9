"""Where an S3 endpoint may be."""

from __future__ import annotations

import pytest

from trainyard.agent.core.addresses import admission

DENIED = ["127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10", "10.0.0.0/8"]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.9.9.9", "::1", "169.254.169.254", "fe80::1%eth0", "10.96.0.1", "::ffff:169.254.169.254"],
)
def test_an_address_in_a_denied_network_is_not_spoken_to(address: str) -> None:
    assert not admission(DENIED, [])(address)


@pytest.mark.parametrize("address", ["52.216.1.1", "192.168.1.1", "2600::1", "10.1.2.3"])
def test_all_others_and_what_is_allowed_may_be(address: str) -> None:
    assert admission(DENIED, ["10.1.0.0/16"])(address)


def test_without_settings_every_address_may_be() -> None:
    assert admission([], [])("127.0.0.1")
