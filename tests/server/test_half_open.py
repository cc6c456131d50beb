"""A peer that vanishes without a word is found, and the application is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from websockets.asyncio.client import connect

from headgate.server.websocket_protocol import ChatWebSocketProtocol
from tests.fault_proxy import FaultProxy, Faults
from tests.server.hostile import FIN, TEXT, Hostile, client_frame
from tests.steady import SteadyClock

BEAT_SECONDS = 0.25  # between pings, and for the answer
# A look at the queue each way, and a busy machine.
SLACK_SECONDS = 0.25


class Witness:
    """An application that notes when its clients are gone."""

    def __init__(self) -> None:
        self.gone_at: float | None = None
        self.gone = asyncio.Event()
        self.heard: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                self.heard.append(message)
                if message.get("text") == "more":
                    # More than the kernel takes for somebody who reads nothing.
                    for _ in range(100):
                        await send(
                            {"type": "websocket.send", "bytes": bytes(64 * 1024)}
                        )
        finally:
            self.gone_at = asyncio.get_running_loop().time()
            self.gone.set()


class BlackHole(FaultProxy):
    """A proxy that can swallow all that comes, both ways, and close nothing."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port, Faults())
        self.open = True

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        theirs, to_server = await asyncio.open_connection(*self._upstream)
        try:
            await asyncio.gather(
                self._pass(reader, to_server), self._pass(theirs, writer)
            )
        finally:
            self._tasks.discard(task)
            writer.close()
            to_server.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                if self.open:
                    writer.write(data)
                    await writer.drain()
        if self.open:
            writer.close()
        else:
            await asyncio.Event().wait()


@contextlib.asynccontextmanager
async def served(app: Any) -> AsyncIterator[int]:
    config = uvicorn.Config(
        app,
        port=0,
        ws=ChatWebSocketProtocol,
        ws_ping_interval=BEAT_SECONDS,
        ws_ping_timeout=BEAT_SECONDS,
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def test_one_behind_a_black_hole_is_found_within_two_intervals(
    steady: SteadyClock,
) -> None:
    app, loop = Witness(), asyncio.get_running_loop()
    async with served(app) as port, BlackHole(port) as proxy:
        socket = await connect(f"ws://127.0.0.1:{proxy.port}/", ping_interval=None)
        # It answers for as long as it can.
        await asyncio.sleep(4 * BEAT_SECONDS)
        assert not app.gone.is_set()
        proxy.open, vanished = False, loop.time()
        async with asyncio.timeout(30):
            await app.gone.wait()
        socket.transport.abort()

    assert app.gone_at is not None
    took = steady.between(vanished, app.gone_at)
    assert took <= 2 * BEAT_SECONDS + SLACK_SECONDS


async def test_one_that_says_something_needs_no_pongs() -> None:
    """Whatever comes is a sign of life: here nothing but texts does."""
    app = Witness()
    async with served(app) as port:
        client = await asyncio.to_thread(Hostile, port)
        with client:
            for _ in range(12):
                client.send(client_frame(FIN | TEXT, b"here"))
                await asyncio.sleep(BEAT_SECONDS / 2)
            alive = not app.gone.is_set()
            async with asyncio.timeout(30):
                await app.gone.wait()

    assert alive
    assert len(app.heard) == 12


async def test_one_that_stopped_reading_is_found_though_its_buffer_is_full() -> None:
    """A close frame would wait behind what is not read, for ever."""
    app = Witness()
    async with served(app) as port:
        client = await asyncio.to_thread(Hostile, port, receive_bytes=4096)
        with client:
            client.send(client_frame(FIN | TEXT, b"more"))
            async with asyncio.timeout(30):
                await app.gone.wait()


async def test_what_the_kernel_keeps_is_bounded() -> None:
    app = Witness()
    async with served(app) as port:
        client = await asyncio.to_thread(Hostile, port)
        with client:
            client.send(client_frame(FIN | TEXT, b"here"))
            while not app.heard:  # noqa: ASYNC110 - the application's, not ours
                await asyncio.sleep(0.01)
            (found,) = [
                task
                for task in asyncio.all_tasks()
                if "run_asgi" in repr(task.get_coro())
            ]
            protocol = found.get_coro().cr_frame.f_locals["self"]  # type: ignore[union-attr]
            its = protocol.transport.get_extra_info("socket")
            unsent = its.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
            unread = its.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            limits = protocol.transport.get_write_buffer_limits()

    assert unsent == 64 * 1024
    assert unread == 64 * 1024  # Linux doubles what is asked for
    assert limits[1] == 64 * 1024
