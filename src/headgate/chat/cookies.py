"""Who a WebSocket's cookie says is there, as Channels' `AuthMiddlewareStack` has it.

Its layers stay around what they serve for as long as that lasts, with a copy of the
scope each, and one asks the database's thread even where there is no cookie. A
WebSocket lasts for hours, and sets no cookies. So here the layers are only asked, and
only about somebody who has a session.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib import import_module
from typing import Any

from channels.auth import AuthMiddlewareStack
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import parse_cookie

__all__ = ["signed_in"]

Scope = MutableMapping[str, Any]


async def signed_in(scope: Scope) -> Scope:
    """Return the scope with `cookies`, `session` and `user`; may change the given one.

    The user is looked up in the database, where a session's cookie was sent.
    """
    if "session" not in scope and "user" not in scope:  # as layers above may have it
        cookies = _cookies(scope)
        if settings.SESSION_COOKIE_NAME not in cookies:
            return _as_nobody(scope, cookies)
    found: list[Scope] = []

    async def take(scope: Scope, _receive: Any, _send: Any) -> None:
        found.append(scope)

    await AuthMiddlewareStack(take)(scope, _nothing, _nothing)
    return found[0]


def _cookies(scope: Scope) -> dict[str, str]:
    for name, value in scope["headers"]:
        if name == b"cookie":
            return parse_cookie(value.decode("latin-1"))
    return {}


def _as_nobody(scope: Scope, cookies: dict[str, str]) -> Scope:
    """Fill in what the layers have for somebody without a session."""
    scope["cookies"] = cookies
    scope["session"] = import_module(settings.SESSION_ENGINE).SessionStore(None)
    scope["user"] = AnonymousUser()
    return scope


async def _nothing(*_: Any) -> Any:
    """Stand where the layers want `receive` and `send`, which they do not call."""
