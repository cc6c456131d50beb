"""Which URLs and addresses may be called: nothing in a private network by accident.

A name is not judged by how it looks but by its addresses, and an address not by
`ipaddress.is_global`, which lets some through that carry a private one inside.
The tables are those of IANA's registries of special-purpose addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from django.core.exceptions import ImproperlyConfigured

from headgate.chat.conf import Conf, conf
from headgate.outbound.called_url import (
    Address,
    Checked,
    NotAllowed,
    Scheme,
    called_url,
)

__all__ = [
    "Address",
    "AddressGuard",
    "Checked",
    "NotAllowed",
    "Scheme",
    "check_address",
    "check_url",
    "guard",
]

MAX_PORT = 65_535
PUBLIC_PORTS = frozenset({443, 8443})  # where OUTBOUND_PORTS says nothing

# What clouds tell the machines in them, keys included. Two of them are not private.
METADATA: frozenset[Address] = frozenset(
    map(
        ip_address,
        (
            "169.254.169.254",
            "fd00:ec2::254",
            "169.254.170.2",  # credentials of containers on AWS
            "169.254.170.23",
            "fd00:ec2::23",
            "fd20:ce::254",  # Google
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure
            "192.0.0.192",  # Oracle
        ),
    ),
)

# IPv4 that is nobody's, and what it is instead.
_SPECIAL_4 = tuple(
    (IPv4Network(network), what)
    for network, what in (
        ("0.0.0.0/8", "this machine's own"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "a provider's own"),
        ("127.0.0.0/8", "this machine's own"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation only"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "for measurements only"),
        ("198.51.100.0/24", "for documentation only"),
        ("203.0.113.0/24", "for documentation only"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
    )
)
# IPv6 is the other way round: 2000::/3 is what is given out, but for these.
_GLOBAL_6 = IPv6Network("2000::/3")
_SPECIAL_6 = tuple(
    (IPv6Network(network), what)
    for network, what in (
        ("2001::/23", "reserved"),  # Teredo and other protocols
        ("2001:db8::/32", "for documentation only"),
        ("2002::/16", "of 6to4, which may hide a private one"),
        ("3fff::/20", "for documentation only"),
    )
)
# In these the last 32 bits are an IPv4 address, which is judged in their place.
_NAT64 = IPv6Network("64:ff9b::/96")
# These carry an IPv4 address too, are nobody's, and are never called, even if listed.
_CARRIERS = tuple(
    map(IPv6Network, ("::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16"))
)
_LOOPBACK_6 = IPv6Address("::1")
_NEVER = tuple(map(ip_network, ("0.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "ff00::/8")))

_TO_ALLOW = (
    "If it is meant, whoever runs this server lists the network in the setting "
    "OUTBOUND_NETWORKS."
)


class AddressGuard:
    """The rules with what a project allows beyond them.

    Args:
        networks: The networks that may be called although they are private.
        ports: All that may be called; None: see `OUTBOUND_PORTS`.

    Raises:
        ImproperlyConfigured: One of them is none.
    """

    def __init__(
        self, networks: Sequence[str] | None = None, ports: Sequence[str] | None = None
    ) -> None:
        self._networks = tuple(_network(each) for each in networks or ())
        self._ports = None if ports is None else frozenset(map(_port, ports))

    def check_url(self, url: str) -> Checked:
        """Return a URL as it may be called; raises `NotAllowed`.

        Its name is not looked up: the addresses are checked where it is called.
        """
        checked, address = called_url(url)
        scheme, port = checked.scheme, checked.port
        if address is not None:
            self.check_address(str(address), scheme=scheme, port=port)
        else:
            self._check_way(scheme, port, listed=bool(self._networks))
        return checked

    def check_address(
        self, address: str, *, scheme: Scheme = "https", port: int = 443
    ) -> Address:
        """Return an address as it may be called; raises `NotAllowed`."""
        if "%" in address:
            raise NotAllowed("An address with a zone is never called.")
        try:
            found: Address = ip_address(address)
        except ValueError:
            raise NotAllowed("This is no address.") from None
        mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
        found = mapped or found
        listed = self._is_listed(found)
        if found in METADATA and not self._is_listed_alone(found):
            raise NotAllowed(
                "Its address is where a cloud tells machines their secrets, which is "
                "not called.",
            )
        if isinstance(found, IPv6Address) and found in _NAT64:
            inner = IPv4Address(int(found) & 0xFFFF_FFFF)
            self.check_address(str(inner), scheme=scheme, port=port)
            listed = listed or self._is_listed(inner)
        elif not listed or _is_never_called(found):
            what = _special(found)
            if what is not None:
                raise NotAllowed(
                    f"Its address is {what}: it is not called. {_TO_ALLOW}"
                )
        self._check_way(scheme, port, listed=listed)
        return found

    def _check_way(self, scheme: Scheme, port: int, *, listed: bool) -> None:
        """Check what only networks that are listed may be called by."""
        if scheme == "http" and not listed:
            raise NotAllowed(f"Write https:// in place of http://. {_TO_ALLOW}")
        if self._ports is not None:
            allowed = port in self._ports
        else:
            allowed = port in PUBLIC_PORTS or (listed and 0 < port <= MAX_PORT)
        if not allowed:
            known = ", ".join(map(str, sorted(self._ports or PUBLIC_PORTS)))
            raise NotAllowed(
                f"Services are not called at port {port}, but at {known}. Whoever "
                "runs this server may list others in HEADGATE['OUTBOUND_PORTS'].",
            )

    def _is_listed(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def _is_listed_alone(self, address: Address) -> bool:
        return ip_network(address) in self._networks


def check_url(url: str) -> Checked:
    """Return a URL as it may be called by the settings in force.

    Raises:
        NotAllowed: It may not; the text is for people.
    """
    return guard().check_url(url)


def check_address(address: str) -> Address:
    """Return an address as it may be called; raises `NotAllowed`."""
    return guard().check_address(address)


_in_force: tuple[Conf, AddressGuard, AddressGuard] | None = None


def guard(*, public_only: bool = False) -> AddressGuard:
    """Return the rules in force; those of `override_settings` at once.

    With `public_only`, those for whoever does not run the server: `OUTBOUND_NETWORKS`
    is not for them.
    """
    global _in_force  # noqa: PLW0603 - kept for as long as the settings are
    settings = conf()
    if _in_force is None or _in_force[0] is not settings:
        ports = settings.OUTBOUND_PORTS
        made = AddressGuard(settings.OUTBOUND_NETWORKS, ports)
        _in_force = settings, made, AddressGuard(None, ports)
    return _in_force[2] if public_only else _in_force[1]


def _special(address: Address) -> str | None:
    """Return what an address is that is not somebody's on the Internet, or None."""
    if isinstance(address, IPv4Address):
        return next((what for net, what in _SPECIAL_4 if address in net), None)
    if address not in _GLOBAL_6:
        return "private or reserved"
    return next((what for net, what in _SPECIAL_6 if address in net), None)


def _is_never_called(address: Address) -> bool:
    if any(address in network for network in _NEVER):
        return True
    return address != _LOOPBACK_6 and any(address in net for net in _CARRIERS)


def _network(given: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(given)
    except ValueError as exc:
        raise ImproperlyConfigured(
            f"HEADGATE['OUTBOUND_NETWORKS']: {exc}. Write networks such as "
            "'10.1.0.0/16'.",
        ) from None


def _port(given: str) -> int:
    text = str(given)
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= MAX_PORT):
        raise ImproperlyConfigured(
            f"HEADGATE['OUTBOUND_PORTS']: {given!r} is no port from 1 to {MAX_PORT}.",
        )
    return int(text)
