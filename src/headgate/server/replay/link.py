"""One client's connection, which comes back when it breaks.

Subclasses say what is said first (`greet`) and what to do with what is heard; this
file opens, answers pings, closes, and waits longer after each failure, at random and
never over two seconds, so that many clients do not return all at once.
"""

from __future__ import annotations

import asyncio
from random import SystemRandom
from typing import TYPE_CHECKING

from headgate.server.replay.frames import (
    CLOSE,
    PING,
    PONG,
    BadFrame,
    FrameReader,
    client_frame,
)
from headgate.server.replay.wire import Opened, OpeningFailed, Target, open_websocket

if TYPE_CHECKING:
    from headgate.server.replay.tally import Tally

__all__ = ["Link"]

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_READY_SECONDS = 10.0  # from the open WebSocket to the first useful answer
_NORMAL_CLOSE = b"\x03\xe8"  # 1000

_chance = SystemRandom()


class Link(Opened):
    """A WebSocket that is kept open until it is told to stop.

    Attributes:
        failure: Why the last attempt failed or the last connection ended.
        barred: The server said not to come back.
        is_ready: It may be used now.
    """

    def __init__(self, target: Target, tally: Tally) -> None:
        self.target = target
        self.tally = tally
        self.frames = FrameReader()
        self.failure = ""
        self.barred = False
        self.is_ready = False
        self._transport: asyncio.Transport | None = None
        self._settled: asyncio.Future[None] | None = None  # ready, or failed
        self._lost = asyncio.Event()
        self._stopping = False
        self._was_ready = False
        self._asked_pause_seconds: float | None = None

    # --- for subclasses ----------------------------------------------------------

    def greet(self) -> None:
        """Say what is said first, or call `ready` if nothing is."""
        raise NotImplementedError

    def heard(self, payload: bytes) -> None:
        """Take one message."""
        raise NotImplementedError

    def lost(self) -> None:
        """Do what a broken connection asks for."""

    def ready(self) -> None:
        """Declare the connection good for use."""
        if self.is_ready:
            return
        self.is_ready = True
        if self._was_ready:
            self.tally.reconnects += 1
        self._was_ready = True
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def give_up(self, why: str, *, barred: bool = False) -> None:
        """End this connection; come back later, or not at all."""
        self.failure = why
        self.barred = self.barred or barred
        if self._transport is not None:
            self._transport.abort()

    def return_in(self, seconds: float) -> None:
        """Wait this long before the next attempt, as the server asked."""
        self._asked_pause_seconds = seconds

    def send(self, payload: bytes) -> None:
        """Write one text message, if there is a connection."""
        if self._transport is not None:
            self._transport.write(client_frame(payload))

    # --- its life ----------------------------------------------------------------

    async def connect(self) -> None:
        """Open once, up to being ready; raises `OpeningFailed` or an `OSError`."""
        self._lost.clear()
        self._settled = asyncio.get_running_loop().create_future()
        self._asked_pause_seconds = None
        await open_websocket(self.target, self)
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._settled
        except TimeoutError:
            self.give_up(f"{self.target.where} says nothing.")
            raise OpeningFailed(self.failure) from None

    async def keep(self, gate: asyncio.Semaphore) -> None:
        """Stay connected; `gate` bounds how many open at the same time."""
        failures = 0
        while not (self._stopping or self.barred):
            try:
                if not self.is_ready:
                    async with gate:
                        await self.connect()
                failures = 0
                await self._lost.wait()
            except (OSError, OpeningFailed) as exc:
                self.failure = str(exc)
                failures += 1
            if not self._stopping:
                await asyncio.sleep(self._pause_seconds(failures))

    def _pause_seconds(self, failures: int) -> float:
        """Return how long to wait: as asked, else full jitter under a cap."""
        if self._asked_pause_seconds is not None:
            return min(self._asked_pause_seconds, _LONGEST_PAUSE_SECONDS)
        longest = _FIRST_PAUSE_SECONDS * 2 ** min(failures, 10)
        return _chance.uniform(0, min(_LONGEST_PAUSE_SECONDS, longest))

    def stop(self) -> None:
        """Close for good."""
        self._stopping = True
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(client_frame(_NORMAL_CLOSE, CLOSE))
            transport.close()

    # --- what asyncio calls ------------------------------------------------------

    def opened(self, transport: asyncio.Transport) -> None:
        """Take over from the handshake."""
        self._transport = transport
        self.frames = FrameReader()
        self.failure = ""
        self.greet()

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        try:
            for payload in self.frames.feed(data):
                self.heard(payload)
        except BadFrame as exc:
            self.tally.problem(f"The server broke the framing: {exc}")
            self.give_up(str(exc))
            return
        if self.frames.controls:
            self._answer_controls()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clear away; `keep` opens anew."""
        self._transport = None
        self.is_ready = False
        self.failure = self.failure or (str(exc) if exc else "The connection ended.")
        self.lost()
        if self._settled is not None and not self._settled.done():
            self._settled.set_exception(OpeningFailed(self.failure))
        self._lost.set()

    def _answer_controls(self) -> None:
        """Answer pings, and a close with a close."""
        transport = self._transport
        for opcode, payload in self.frames.controls:
            if transport is None or transport.is_closing():
                break
            if opcode == PING:
                transport.write(client_frame(payload, PONG))
            elif opcode == CLOSE:
                code = int.from_bytes(payload[:2], "big")
                reason = payload[2:].decode("utf-8", "replace")
                self.failure = self.failure or f"Closed by the server: {code} {reason}"
                self.closed(code)
                transport.write(client_frame(payload[:2], CLOSE))
                transport.close()
        self.frames.controls.clear()

    def closed(self, code: int) -> None:
        """Learn from the server's close code whether to come back."""
