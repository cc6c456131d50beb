"""Whose a request of Django is: an account's, or an address's.

Asking costs nothing where nobody can be signed in: without the session's cookie
neither the session nor the database is touched.
"""

from __future__ import annotations

from typing import Any, Literal

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import LazyObject, empty

from headgate.contrib.keys import (
    GivenKey,
    checked_key,
    checked_result,
    scope_address_key,
    user_key,
)

__all__ = ["RequestKey", "arequest_key", "checked_request_key", "request_key"]

RequestKey = GivenKey
_WORDS: tuple[Literal["user", "address"], ...] = ("user", "address")


def checked_request_key(key: Any) -> RequestKey:
    """Return what requests are counted by, as it was given; see `checked_key`."""
    return checked_key(key, _WORDS)


def request_key(request: HttpRequest, key: RequestKey) -> str | None:
    """Return whose a request is, or None for who is not limited."""
    if callable(key):
        return checked_result(key, key(request))
    if key == "user":
        user = _known_user(request)
        found = user_key(user)  # a lazy one is fetched here
        if found is not None:
            return found
    return _address_key(request)


async def arequest_key(request: HttpRequest, key: RequestKey) -> str | None:
    """Return whose a request is, from async code: nothing blocks the loop."""
    if key != "user":
        return request_key(request, key)
    user = _known_user(request)
    if _is_unfetched(user):
        if _is_of_sessions(user):
            user = await request.auser()
        else:  # somebody else's, which may ask a database
            return await sync_to_async(request_key)(request, key)
    return user_key(user) or _address_key(request)


def _known_user(request: HttpRequest) -> Any:
    """Return the request's user, or None where it cannot be anybody."""
    user = getattr(request, "user", None)
    if (
        _is_unfetched(user)
        and _is_of_sessions(user)
        and settings.SESSION_COOKIE_NAME not in request.COOKIES
    ):
        return None
    return user


def _is_unfetched(user: Any) -> bool:
    return isinstance(user, LazyObject) and user.__dict__.get("_wrapped") is empty


def _is_of_sessions(user: Any) -> bool:
    """Whether Django's own middleware made it, which fetches it by the session."""
    made_by = user.__dict__.get("_setupfunc")
    return getattr(made_by, "__module__", "") == "django.contrib.auth.middleware"


def _address_key(request: HttpRequest) -> str:
    """Return the key of the address, from what an ASGI scope would have of it."""
    direct = request.META.get("REMOTE_ADDR")
    seen = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return scope_address_key(
        {
            "client": (direct, 0) if direct else None,
            "headers": [(b"x-forwarded-for", seen.encode("latin-1", "replace"))],
        },
    )
