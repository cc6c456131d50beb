"""WebSockets without our client: what a program in any language would do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

__all__ = ["LIMIT_SECONDS", "Bare", "plain", "v1", "welcomed"]

LIMIT_SECONDS = 30.0  # for anything that a working server does at once


class Bare:
    """One socket that speaks JSON and keeps what it has heard.

    Attributes:
        heard: Every object that came, in order.
        sees_people: Whether it hears who is there; that comes whenever a second is
            over, so only those do who ask for it.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []
        self.sees_people = False

    async def say(self, **command: Any) -> None:
        """Send a command."""
        await self.socket.send(json.dumps(command))

    async def hear(self, limit_seconds: float = LIMIT_SECONDS) -> dict[str, Any]:
        """Return the next object."""
        async with asyncio.timeout(limit_seconds):
            said: dict[str, Any] = json.loads(await self.socket.recv())
            while said.get("push") == "presence" and not self.sees_people:
                said = json.loads(await self.socket.recv())
        self.heard.append(said)
        return said

    async def hear_until(
        self,
        wanted: Callable[[dict[str, Any]], bool],
        limit_seconds: float = LIMIT_SECONDS,
    ) -> dict[str, Any]:
        """Return the next object that is wanted; those before it are in `heard`."""
        async with asyncio.timeout(limit_seconds):
            while not wanted(said := await self.hear(limit_seconds)):
                pass
            return said

    async def ask(self, **command: Any) -> dict[str, Any]:
        """Send a command with an id and return its reply."""
        await self.say(**command)
        return await self.hear_until(lambda said: said.get("reply") == command["id"])

    async def closed(self, limit_seconds: float = LIMIT_SECONDS) -> int | None:
        """Hear on until the server closes, and return its code."""
        async with asyncio.timeout(limit_seconds):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await self.hear(limit_seconds)
        return self.socket.close_code


@contextlib.asynccontextmanager
async def plain(
    ws_url: str,
    path: str,
    *,
    origin: str | None = None,
    cookie: str | None = None,
) -> AsyncIterator[Bare]:
    """Connect without a subprotocol, to `/ws/chat/{path}`."""
    headers = {} if cookie is None else {"Cookie": cookie}
    async with connect(
        f"{ws_url}/ws/chat/{path}",
        origin=None if origin is None else Origin(origin),
        additional_headers=headers,
        open_timeout=LIMIT_SECONDS,
        proxy=None,
    ) as socket:
        yield Bare(socket)


@contextlib.asynccontextmanager
async def v1(
    ws_url: str,
    path: str = "",
    *,
    origin: str | None = None,
    cookie: str | None = None,
) -> AsyncIterator[Bare]:
    """Connect with the subprotocol `headgate.v1`; hello is not said."""
    headers = {} if cookie is None else {"Cookie": cookie}
    async with connect(
        f"{ws_url}/ws/chat/{path}",
        subprotocols=[Subprotocol("headgate.v1")],
        origin=None if origin is None else Origin(origin),
        additional_headers=headers,
        open_timeout=LIMIT_SECONDS,
        proxy=None,
    ) as socket:
        if socket.subprotocol != "headgate.v1":
            raise RuntimeError("the server does not speak headgate.v1")
        yield Bare(socket)


@contextlib.asynccontextmanager
async def welcomed(
    ws_url: str,
    path: str = "",
    *,
    origin: str | None = None,
    cookie: str | None = None,
    **hello: Any,
) -> AsyncIterator[Bare]:
    """Connect with `headgate.v1` and say hello; `heard[0]` is the welcome."""
    async with v1(ws_url, path, origin=origin, cookie=cookie) as bare:
        await bare.say(cmd="hello", **hello)
        welcome = await bare.hear()
        if welcome.get("push") != "welcome":
            raise RuntimeError(f"no welcome, but {welcome}")
        yield bare
