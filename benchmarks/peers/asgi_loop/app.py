"""One room for all: what somebody says is sent to each in turn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["application"]

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

_connections: set[Send] = set()


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Send
) -> None:
    """Serve one WebSocket until it ends; anything else is no business of ours."""
    if scope["type"] != "websocket":
        return
    await receive()
    await send({"type": "websocket.accept"})
    _connections.add(send)
    try:
        while (message := await receive())["type"] == "websocket.receive":
            for connection in list(_connections):
                await _say(connection, message["text"])
    finally:
        _connections.discard(send)


async def _say(connection: Send, text: str) -> None:
    try:
        await connection({"type": "websocket.send", "text": text})
    except Exception:  # noqa: BLE001 - servers differ in what a closed one raises
        _connections.discard(connection)
