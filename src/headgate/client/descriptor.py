"""The connection descriptor: what an HTTP answer tells to open a WebSocket.

It comes in the header `Headgate-Connect` of an answer, or in a body. The ticket and
the guest's token in it are secrets: no text that is made here holds them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from headgate.client.errors import DescriptorRefused
from headgate.protocol.codec import is_room_slug
from headgate.protocol.fields import MAX_ROOMS, ROOM_RULE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CONNECT_HEADER",
    "TICKET_PATTERN",
    "Descriptor",
    "descriptor_in",
    "descriptor_of",
    "host_of",
]

CONNECT_HEADER = "Headgate-Connect"
PROTOCOL = "headgate.v1"
# A ticket is presented as a subprotocol, so it has the characters of one (RFC 9110,
# section 5.6.2). Python lets `$` match before a last newline.
TICKET_PATTERN = r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,2048}$(?!\n)"
MAX_BYTES = 16_384  # of a descriptor; a hundred rooms and a ticket have less

_STANDARD_PORTS = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """How to connect: as whom, and which rooms to join.

    `user_id` is known where the descriptor came in a body; `guest` where it is one.
    """

    ticket: str = field(repr=False)
    ticket_lives_seconds: float
    rooms: tuple[str, ...]
    guest: str | None = field(repr=False)
    user_id: str | None


class _User(Struct):
    id: str


class _Wire(Struct):
    url: str
    protocol: str
    ticket: Annotated[str, Meta(pattern=TICKET_PATTERN)]
    ticket_expires_in_ms: Annotated[int, Meta(ge=0)]
    rooms: Annotated[list[str], Meta(max_length=MAX_ROOMS)] = []
    guest: Annotated[str, Meta(max_length=1024)] | None = None
    user: _User | None = None


def descriptor_in(text: str | bytes, host: str) -> Descriptor:
    """Return the descriptor that is JSON in a header or a body.

    Raises `DescriptorRefused`, as `descriptor_of` does.
    """
    if len(text) > MAX_BYTES:
        raise DescriptorRefused(f"it has more than {MAX_BYTES} bytes")
    try:
        wire = msgspec.json.decode(text, type=_Wire)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise DescriptorRefused(f"it is not well formed: {_why(exc)}") from None
    return _checked(wire, host)


def descriptor_of(found: Mapping[str, Any], host: str) -> Descriptor:
    """Return the descriptor that was decoded from a body.

    Args:
        found: `url`, `protocol`, `ticket`, `ticket_expires_in_ms`, `rooms`, and
            perhaps `guest` and `user`.
        host: Where the client connects to, as `host_of` says it.

    Raises:
        DescriptorRefused: It is no descriptor, or one of another host.
    """
    try:
        wire = msgspec.convert(found, type=_Wire)
    except msgspec.MsgspecError as exc:
        raise DescriptorRefused(f"it is not well formed: {_why(exc)}") from None
    return _checked(wire, host)


def host_of(url: str) -> str:
    """Return the host of a URL, with its port unless that is the scheme's own."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2].lower()
    return netloc.removesuffix(_STANDARD_PORTS.get(parts.scheme.lower(), ""))


def _checked(wire: _Wire, host: str) -> Descriptor:
    if wire.protocol != PROTOCOL:
        raise DescriptorRefused(f"it is for {wire.protocol!r}, not {PROTOCOL!r}")
    try:
        named = host_of(wire.url)
    except ValueError:
        named = ""
    if named != host:
        raise DescriptorRefused(
            f"it names the host {named!r}, and this client is for {host!r}. Make a "
            "Client for that host; or, where both are one server, have the proxy "
            "before it pass the header Host on",
        )
    for room in wire.rooms:
        if not is_room_slug(room):
            raise DescriptorRefused(f"{room!r} names no room: {ROOM_RULE}")
    return Descriptor(
        ticket=wire.ticket,
        ticket_lives_seconds=wire.ticket_expires_in_ms / 1000,
        rooms=tuple(dict.fromkeys(wire.rooms)),
        guest=wire.guest,
        user_id=None if wire.user is None else wire.user.id,
    )


def _why(exc: Exception) -> str:
    """Return what is wrong, in words that repeat nothing of a secret."""
    return str(exc) if isinstance(exc, msgspec.MsgspecError) else type(exc).__name__
