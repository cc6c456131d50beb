"""The way out as server-sent events, through plain ASGI `send` of an HTTP answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from headgate.live.frames import StreamPush
from headgate.live.outbox import Outbox
from headgate.live.positions import Positions

__all__ = ["HEARTBEAT_SECONDS", "EventStreamSink"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEARTBEAT_SECONDS = 25.0  # without anything else; proxies cut idle answers at 30 to 60
_HEARTBEAT = b": heartbeat\n\n"
_WRITE_BYTES = 16 * 1024  # what goes out at once; ids are made only then


class EventStreamSink:
    """Sends what waits as events; the server's flow control blocks it alone.

    Nothing goes out before `begin`. Each push that changes a place is followed by the
    client's places in all rooms, as they are with this push.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._outbox: Outbox | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._written = 1
        self.begun = False
        self.positions = Positions()
        self._said = ""  # the places that the client was told last

    async def begin(
        self,
        headers: list[tuple[bytes, bytes]],
        *,
        retry_ms: int,
    ) -> None:
        """Begin the answer, and say when to come back after it has ended.

        Raises OSError or RuntimeError where the client is gone.
        """
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        await self._send(start)
        self.begun = True
        await self._write(b"retry: %d\n\n" % retry_ms)
        self._task = asyncio.get_running_loop().create_task(self._run())
        if self._outbox is not None:
            self.flush(self._outbox)

    def write(self, frames: bytes) -> bool:  # noqa: ARG002 - the interface's
        """Take nothing past the outbox: a task writes what is in it."""
        return False

    def takes(self, outbox: Outbox) -> bool:
        """Return whether the outbox is below its limit."""
        return outbox.roomy

    def flush(self, outbox: Outbox) -> None:
        """Wake the writing task."""
        self._outbox = outbox
        if self._task is not None and not self._task.done() and not outbox.empty:
            self._idle.clear()
            self._wake.set()

    def waiting(self) -> int:
        """Return how many writes were done before the one that is being done."""
        return 0 if self._idle.is_set() else self._written

    def abort(self) -> None:
        """End the writing task: a `send` that does not return can only be left."""
        if self._task is not None:
            self._task.cancel()

    async def drained(self) -> None:
        """Wait until the server took all, or the client is gone."""
        await self._idle.wait()

    async def close(self) -> None:
        """End the writing task; the answer is left open."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                await self._beat_until_woken()
                self._wake.clear()
                outbox = self._outbox
                while outbox is not None and not outbox.empty:
                    await self._write(self._next(outbox))
                    self._written += 1
                    outbox.took()
                self._idle.set()
        except (OSError, RuntimeError):
            # The client is gone: servers say it with an OSError (ASGI 2.4) or a
            # RuntimeError. `receive` tells whoever serves the stream.
            if self._outbox is not None:
                self._outbox.abandon()
        finally:
            self._idle.set()

    async def _beat_until_woken(self) -> None:
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                await self._write(_HEARTBEAT)
            else:
                return

    async def _write(self, body: bytes) -> None:
        await self._send(
            {"type": "http.response.body", "body": body, "more_body": True},
        )

    def _next(self, outbox: Outbox) -> bytes:
        """Take pushes out of the outbox and return them as events."""
        parts: list[bytes] = []
        size = 0
        while not outbox.empty and size < _WRITE_BYTES:
            push = outbox.take()
            parts.append(push.payload)
            size += push.size
            if isinstance(push, StreamPush) and push.room is not None:
                self.positions.move(push.room, push.seq, push.epoch)
            places = str(self.positions)
            if places != self._said:
                self._said = places
                line = b"id: %b\n" % places.encode()
                parts.append(line)
                size += len(line)
            parts.append(b"\n")
        return b"".join(parts)
