"""Putting HTTP, WebSockets and the event stream into one ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter
from django.core.handlers.asgi import ASGIHandler

from headgate.chat.consumer import ChatConsumer
from headgate.chat.cookies import signed_in
from headgate.chat.engine import engine
from headgate.chat.handshake import deny_path
from headgate.chat.http.places import (
    STREAM,
    below_socket,
    path_in_project,
    place,
    room_in,
    socket_path,
)
from headgate.chat.http.stream import EventStream
from headgate.chat.lifespan import Lifespan

__all__ = ["with_chat"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


def with_chat(
    django_application: Any,
    *,
    consumer: ChatConsumer | None = None,
) -> Any:
    """Return an application that serves Django's HTTP and the chat.

    Call it after `get_asgi_application()`, which makes Django's apps ready. The
    chat's places are those of `include("headgate.urls")`, under whatever prefix. A
    WebSocket below the chat's place that is none is refused, and the log says so; any
    other is the application's, or refused if that is Django's own, which takes none.

    Args:
        django_application: What serves all other requests: Django, or a router with
            Django and with consumers of the project. It follows the lifespan, too.
        consumer: One of a subclass of `ChatConsumer`, for what the project does in
            its own way.
    """
    return _WithChat(django_application, consumer or ChatConsumer())


class _WithChat:
    """The project's application, and beside it what Django's handler cannot serve."""

    def __init__(self, beside: Application, consumer: ChatConsumer) -> None:
        self._beside = beside
        self._beside_takes_sockets = _takes(beside, "websocket")
        self._stream: Application = AuthMiddlewareStack(EventStream())
        self._socket = consumer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, one WebSocket, or the server's lifespan."""
        if scope["type"] == "lifespan":
            lifespan = Lifespan(receive, send)
            if _takes(self._beside, "lifespan"):
                await lifespan.share(self._beside, scope)
            await lifespan.finish()
            return
        # This loop lives as long as the process: requests may use its journal.
        engine()
        if scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
        elif path_in_project(scope) == place(STREAM):
            await self._stream(scope, receive, send)
        else:
            await self._beside(scope, receive, send)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        # No copy of the scope is kept here: it lasts as long as the connection.
        path = path_in_project(scope)
        room = room_in(path)
        if room is not None:
            await self._socket(await _scope_in(scope, room), receive, send)
        elif self._beside_takes_sockets and not below_socket(path):
            await self._beside(scope, receive, send)
        else:
            await receive()  # websocket.connect
            await deny_path(scope, send, socket_path(scope))


def _takes(application: Application, kind: str) -> bool:
    """Return whether an application may serve a type of scope, as far as one can know.

    Django's own handler raises for all but HTTP, a router for what it has nobody for.
    """
    if isinstance(application, ProtocolTypeRouter):
        return kind in application.application_mapping
    return not isinstance(application, ASGIHandler)


async def _scope_in(scope: Scope, room: str) -> Scope:
    """Return a WebSocket's scope as a router below `AuthMiddlewareStack` gives it."""
    route = {"args": (), "kwargs": {"room": room}}
    return await signed_in({**scope, "url_route": route})
