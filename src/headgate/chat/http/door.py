"""The HTTP door: what stands before every view of the chat.

Preflights, methods and CORS; who makes the request, and the CSRF token where a cookie
says so; and whatever goes wrong as problem+json with the wire's codes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from headgate.chat.authenticators import NotAuthenticated
from headgate.chat.bearer import WrongToken
from headgate.chat.http.cors import let_read, preflight_headers, scope_of
from headgate.chat.http.csrf import check_csrf
from headgate.chat.http.failures import failed
from headgate.chat.http.limited import (
    Admission,
    count_guess,
    decisions_of,
    tell_limits,
)
from headgate.chat.http.problems import problem
from headgate.chat.identity import GUEST_HEADER, Identity, identity_of_request
from headgate.chat.people import guest_token
from headgate.protocol.codec import encode, error
from headgate.protocol.codes import Code

__all__ = ["admission", "admitted", "answer", "caller", "door", "present_guest"]

View = Callable[..., Any]

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, section 9.2.1


def door(view: View) -> View:
    """Return a view behind the door; an async one, whatever it was.

    CSRF is checked by `caller`, and not by the project's middleware: that would ask
    for a token where no cookie says who it is. And `ATOMIC_REQUESTS` does not count
    here, as Django would refuse async views with it.
    """
    run: View = view if iscoroutinefunction(view) else sync_to_async(view)

    @csrf_exempt
    @wraps(view)
    async def behind_door(
        request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        try:
            response: HttpResponseBase = await run(request, *args, **kwargs)
        except Exception as exc:  # noqa: BLE001 - answered by its kind
            response = failed(request, exc)
        if isinstance(response, HttpResponseNotAllowed):
            methods = ", ".join(sorted({*response["Allow"].split(", "), "OPTIONS"}))
            if request.method == "OPTIONS":
                return _preflight(request, methods)
            response = _not_allowed(request, methods)
        tell_limits(response, decisions_of(request))
        let_read(request, response)
        return response

    guarded: View = behind_door
    for alias in connections:
        guarded = transaction.non_atomic_requests(using=alias)(guarded)
    return guarded


def answer(body: Any, *, status: int = HTTPStatus.OK) -> HttpResponse:
    """Return a struct as the answer to a request.

    Never to be stored: it is for one person, and a ticket may be in it.
    """
    response = HttpResponse(
        encode(body), status=status, content_type="application/json"
    )
    response["Cache-Control"] = "no-store"
    return response


async def caller(request: HttpRequest) -> Identity:
    """Return who makes a request.

    Raises:
        NotAuthenticated: There is nobody, or what was presented does not hold.
        Refusal: A cookie says who it is, and CSRF's token is not right. Or tokens
            are guessed too fast.
        LogUnavailable: The database is away.
    """
    try:
        identity = await identity_of_request(request)
    except WrongToken:
        await count_guess(request)
        raise
    if identity is None:
        raise NotAuthenticated
    if identity.by == "cookie" and request.method not in _SAFE:
        await check_csrf(request)
    return identity


async def admission(request: HttpRequest) -> Admission:
    """Return who makes a request, to be admitted; raises as `caller` does."""
    return Admission(request, await caller(request))


async def admitted(request: HttpRequest, operation: str = "command") -> Admission:
    """Return who makes a request, counted as an operation.

    Raises:
        Refusal: It comes too fast, too.
        NotAuthenticated, LogUnavailable: As `caller` does.
    """
    found = await admission(request)
    await found.admit(operation)
    return found


def present_guest(response: HttpResponse, identity: Identity) -> HttpResponse:
    """Return an answer that tells a guest what makes them the same guest again."""
    if identity.by == "guest":
        response[GUEST_HEADER] = guest_token(identity.actor)
    return response


def _preflight(request: HttpRequest, methods: str) -> HttpResponse:
    """Answer what browsers ask before they send a page's request elsewhere."""
    response = HttpResponse(status=HTTPStatus.NO_CONTENT)
    del response["Content-Type"]
    for name, value in preflight_headers(scope_of(request), methods).items():
        response[name] = value
    return response


def _not_allowed(request: HttpRequest, methods: str) -> HttpResponse:
    """Say which methods a path takes."""
    text = f"{request.method} is not for this path, which takes {methods}."
    refused = error(Code.UNKNOWN_COMMAND, text)
    response = problem(refused, status=HTTPStatus.METHOD_NOT_ALLOWED)
    response["Allow"] = methods
    return response
