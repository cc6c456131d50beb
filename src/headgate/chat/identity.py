"""Who is there: by ticket, a bot's token, an authenticator, a cookie, or as a guest.

In this order, over every door. A ticket wins over a cookie, so that a page can say
as whom it connects.
"""

from __future__ import annotations

import contextlib
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.http import HttpRequest

from headgate.chat import storage
from headgate.chat.access import session_digest
from headgate.chat.authenticators import Asked, asked_user, has_authenticators
from headgate.chat.bearer import actor_by_token
from headgate.chat.conf import conf
from headgate.chat.people import Actor, actor_for, guest_token, new_guest
from headgate.chat.profiles import has_profiles

__all__ = [
    "GUEST_HEADER",
    "Identity",
    "actor_of",
    "guest",
    "identity_of_request",
    "known_in_scope",
    "renamed",
]

GUEST_HEADER = "Headgate-Guest"  # carries `guest` of an earlier welcome or answer


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, and what says so.

    What says it decides what else is needed: a cookie is sent by browsers whatever
    page asks for it, so with it goes the Origin check, or CSRF's.
    """

    actor: Actor
    by: Literal["ticket", "authenticator", "cookie", "guest"]


async def known_in_scope(scope: MutableMapping[str, Any]) -> Identity | None:
    """Return whom a token, authenticators or the cookie of a scope know, or None.

    Raises `NotAuthenticated` and `LogUnavailable`.
    """
    asked = await _asked(scope)
    if asked is not None:
        return asked
    user, session = scope.get("user"), scope.get("session")
    key = None if session is None else session.session_key
    return await _by_cookie(user, key)


async def identity_of_request(request: HttpRequest) -> Identity | None:
    """Return who makes a request; None where guests are not taken.

    A guest who presents no `Headgate-Guest` is a new one, and has to be told.
    Raises `NotAuthenticated` and `LogUnavailable`.
    """
    asked = await _asked(request)
    if asked is not None:
        return asked
    user = await _signed_in(request)
    session = getattr(request, "session", None)
    # Only now: to find the user may give the session another key.
    found = await _by_cookie(user, None if session is None else session.session_key)
    if found is not None:
        return found
    visiting = guest(request.headers.get(GUEST_HEADER))
    return None if visiting is None else Identity(visiting, "guest")


def guest(token: str | None, name: str | None = None) -> Actor | None:
    """Return the guest who is there, or None where guests are not taken."""
    return new_guest(name, token) if conf().GUESTS else None


def renamed(identity: Identity, name: str | None) -> Identity:
    """Return a guest under the name that they want; others have one."""
    if identity.by != "guest" or name is None:
        return identity
    return replace(identity, actor=new_guest(name, guest_token(identity.actor)))


async def actor_of(user: Any) -> Actor:
    """Return a user's actor, as `actor_for` does, from async code.

    Where the project says how people are shown, it has to be asked.
    """
    if not has_profiles():
        return actor_for(user)
    return await storage.read(actor_for, user)


async def _asked(asked: Asked) -> Identity | None:
    known = await actor_by_token(asked)
    if known is not None:
        return Identity(known, "authenticator")
    if not has_authenticators():
        return None
    user = await asked_user(asked)
    return None if user is None else Identity(await actor_of(user), "authenticator")


async def _signed_in(request: HttpRequest) -> Any:
    """Return the request's user, of whatever middleware, without blocking the loop."""
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        # Most often nobody, and known without a look at the database.
        with contextlib.suppress(SynchronousOnlyOperation):
            return _user(request)
    return await storage.read(_user, request)


def _user(request: HttpRequest) -> Any:
    """Return the user, looked up if need be; None without Django's middleware."""
    user = getattr(request, "user", None)
    return user if getattr(user, "is_authenticated", False) else None


async def _by_cookie(user: Any, session_key: str | None) -> Identity | None:
    if user is None or not user.is_authenticated:
        return None
    session = session_digest(session_key) if session_key else ""
    return Identity(replace(await actor_of(user), session=session), "cookie")
