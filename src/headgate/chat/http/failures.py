"""Whatever goes wrong with a request, as the answer to it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django.core.exceptions import (
    ObjectDoesNotExist,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import UnreadablePostError

from headgate.chat.authenticators import NotAuthenticated, has_authenticators
from headgate.chat.http.limited import tell_limits
from headgate.chat.http.problems import Refusal, problem
from headgate.chat.storage import RETRY_MS
from headgate.live.ports import LogUnavailable
from headgate.protocol.codec import BadCommand, error
from headgate.protocol.codes import Code

__all__ = ["failed"]

logger = logging.getLogger("headgate.http")

Answer = Callable[[HttpRequest, Any], HttpResponse]


def failed(request: HttpRequest, exc: Exception) -> HttpResponse:
    """Return the answer to a request that raised something.

    What is nobody's answer is a fault of ours: it is logged, and `internal`.
    """
    for kind, answer in _ANSWERS.items():
        if isinstance(exc, kind):
            return answer(request, exc)
    logger.error(
        "request_failed method=%s path=%r", request.method, request.path, exc_info=exc
    )
    return problem(error(Code.INTERNAL, retry_after_ms=RETRY_MS))


def _refused(_: HttpRequest, exc: Refusal) -> HttpResponse:
    response = problem(exc.error, status=exc.status)
    tell_limits(response, exc.decisions)
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        # Or Django would write a line for each request of a flood. The limiter logs
        # each person once a minute.
        response._has_been_logged = True  # type: ignore[attr-defined] # noqa: SLF001
    return response


def _bad_command(_: HttpRequest, exc: BadCommand) -> HttpResponse:
    return problem(exc.error)


def _unauthenticated(_: HttpRequest, exc: NotAuthenticated) -> HttpResponse:
    """Return a 401, which must say how to sign in (RFC 9110, section 15.5.2)."""
    response = problem(error(Code.UNAUTHENTICATED, str(exc) or None))
    scheme = "Bearer" if has_authenticators() else "Cookie"
    response["WWW-Authenticate"] = exc.challenge or f'{scheme} realm="headgate"'
    return response


def _unavailable(_: HttpRequest, _exc: LogUnavailable) -> HttpResponse:
    return problem(error(Code.UNAVAILABLE, retry_after_ms=RETRY_MS))


def _forbidden(_: HttpRequest, _exc: PermissionDenied) -> HttpResponse:
    return problem(error(Code.FORBIDDEN))


def _no_such_path(_: HttpRequest, _exc: Http404) -> HttpResponse:
    return problem(error(Code.NOT_FOUND, "There is nothing at this path."))


def _gone(_: HttpRequest, _exc: ObjectDoesNotExist) -> HttpResponse:
    """Answer for a room that was deleted while it was being read."""
    return problem(error(Code.NOT_FOUND))


def _too_large(_: HttpRequest, _exc: RequestDataTooBig) -> HttpResponse:
    return problem(error(Code.TOO_LARGE))


def _malformed(request: HttpRequest, exc: Exception) -> HttpResponse:
    """Answer what Django does not take, such as a Host that is not ours."""
    logger.warning("request_refused path=%r error=%r", request.path, str(exc))
    return problem(error(Code.BAD_COMMAND, "The request is not well formed."))


# In this order: RequestDataTooBig is a SuspiciousOperation.
_ANSWERS: dict[type[Exception], Answer] = {
    Refusal: _refused,
    BadCommand: _bad_command,
    NotAuthenticated: _unauthenticated,
    LogUnavailable: _unavailable,
    PermissionDenied: _forbidden,
    Http404: _no_such_path,
    ObjectDoesNotExist: _gone,
    RequestDataTooBig: _too_large,
    SuspiciousOperation: _malformed,
    UnreadablePostError: _malformed,
}
