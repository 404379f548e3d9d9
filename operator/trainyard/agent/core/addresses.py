"""Which addresses an S3 endpoint may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network


def admission(denied: Sequence[str], allowed: Sequence[str]) -> Callable[[str], bool]:
    """The rule for addresses: one in a network of `allowed` may be spoken to, then none in `denied`, and then all others."""
    denied_networks = [ip_network(network) for network in denied]
    allowed_networks = [ip_network(network) for network in allowed]

    def admits(text: str) -> bool:
        address = ip_address(text.partition("%")[0])  # without the interface of a link-local one
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address in network for network in allowed_networks):
            return True
        return not any(address in network for network in denied_networks)

    return admits
