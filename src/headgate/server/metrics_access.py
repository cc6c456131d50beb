"""Who may read the metrics: whoever asks by themselves, from this network.

There is no password on them, and proxies stand open to the world. What tells that a
request came through one is a header that proxies add.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

__all__ = ["why_refused"]

# Loopback, and what is routed in no other network: RFC 1918, 3927, 4193 and 4291.
_OWN = tuple(
    ip_network(each)
    for each in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
_OF_PROXIES = frozenset({b"forwarded", b"via", b"x-real-ip"})  # and X-Forwarded-…


def why_refused(scope: MutableMapping[str, Any]) -> str | None:
    """Return why a request is not answered; None where it is."""
    for name, _ in scope["headers"]:
        if name in _OF_PROXIES or name.startswith(b"x-forwarded-"):
            return "Metrics are not shown through a proxy: ask the server itself."
    client = scope.get("client")
    if client is None or not _is_near(client[0]):
        return "Metrics are shown to loopback and private addresses only."
    return None


def _is_near(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in each for each in _OWN)
