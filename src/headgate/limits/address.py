"""Whose address it is: the key of those who are nobody else.

What a client writes into `X-Forwarded-For` is not believed. Each proxy adds the
address that it saw at the end, so with N proxies of one's own the Nth from the end is
the first that one of them has seen.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["address_key", "client_address"]

NOWHERE = "-"  # a client without an address, such as one on a Unix socket
_IPV6_PREFIX = 64  # what one customer has of IPv6 at the least (RFC 6177)


def client_address(scope: Mapping[str, Any], trusted_proxies: int = 0) -> str:
    """Return the address of an ASGI scope's client, or `-` where it has none.

    Args:
        scope: Of an HTTP request or a WebSocket.
        trusted_proxies: How many proxies of one's own stand before the server. With
            fewer addresses in `X-Forwarded-For` than that, the request did not come
            through them, and the address of the connection counts.
    """
    client = scope.get("client")
    direct = str(client[0] or NOWHERE) if client else NOWHERE
    if trusted_proxies <= 0:
        return direct
    seen = forwarded(
        value.decode("latin-1")
        for name, value in scope.get("headers", ())
        if name == b"x-forwarded-for"
    )
    return seen[-trusted_proxies] if len(seen) >= trusted_proxies else direct


def forwarded(values: Iterable[str]) -> list[str]:
    """Return the addresses of `X-Forwarded-For`, of all its fields together."""
    return [part.strip() for part in ",".join(values).split(",") if part.strip()]


def address_key(address: str) -> str:
    """Return what an address is counted as.

    IPv4 as it is, also where it is written as IPv6; IPv6 by its first 64 bits, since
    whoever has one address there has all of those. What is no address is itself.
    """
    found = _parsed(address)
    if found is None:
        without_port, _, port = address.rpartition(":")
        found = _parsed(without_port) if port.isdigit() else None
    if found is None:
        return address.strip()[:64] or NOWHERE
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.IPv6Network((found, _IPV6_PREFIX), strict=False))
    return str(found)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address without its brackets and zone, or None."""
    try:
        return ipaddress.ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
