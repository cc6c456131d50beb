"""Tickets: what an HTTP answer hands out to open a connection.

A ticket is signed, short-lived, for one person, and good once. It says who somebody
is without a look at their session, so that a storm of returns asks only whether the
account is still good. It never stands in a URL: URLs are logged.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core import signing

from headgate.chat import storage
from headgate.chat.access import is_revoked
from headgate.chat.conf import conf
from headgate.chat.people import Actor, actor_for
from headgate.chat.token_people import is_known_by_token, is_still_good
from headgate.chat.used_tickets import is_first_use

__all__ = [
    "TICKET_SECONDS",
    "WELCOME_TICKET_SECONDS",
    "TicketRefused",
    "issue_ticket",
    "redeem_ticket",
    "ticket_in",
]

TICKET_SECONDS = 30.0  # from an HTTP answer: to be used at once
WELCOME_TICKET_SECONDS = 600.0  # from a welcome: for the next time

MAX_CHARACTERS = 2048  # of a ticket; no longer one is looked at

_SALT = "headgate.ticket"
_SEPARATOR = "."  # unlike Django's colon it may stand in Sec-WebSocket-Protocol
# A ticket as one of the subprotocols of a handshake, for who cannot say hello first.
_SUBPROTOCOL = "headgate.ticket."


class TicketRefused(Exception):  # noqa: N818 - an answer, not a fault
    """The ticket is not good: forged, late, used, or for somewhere or nobody else."""


class _Claims(NamedTuple):
    """What a ticket says.

    `account` changes with the user's password, and `session` is the digest of the
    Django session that they came with. `expires_at` is a Unix time in seconds.
    """

    nonce: int
    expires_at: float
    key: str
    name: str
    account: str
    session: str
    origin: str


def issue_ticket(actor: Actor, *, lives_seconds: float, origin: str = "") -> str:
    """Return a ticket for somebody; with an `origin`, for pages of that one only."""
    claims = _Claims(
        nonce=secrets.randbits(63),
        expires_at=round(time.time() + lives_seconds, 3),
        key=actor.key,
        name=actor.name if actor.user is None else "",
        account=next(_accounts(actor.user)),
        session=actor.session,
        origin=origin,
    )
    return _signer().sign_object(list(claims))


async def redeem_ticket(ticket: str, *, origin: str = "") -> Actor:
    """Return whose ticket it is, and use it up.

    Args:
        ticket: What `issue_ticket` returned, as the client sent it.
        origin: The Origin of the request that brings it; empty for programs.

    Raises:
        TicketRefused: It is not good.
        LogUnavailable: The database or the cache of TICKET_CACHE is away; the ticket
            is as good as before.
    """
    claims = _opened(ticket)
    if claims.origin and origin and claims.origin != origin:
        raise TicketRefused("the ticket is for another origin")
    actor = await storage.read(_holder, claims)
    if actor is None:
        raise TicketRefused("the ticket's account is not good any more")
    # Late again after the wait: what is too old is not remembered as used either.
    if _is_late(claims) or not await is_first_use(claims.nonce, claims.expires_at):
        raise TicketRefused("the ticket was used")
    return actor


def ticket_in(subprotocols: Iterable[str]) -> str | None:
    """Return the ticket among the subprotocols that a client offers, or None."""
    for offered in subprotocols:
        if offered.startswith(_SUBPROTOCOL):
            return offered.removeprefix(_SUBPROTOCOL)
    return None


def _signer() -> signing.Signer:
    return signing.Signer(salt=_SALT, sep=_SEPARATOR)


def _opened(ticket: str) -> _Claims:
    """Return what a ticket says, if it was signed here and is not too old."""
    if len(ticket) > MAX_CHARACTERS:
        raise TicketRefused("the ticket is longer than any that is given out")
    try:
        claims = _Claims(*_signer().unsign_object(ticket))
    except Exception:  # noqa: BLE001 - whatever is wrong with a stranger's text
        raise TicketRefused("the ticket was not signed here") from None
    if _is_late(claims):
        raise TicketRefused("the ticket is too old")
    return claims


def _is_late(claims: _Claims) -> bool:
    return claims.expires_at <= time.time()


def _accounts(user: Any) -> Iterator[str]:
    """Yield what changes with a user's password, as Django's sessions have it.

    By the secret in force first, then by those of SECRET_KEY_FALLBACKS.
    """
    if not hasattr(user, "get_session_auth_hash"):
        yield ""
        return
    yield user.get_session_auth_hash()[:16]
    for older in user.get_session_auth_fallback_hash():
        yield older[:16]


def _holder(claims: _Claims) -> Actor | None:
    """Return whose ticket it is, if they may still come in; asks the database."""
    if claims.session and is_revoked(claims.session):
        return None
    if is_known_by_token(claims.key):
        holder = Actor(claims.key, claims.name, session=claims.session)
        return holder if is_still_good(holder) else None
    if not claims.key.startswith("u:"):
        return Actor(claims.key, claims.name) if conf().GUESTS else None
    users = get_user_model()._default_manager  # noqa: SLF001 - Django's documented name
    user: Any = users.filter(pk=claims.key.removeprefix("u:")).first()
    if user is None or not user.is_active or claims.account not in _accounts(user):
        return None
    return replace(actor_for(user), session=claims.session)
