"""uvicorn's server, with an end that nobody notices.

Told to stop, it takes no more connections and sends away whoever is here
(`headgate.chat.drain`), before uvicorn closes anything. It ends when all have gone, and
at the latest when its time is over: no client can hold it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

from headgate.chat.drain import begin_drain, is_anybody_here, send_away
from headgate.chat.engine import close_engine
from headgate.server.exits import EXIT_FAULTS, EXIT_PROJECT, CannotStart
from headgate.server.health import Health
from headgate.server.listening import listen
from headgate.server.outbound_thread import OutboundThread

__all__ = ["ChatServer", "drain_time"]

logger = logging.getLogger("headgate.server")

LOOK_SECONDS = 0.05  # between looks at who is still here
# A connection of which nothing goes out for so long is not read: it cannot be told.
# One that has the close frame and does not answer it is not waited for any longer.
STALLED_SECONDS = 5.0
# Of the time that it may take, what is kept for the journal, the project and Python.
RESERVED_SECONDS = 2.0
RESERVED_PART = 0.3  # at the most
OVERDUE_SECONDS = 5.0  # past its time, the process ends as it is


class ChatServer(uvicorn.Server):
    """uvicorn with a drain, and with the journal's orderly end.

    Args:
        config: uvicorn's own.
        health: Told when the end begins.
        on_listening: Called once connections are taken.
        drain_seconds: How long the end may take.
        second_signal: Whether another signal ends it at once.
        outbound: What calls services beside it, which is to end with it.
    """

    # For `headgate.chat.http.stream_end`: event streams are sent away with the rest.
    sends_away = True

    def __init__(
        self,
        config: uvicorn.Config,
        health: Health,
        *,
        on_listening: Callable[[ChatServer], None],
        drain_seconds: float,
        second_signal: bool,
        outbound: OutboundThread | None = None,
    ) -> None:
        super().__init__(config)
        self._outbound = outbound
        self._health = health
        self._on_listening = on_listening
        self._drain_seconds = drain_seconds
        self._second_signal = second_signal
        # Each connection's unsent bytes, and since when they are so many.
        self._unsent: dict[Any, tuple[int, float]] = {}

    # --- beginning ---

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections, and tell of it."""
        for listening in sockets or ():
            listen(listening, self.config.host)
        try:
            await super().startup(sockets)
        except SystemExit as exc:  # so uvicorn says it, after logging why
            raise CannotStart(
                "The application refused to start: its lifespan failed.", EXIT_PROJECT
            ) from exc
        self._on_listening(self)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on SIGTERM and SIGINT; unlike uvicorn, end with exit code 0."""
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {each: signal.signal(each, self.handle_exit) for each in signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    # --- ending ---

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal to stop; a second one is for those who do not want to wait."""
        del sig, frame
        if self.should_exit and self._second_signal:
            self.hurry()
        self.stop()

    def stop(self) -> None:
        """Begin the end; not ready from now on."""
        self._health.draining = True
        self.should_exit = True

    def hurry(self) -> None:
        """End without waiting for anybody; what was taken is still written."""
        self.stop()
        self.force_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Send everybody away, close what is left, and write what was taken."""
        self._health.draining = True
        begun_at = asyncio.get_running_loop().time()
        _end_at_last(self._drain_seconds + OVERDUE_SECONDS)
        if self._outbound is not None:
            self._outbound.stop()
        for server in self.servers:
            server.close()
        if self.server_state.connections:
            begin_drain()
            await self._drain(begun_at + drain_time(self._drain_seconds))
        # uvicorn cannot close what is half closed, and raises.
        await self._cut_off([each for each in self._all() if _is_half_closed(each)])
        # Idle ones are closed there; on a second signal all are, with 1012.
        await super().shutdown(sockets)
        await self._cut_off(self._all())
        if self._outbound is not None:
            await self._join(self._outbound, begun_at + self._drain_seconds)
        await close_engine()

    async def _join(self, outbound: OutboundThread, until: float) -> None:
        """Wait for calls that are on their way; what is left over is owed still."""
        while not outbound.join(0.0):
            if self.force_exit or asyncio.get_running_loop().time() >= until:
                logger.warning("outbound_cut_off")
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _drain(self, until: float) -> None:
        """Send everybody away and wait until they have gone; cut off who has not."""
        loop = asyncio.get_running_loop()
        while not self.force_exit:
            await send_away()
            if not is_anybody_here():
                self._close_others()
            busy = [each for each in self._all() if _is_busy(each)]
            if not busy:
                return
            if loop.time() >= until:
                logger.warning("drain_cut_off connections=%d", len(busy))
                await self._cut_off(busy)
                return
            self._end_stalled(busy, loop.time())
            await asyncio.sleep(LOOK_SECONDS)

    def _close_others(self) -> None:
        """Close the WebSockets that are none of the chat's, as uvicorn does."""
        for each in self._all():
            if isinstance(each, WebSocketsSansIOProtocol) and (
                each.conn.state is State.OPEN and not each.transport.is_closing()
            ):
                each.shutdown()

    def _end_stalled(self, busy: list[Any], now: float) -> None:
        """Close connections of which nothing goes out, and which cannot be told."""
        unsent: dict[Any, tuple[int, float]] = {}
        for each in busy:
            size = each.transport.get_write_buffer_size()
            size_before, since = self._unsent.get(each, (-1, now))
            unsent[each] = (size, since if size == size_before else now)
            if now - unsent[each][1] < STALLED_SECONDS:
                continue
            if size > 0:
                each.transport.abort()
            elif isinstance(each, WebSocketsSansIOProtocol) and each.close_sent:
                each.transport.close()
        self._unsent = unsent

    async def _cut_off(self, connections: list[Any]) -> None:
        """Abort connections; who serves them is told, and ends."""
        if not connections:
            return
        for each in connections:
            each.transport.abort()
        await asyncio.sleep(0)  # they are lost in the next turn
        tasks = list(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=LOOK_SECONDS)

    def _all(self) -> list[Any]:
        return list(self.server_state.connections)


def drain_time(drain_seconds: float) -> float:
    """Return how long people, and calls of services, may take of the whole time."""
    return drain_seconds - min(RESERVED_SECONDS, RESERVED_PART * drain_seconds)


def _is_busy(connection: Any) -> bool:
    """Return whether a connection is a WebSocket, or has a request under way."""
    if isinstance(connection, HttpToolsProtocol):
        cycle: Any = connection.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete
    return True


def _is_half_closed(connection: Any) -> bool:
    """Return whether a WebSocket's close has begun, and uvicorn does not know it."""
    return (
        isinstance(connection, WebSocketsSansIOProtocol)
        and connection.handshake_complete
        and not connection.close_sent
        and connection.conn.state is not State.OPEN
    )


def _end_at_last(seconds: float) -> None:
    """End the process after so long, whatever hangs: a thread, or the database."""

    def end() -> None:
        logger.error("drain_overdue seconds=%g", seconds)
        logging.shutdown()
        os._exit(EXIT_FAULTS)

    last = threading.Timer(seconds, end)
    last.daemon = True
    last.start()
