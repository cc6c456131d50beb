"""Keepalive rests while a flooder is not read: uvicorn alone would close with 1011."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from headgate.chat.consumer import REST_KEEPALIVE
from headgate.server.websocket_protocol import ChatWebSocketProtocol

BEAT_SECONDS = 0.1  # between pings, and for the answer


class NotReading:
    """An application that does not read for a while, as with somebody who floods."""

    def __init__(self, *, rests: bool) -> None:
        self.rests = rests
        self.go_on = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()  # the first message; the next ones wait
        rest = scope["extensions"].get(REST_KEEPALIVE)
        if self.rests:
            rest(True)
        await self.go_on.wait()
        if self.rests:
            rest(False)
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})


@contextlib.asynccontextmanager
async def served(app: Any, kind: type[WebSocketsSansIOProtocol]) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app,
        port=0,
        ws=kind,
        ws_ping_interval=BEAT_SECONDS,
        ws_ping_timeout=BEAT_SECONDS,
        log_level="critical",
        lifespan="off",
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"ws://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        await running


async def test_uvicorn_as_it_is_closes_who_is_not_read() -> None:
    app = NotReading(rests=False)
    async with served(app, WebSocketsSansIOProtocol) as url, connect(url) as socket:
        for text in "abc":
            await socket.send(text)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
        app.go_on.set()

    assert socket.close_code == 1011


async def test_with_keepalive_at_rest_they_go_on_where_they_were() -> None:
    app = NotReading(rests=True)
    async with served(app, ChatWebSocketProtocol) as url, connect(url) as socket:
        for text in "abc":
            await socket.send(text)
        # So long that a ping without an answer would have ended it, three times over.
        await asyncio.sleep(6 * BEAT_SECONDS)
        app.go_on.set()
        found = [await socket.recv() for _ in range(2)]
        # And pings are sent again: the server notices who is gone.
        await asyncio.sleep(3 * BEAT_SECONDS)
        await socket.send("d")
        found.append(await socket.recv())

    assert found == ["b", "c", "d"]


async def test_pings_go_on_after_a_rest() -> None:
    app = NotReading(rests=True)
    app.go_on.set()
    async with served(app, ChatWebSocketProtocol) as url, connect(url) as socket:
        await socket.send("a")
        pings = asyncio.Event()
        # The client's library answers pings by itself, and tells of them only so.
        original = socket.protocol.recv_frame

        def seen(frame: Any) -> None:
            if frame.opcode == 9:
                pings.set()
            original(frame)

        socket.protocol.recv_frame = seen  # type: ignore[method-assign]
        async with asyncio.timeout(30):
            await pings.wait()
