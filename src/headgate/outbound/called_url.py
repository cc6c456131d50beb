"""The URL of a service as it is called: in one form, whatever was written.

Programs read unusual URLs in different ways, so what is unusual is not taken: then
what was checked is what is called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal
from urllib.parse import quote, urlsplit

__all__ = ["Address", "Checked", "NotAllowed", "Scheme", "called_url"]

Address = IPv4Address | IPv6Address
Scheme = Literal["https", "http"]

MAX_URL = 2000  # characters, as many as a destination's row takes
MAX_HOST = 253  # characters of a name (RFC 1035, section 2.3.4)
DEFAULT_PORTS: dict[Scheme, int] = {"https": 443, "http": 80}

_is_name = re.compile(
    r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*",
).fullmatch
# What ends like a number is an IPv4 address to some programs: 0x7f.1, 2130706433.
_ends_as_number = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)").fullmatch
_is_visible = re.compile(r"[^\x00-\x20\x7f-\x9f\\]+").fullmatch
_PATH_KEEPS = "/%:@!$&'()*+,;=~"


class NotAllowed(ValueError):  # noqa: N818 - named for what it says
    """It must not be called; the text says why and what to do, to people."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A URL that may be called, if the addresses of its host may.

    Attributes:
        url: As it is called: without a fragment, the host in ASCII.
        scheme: https or http.
        host: A name, or an address without brackets.
        port: Always a number.
        authority: What the header field Host says.
        target: The path and the query.
    """

    url: str
    scheme: Scheme
    host: str
    port: int
    authority: str
    target: str


def called_url(url: str) -> tuple[Checked, Address | None]:
    """Return a URL as it is called, and the address where its host is one.

    Raises:
        NotAllowed: It is none, or not in a form that all programs read alike.
    """
    if len(url) > MAX_URL:
        raise NotAllowed(f"The URL is longer than {MAX_URL} characters.")
    if not _is_visible(url):
        raise NotAllowed(
            "The URL is empty, or has spaces, control characters or backslashes in "
            "it: write it as https://name/path.",
        )
    try:
        parts = urlsplit(url)
        given, given_port = parts.hostname, parts.port
    except ValueError:
        raise NotAllowed("This is no URL: write it as https://name/path.") from None
    scheme = _scheme(parts.scheme)
    if "@" in parts.netloc:
        raise NotAllowed(
            "The URL has a user name or a password in it: calls are signed, so leave "
            "them out.",
        )
    host, address = _host(given or "")
    port = DEFAULT_PORTS[scheme] if given_port is None else given_port
    authority = f"[{host}]" if isinstance(address, IPv6Address) else host
    if port != DEFAULT_PORTS[scheme]:
        authority = f"{authority}:{port}"
    target = quote(parts.path or "/", safe=_PATH_KEEPS)
    if parts.query:
        target += "?" + quote(parts.query, safe=_PATH_KEEPS + "?")
    full = f"{scheme}://{authority}{target}"
    return Checked(full, scheme, host, port, authority, target), address


def _scheme(given: str) -> Scheme:
    if given not in DEFAULT_PORTS:
        raise NotAllowed("The URL must begin with https://.")
    return given


def _host(given: str) -> tuple[str, Address | None]:
    """Return a host as it is looked up, and the address where it is one."""
    if ":" in given:  # it stood in brackets
        if "%" in given:
            raise NotAllowed("The URL's address has a zone (%…): leave it out.")
        try:
            found = IPv6Address(given)
        except ValueError:
            raise NotAllowed("What the URL has in brackets is no address.") from None
        return str(found), found
    name = _ascii(given).removesuffix(".")
    if not name or len(name) > MAX_HOST or not _is_name(name):
        raise NotAllowed("The URL has no host that could be looked up.")
    if not _ends_as_number(name):
        return name, None
    try:
        # Strict: four decimal numbers, none with a 0 in front, which is octal to some.
        address = IPv4Address(name)
    except ValueError:
        raise NotAllowed(
            "The URL's host is a number: write an address as 192.0.2.7, or a name.",
        ) from None
    return name, address


def _ascii(host: str) -> str:
    """Return a name as DNS has it, such as xn--bcher-kva.example."""
    if host.isascii():
        return host.lower()
    import idna

    try:
        return idna.encode(host, uts46=True).decode().lower()
    except idna.IDNAError:
        raise NotAllowed("The URL's host has characters that no name has.") from None
