"""What a WebSocket's handshake says: from which page, who it is, and in which mode."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from headgate.chat.admission import Crowded
from headgate.chat.authenticators import NotAuthenticated
from headgate.chat.identity import Identity
from headgate.chat.origin import header, origin_allowed
from headgate.chat.storage import RETRY_MS
from headgate.chat.tickets import TicketRefused, redeem_ticket, ticket_in
from headgate.live.frames import Mode
from headgate.live.ports import LogUnavailable
from headgate.protocol.codec import error, is_pace
from headgate.protocol.codes import Close, Code
from headgate.protocol.fields import MAX_INTEGER, PACE_RULE
from headgate.protocol.pushes import Error

__all__ = [
    "OriginDenied",
    "Refused",
    "Wishes",
    "crowded",
    "deny",
    "deny_path",
    "mode_of",
    "origin_of",
    "redeemed",
    "unavailable",
    "who_comes",
    "wishes_of",
]

logger = logging.getLogger("headgate.consumer")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SEQ_DIGITS = len(str(MAX_INTEGER))
_SHOWN_PATH = 200  # characters of a stranger's path in the log


class OriginDenied(Exception):  # noqa: N818 - an answer, not a fault
    """The handshake's Origin may not come in."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What to say to somebody who may not come in, and how to close."""

    error: Error
    close: Close


def mode_of(scope: Scope) -> Mode:
    """Return the mode that the client offers; plain mode without a word."""
    offered = scope.get("subprotocols", [])
    return Mode.V1 if Mode.V1.value in offered else Mode.PLAIN


def origin_of(scope: Scope) -> str:
    """Return the Origin of a handshake that was let in, or nothing."""
    return next(iter(header(scope, b"origin")), "")


async def who_comes(
    scope: Scope,
    identify: Callable[[Scope], Awaitable[Identity | None]],
) -> Identity | Refused | None:
    """Return who is there as far as the handshake tells; None for somebody unknown.

    The Origin is looked at first: a page that may not come in learns nothing.

    Raises:
        OriginDenied: It may not.
    """
    if not origin_allowed(scope, by_cookie=False):
        raise OriginDenied
    ticket = ticket_in(scope.get("subprotocols", []))
    if ticket is not None:
        return await redeemed(ticket, scope)
    try:
        who = await identify(scope)
    except NotAuthenticated as exc:
        failure = error(Code.UNAUTHENTICATED, str(exc) or None)
        return Refused(failure, Close.UNAUTHENTICATED)
    except LogUnavailable:
        return unavailable()
    by_cookie = who is not None and who.by == "cookie"
    if not origin_allowed(scope, by_cookie=by_cookie):
        raise OriginDenied
    return who


async def redeemed(ticket: str, scope: Scope) -> Identity | Refused:
    """Return whose ticket it is, and use it up."""
    try:
        actor = await redeem_ticket(ticket, origin=origin_of(scope))
    except TicketRefused:
        return Refused(error(Code.TICKET_REFUSED), Close.TICKET_REFUSED)
    except LogUnavailable:
        return unavailable()
    return Identity(actor, "ticket")


class Wishes(NamedTuple):
    """What a client in plain mode asks for by its URL.

    `complaints` are what is wrong with that; what is wrong is left out.
    """

    after: int | None
    pace: str | None
    complaints: list[Error]


def wishes_of(scope: Scope) -> Wishes:
    """Return plain mode's `?after=N` and `?pace=5/s`."""
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    after, pace = query.get("after", [None])[0], query.get("pace", [None])[0]
    complaints = []
    seq = None
    if after is not None:
        if after.isascii() and after.isdigit() and len(after) <= _SEQ_DIGITS:
            seq = int(after)
        if seq is None or seq > MAX_INTEGER:
            text = "`after` is the seq of the last message you have, such as ?after=41."
            complaints.append(error(Code.BAD_COMMAND, text, field="after"))
            seq = None
    if pace is not None and not is_pace(pace):
        complaints.append(error(Code.BAD_COMMAND, f"{PACE_RULE}.", field="pace"))
        pace = None
    return Wishes(seq, pace, complaints)


async def deny(scope: Scope, send: Send) -> None:
    """Refuse the handshake with 403, saying why where the server can."""
    # Both sides of the comparison: a proxy that changes the Host is the usual
    # reason. !r keeps line breaks out of the log.
    logger.warning(
        "origin_refused origin=%r host=%r",
        header(scope, b"origin"),
        header(scope, b"host"),
    )
    text = "This origin may not open a WebSocket here. See ALLOWED_ORIGINS."
    await _refuse(scope, send, HTTPStatus.FORBIDDEN, text, code=1008)


async def deny_path(scope: Scope, send: Send, socket: str) -> None:
    """Refuse a path that is none of the chat's, saying where the server can what is.

    The log has the path as well: a client sees 404 or 403 and mostly nothing more. It
    has no query, in which there may be a token.

    Args:
        scope: The handshake's.
        send: What ASGI gave with it.
        socket: The path of the chat's WebSocket without a room.
    """
    logger.warning("socket_not_here path=%r", scope["path"][:_SHOWN_PATH])
    text = (
        f"There is no WebSocket here; the chat's is {socket}<room>/, with the slash at "
        "its end."
    )
    await _refuse(scope, send, HTTPStatus.NOT_FOUND, text, code=1000)


async def _refuse(
    scope: Scope, send: Send, status: HTTPStatus, text: str, *, code: int
) -> None:
    """Answer with a status and a text; without that extension close, which is a 403."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": code})
        return
    await send(
        {
            "type": "websocket.http.response.start",
            "status": status.value,
            "headers": [(b"content-type", b"text/plain; charset=utf-8")],
        },
    )
    body = f"{text}\n".encode()
    await send({"type": "websocket.http.response.body", "body": body})


def crowded(crowd: Crowded) -> Refused:
    """Return what to say while too many are coming in."""
    failure = error(Code.UNAVAILABLE, retry_after_ms=crowd.retry_after_ms)
    return Refused(failure, Close.UNAVAILABLE)


def unavailable() -> Refused:
    """Return what to say while the database is away."""
    return Refused(error(Code.UNAVAILABLE, retry_after_ms=RETRY_MS), Close.UNAVAILABLE)
