"""Authentication classes of Django REST framework, asked over every door.

They are written for a request, so a WebSocket's or stream's scope is made into one.
They are shown no cookie: what browsers send by themselves, whatever page asks for
it, is looked at in one place only, together with the Origin and the CSRF token.
Django REST framework is imported when one of its classes is named, not before.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, MutableMapping
from io import BytesIO
from typing import Any

from django.contrib.auth import get_user_model
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.utils.module_loading import import_string

__all__ = [
    "NotAuthenticated",
    "as_authenticator",
    "is_authentication",
    "reads_session",
]

logger = logging.getLogger("headgate.authenticators")

_AUTHENTICATION = "rest_framework.authentication"

# What Django's middleware makes of cookies.
_OF_COOKIES = frozenset(
    {"_acached_user", "_cached_user", "auser", "headers", "session", "user"},
)


class NotAuthenticated(Exception):  # noqa: N818 - an answer, not a fault
    """Somebody presented what does not hold, such as a token that has run out.

    `challenge` is what HTTP says in `WWW-Authenticate`, where that is known.
    """

    def __init__(self, text: str = "", *, challenge: str | None = None) -> None:
        super().__init__(text)
        self.challenge = challenge


def is_authentication(found: object) -> bool:
    """Return whether something is an authentication class of the framework."""
    return _is_subclass(found, f"{_AUTHENTICATION}.BaseAuthentication")


def reads_session(found: object) -> bool:
    """Return whether a class of the framework goes by the session cookie."""
    return _is_subclass(found, f"{_AUTHENTICATION}.SessionAuthentication")


def as_authenticator(found: type[Any]) -> Callable[[Any], Any]:
    """Return a function (request or scope) -> user or None for a class.

    It asks the database, and raises `NotAuthenticated` with the class's own words.
    """
    failures = import_string("rest_framework.exceptions.APIException")
    wrapped = import_string("rest_framework.request.Request")

    def ask(asked: HttpRequest | MutableMapping[str, Any]) -> Any:
        request = wrapped(
            _without_cookies(asked)
            if isinstance(asked, HttpRequest)
            else _request_of(asked),
        )
        authentication = found()
        try:
            known = authentication.authenticate(request)
            return None if known is None else _account(known[0])
        except failures as exc:
            text = _text(exc)
        except NotAuthenticated as exc:
            text = str(exc)
        except ValueError as exc:
            # Such as bytes in a token that are no UTF-8. Its words may repeat them.
            logger.warning("credentials_malformed error=%s", type(exc).__name__)
            text = "What was presented is malformed."
        challenge = authentication.authenticate_header(request)
        raise NotAuthenticated(text, challenge=challenge or None)

    return ask


def _is_subclass(found: object, path: str) -> bool:
    if not inspect.isclass(found):
        return False
    try:
        kind = import_string(path)
    except ImportError:  # the framework is not installed: it is none of its classes
        return False
    return issubclass(found, kind)


def _account(user: Any) -> Any:
    """Return the user's row: a token alone does not say whether they are active.

    Some classes know users by what their token claims, without a look.
    """
    model = get_user_model()
    if user is None or isinstance(user, model) or not user.is_authenticated:
        return user
    found = model._default_manager.filter(pk=user.pk).first()  # noqa: SLF001 - documented
    if found is None:
        raise NotAuthenticated("There is no such account.")
    return found


def _text(failure: Any) -> str:
    """Return what an error of the framework says, in one sentence."""
    detail = failure.detail
    while isinstance(detail, dict | list):
        parts = detail if isinstance(detail, dict) else dict(enumerate(detail))
        detail = parts.get("detail", next(iter(parts.values()), ""))
    return str(detail)


def _request_of(scope: MutableMapping[str, Any]) -> HttpRequest:
    """Return a GET request with the headers of a scope, but for its cookies."""
    secure = scope.get("scheme") in {"https", "wss"}
    headers = [pair for pair in scope["headers"] if pair[0].lower() != b"cookie"]
    made = {
        **scope,
        "type": "http",
        "method": "GET",
        "scheme": "https" if secure else "http",
        "headers": headers,
    }
    return ASGIRequest(made, BytesIO())


def _without_cookies(request: HttpRequest) -> HttpRequest:
    """Return a request like this one, without cookies and what was made of them."""
    twin = request.__class__.__new__(request.__class__)
    twin.__dict__.update(
        {
            name: value
            for name, value in request.__dict__.items()
            if name not in _OF_COOKIES
        },
    )
    twin.__dict__["COOKIES"] = {}
    twin.META = {
        name: value for name, value in request.META.items() if name != "HTTP_COOKIE"
    }
    return twin
