"""Putting HTTP, WebSockets and the event stream into one ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from channels.auth import AuthMiddlewareStack

from headgate.chat.consumer import ChatConsumer
from headgate.chat.cookies import signed_in
from headgate.chat.engine import close_engine, engine
from headgate.chat.handshake import deny_path
from headgate.chat.http.places import (
    STREAM,
    path_in_project,
    place,
    room_in,
    socket_path,
)
from headgate.chat.http.stream import EventStream

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
    chat's places are those of `include("headgate.urls")`, under whatever prefix; a
    WebSocket at any other is refused, and the log says so.

    Args:
        django_application: What serves all other requests.
        consumer: One of a subclass of `ChatConsumer`, for what the project does in
            its own way.
    """
    return _WithChat(django_application, consumer or ChatConsumer())


class _WithChat:
    """Django, and beside it what Django's own handler cannot serve."""

    def __init__(self, django_application: Application, consumer: ChatConsumer) -> None:
        self._django = django_application
        self._stream: Application = AuthMiddlewareStack(EventStream())
        self._socket = consumer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, one WebSocket, or the server's lifespan."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        # This loop lives as long as the process: requests may use its journal.
        engine()
        if scope["type"] == "websocket":
            # No copy of the scope is kept here: it lasts as long as the connection.
            room = room_in(path_in_project(scope))
            if room is None:
                await receive()  # websocket.connect
                await deny_path(scope, send, socket_path(scope))
                return
            await self._socket(await _scope_in(scope, room), receive, send)
        elif path_in_project(scope) == place(STREAM):
            await self._stream(scope, receive, send)
        else:
            await self._django(scope, receive, send)


async def _scope_in(scope: Scope, room: str) -> Scope:
    """Return a WebSocket's scope as a router below `AuthMiddlewareStack` gives it."""
    route = {"args": (), "kwargs": {"room": room}}
    return await signed_in({**scope, "url_route": route})


async def _live(receive: Receive, send: Send) -> None:
    """Follow the server's start and stop; at the stop, write what was accepted."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            await close_engine()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "lifespan.startup.complete"})
