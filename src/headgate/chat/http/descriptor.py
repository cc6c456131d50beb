"""The connection descriptor: what an HTTP answer tells to open a WebSocket.

`@connects("order-{pk}")` puts it into the header `Headgate-Connect` of any view's
answer, and clients connect by themselves: an HTTP request to an API view connects the
caller.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from functools import wraps
from http import HTTPStatus
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_cache_control
from ninja.decorators import decorate_view

from headgate.chat.authenticators import NotAuthenticated
from headgate.chat.gate import Gate
from headgate.chat.http.places import socket_url
from headgate.chat.http.schemas import Connected
from headgate.chat.identity import Identity, actor_of, identity_of_request
from headgate.chat.limits_told import limits_told
from headgate.chat.people import guest_token
from headgate.chat.tickets import TICKET_SECONDS, issue_ticket
from headgate.live.frames import Mode
from headgate.live.ports import LogUnavailable
from headgate.protocol.codec import is_room_slug
from headgate.protocol.fields import ROOM_RULE

__all__ = [
    "CONNECT_HEADER",
    "adescriptor",
    "as_header",
    "connected",
    "connects",
    "descriptor",
    "descriptor_for",
]

logger = logging.getLogger("headgate.descriptor")

CONNECT_HEADER = "Headgate-Connect"


def descriptor(request: HttpRequest, rooms: Iterable[str] = ()) -> dict[str, Any]:
    """Return what the caller needs to connect and join `rooms`.

    `url` and `protocol` of the WebSocket, a `ticket` that is good once and for
    `ticket_expires_in_ms`, the `rooms` to join, and for a guest the `guest` token
    that makes them the same guest again. An answer that carries it must not be
    stored: send `Cache-Control: no-store`.

    It lets nobody into a room: what they may is decided when they join.

    Raises:
        NotAuthenticated: There is nobody: guests are not taken, or what the caller
            presented does not hold.
        ValueError: A name that can name no room.
    """
    return async_to_sync(adescriptor)(request, rooms)


async def adescriptor(
    request: HttpRequest, rooms: Iterable[str] = ()
) -> dict[str, Any]:
    """Return a descriptor, as `descriptor` does, from async code."""
    identity = await identity_of_request(request)
    if identity is None:
        raise NotAuthenticated("Sign in first.")
    return descriptor_for(request, identity, rooms)


def descriptor_for(
    request: HttpRequest,
    identity: Identity,
    rooms: Iterable[str],
) -> dict[str, Any]:
    """Return the descriptor of somebody who is known."""
    joined = list(dict.fromkeys(rooms))
    for room in joined:
        if not is_room_slug(room):
            raise ValueError(f"{room!r} names no room: {ROOM_RULE}")
    actor = identity.actor
    found: dict[str, Any] = {
        "url": socket_url(request),
        "protocol": Mode.V1.value,
        "ticket": issue_ticket(
            actor,
            lives_seconds=TICKET_SECONDS,
            origin=request.headers.get("Origin", ""),
        ),
        "ticket_expires_in_ms": round(TICKET_SECONDS * 1000),
        "rooms": joined,
    }
    if identity.by == "guest":
        found["guest"] = guest_token(actor)
    return found


async def connected(found: dict[str, Any], identity: Identity, gate: Gate) -> Connected:
    """Return a descriptor as it stands in the body of an answer, with the limits."""
    limits = await limits_told(gate)
    return Connected(**found, user=identity.actor.author, limits=limits)


def as_header(found: dict[str, Any]) -> str:
    """Return a descriptor as `Headgate-Connect` carries it."""
    return json.dumps(found, separators=(",", ":"))


def connects(*rooms: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that has a view's good answers connect the caller.

    Each of `rooms` is a name, or a template over the view's keyword arguments, such
    as `"order-{pk}"`. For functions and methods, of Django, Django REST framework and
    django-ninja, sync and async, above or below their own decorators; on a class,
    decorate its `get` or `post`.

    An answer below 400 gets the header `Headgate-Connect`, which is exposed to CORS,
    and `Cache-Control: no-store`, since a ticket is in it. Where nobody is signed in
    and guests are not taken, the answer stays as it was.
    """

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        if iscoroutinefunction(view):

            @wraps(view)
            async def async_view(*args: Any, **kwargs: Any) -> Any:
                answer = await view(*args, **kwargs)
                if _takes_header(answer):
                    await _connect(answer, _request_in(args), _filled(rooms, kwargs))
                return answer

            return async_view

        @wraps(view)
        def sync_view(*args: Any, **kwargs: Any) -> Any:
            answer = view(*args, **kwargs)
            if _takes_header(answer):
                names = _filled(rooms, kwargs)
                async_to_sync(_connect)(answer, _request_in(args), names)
            return answer

        return sync_view

    def decorate_any(view: Callable[..., Any]) -> Callable[..., Any]:
        # What django-ninja's functions return becomes an answer later; there it is
        # decorated once more.
        return decorate_view(decorate)(decorate(view))

    return decorate_any


def _takes_header(answer: Any) -> bool:
    return (
        isinstance(answer, HttpResponseBase)
        and answer.status_code < HTTPStatus.BAD_REQUEST
        and CONNECT_HEADER not in answer
    )


def _request_in(args: tuple[Any, ...]) -> Any:
    """Return the request among a view's arguments: it may be a method's second."""
    for each in args:
        if isinstance(each, HttpRequest) or hasattr(each, "_request"):
            return each
    raise TypeError("@connects belongs on a view, which takes a request.")


def _filled(templates: tuple[str, ...], kwargs: dict[str, Any]) -> list[str]:
    """Return the rooms' names for one request."""
    try:
        return [template.format_map(kwargs) for template in templates]
    except KeyError as exc:
        has = ", ".join(sorted(kwargs)) or "none"
        raise ValueError(
            f"@connects names {{{exc.args[0]}}}, which the view does not take; "
            f"its keyword arguments are: {has}.",
        ) from None


async def _connect(answer: HttpResponseBase, request: Any, rooms: list[str]) -> None:
    """Put a descriptor into an answer, for whoever made the request."""
    plain = getattr(request, "_request", request)
    try:
        identity = await _identity(request, plain)
        if identity is None:
            return
        found = descriptor_for(plain, identity, rooms)
    except LogUnavailable:
        return
    except ValueError as exc:  # such as a space in what the URL gave
        logger.warning("room_not_connected reason=%r", str(exc))
        return
    answer[CONNECT_HEADER] = as_header(found)
    patch_cache_control(answer, private=True, no_store=True)
    exposed = answer.get("Access-Control-Expose-Headers")
    names = [CONNECT_HEADER] if not exposed else [exposed, CONNECT_HEADER]
    answer["Access-Control-Expose-Headers"] = ", ".join(names)


async def _identity(request: Any, plain: HttpRequest) -> Identity | None:
    """Return who made a request, as the view's own framework found out."""
    user = request.user if request is not plain else getattr(plain, "auth", None)
    try:
        known = await identity_of_request(plain)
    except NotAuthenticated:  # by our rules; the view's may be others
        known = None
    if isinstance(user, AbstractBaseUser) and (
        known is None or known.actor.key != f"u:{user.pk}"
    ):
        return Identity(await actor_of(user), "authenticator")
    return known
