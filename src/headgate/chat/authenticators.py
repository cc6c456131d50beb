"""The project's own ways to say who somebody is: `HEADGATE["AUTHENTICATORS"]`.

Each is asked in turn with the request, or with the scope of a WebSocket or stream;
the first that knows somebody is believed. They are functions, sync or async, or
authentication classes of Django REST framework.
"""

from __future__ import annotations

import inspect
from collections.abc import MutableMapping
from functools import lru_cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest
from django.utils.module_loading import import_string

from headgate.chat import storage
from headgate.chat.conf import conf
from headgate.chat.drf_authentication import (
    NotAuthenticated,
    as_authenticator,
    is_authentication,
    reads_session,
)
from headgate.chat.project_functions import ProjectFunction, project_function

__all__ = [
    "Asked",
    "NotAuthenticated",
    "asked_user",
    "authenticator_mistake",
    "has_authenticators",
]

# What an authenticator is given.
Asked = HttpRequest | MutableMapping[str, Any]


def has_authenticators() -> bool:
    """Return whether the project names any."""
    return bool(conf().AUTHENTICATORS)


async def asked_user(asked: Asked) -> Any:
    """Return the user whom an authenticator knows, or None.

    What is sync runs off the event loop and may use the ORM.

    Raises:
        NotAuthenticated: What was presented does not hold, or the account is not
            active.
        LogUnavailable: The database is away.
        ImproperlyConfigured: The list names what cannot be asked.
    """
    for path in conf().AUTHENTICATORS or ():
        authenticator = _authenticator(path)
        if authenticator.is_async:
            user = await authenticator.call(asked)
        else:
            user = await storage.read(authenticator.call, asked)
        if user is None or not getattr(user, "is_authenticated", True):
            continue
        if not getattr(user, "is_active", True):
            raise NotAuthenticated("This account is not active.")
        return user
    return None


def authenticator_mistake(path: str) -> tuple[str, str] | None:
    """Return (what is wrong with an entry of the list, what to do), or None."""
    named = f"HEADGATE['AUTHENTICATORS'] names {path!r}, which"
    try:
        found = import_string(path)
    except Exception as exc:  # noqa: BLE001 - whatever the project's module raises
        return f"{named} does not import: {exc}", _NAME_ONE
    if reads_session(found):
        return f"{named} reads the session cookie.", _NO_COOKIE
    if is_authentication(found):
        return None
    if inspect.isclass(found) or not callable(found):
        kind = "class" if inspect.isclass(found) else type(found).__name__
        return f"{named} is a {kind} that cannot be asked who somebody is.", _NAME_ONE
    return None


_NAME_ONE = (
    "Name a function that takes a request or a scope and returns a user or None, or an "
    "authentication class of Django REST framework."
)
_NO_COOKIE = (
    "Take it out: the cookie is looked at anyway, after the authenticators, together "
    "with the Origin and the CSRF token."
)


@lru_cache(maxsize=32)
def _authenticator(path: str) -> ProjectFunction:
    mistake = authenticator_mistake(path)
    if mistake is not None:
        raise ImproperlyConfigured(" ".join(mistake))
    found: Any = import_string(path)
    return project_function(
        as_authenticator(found) if is_authentication(found) else found,
    )


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "HEADGATE":
        _authenticator.cache_clear()


setting_changed.connect(_forget)
