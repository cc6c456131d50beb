"""The way out through plain ASGI `send`, on any server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from headgate.live.outbox import Outbox

__all__ = ["AsgiSink"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiSink:
    """Sends one frame after the other; the server's flow control blocks it alone."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._outbox: Outbox | None = None
        self._sent = 1
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.get_running_loop().create_task(self._write())

    def write(self, frames: bytes) -> bool:  # noqa: ARG002 - the interface's
        """Take nothing past the outbox: a task sends what is in it."""
        return False

    def takes(self, outbox: Outbox) -> bool:
        """Return whether the outbox is below its limit."""
        return outbox.roomy

    def flush(self, outbox: Outbox) -> None:
        """Wake the writing task."""
        self._outbox = outbox
        if not self._task.done() and not outbox.empty:
            self._idle.clear()
            self._wake.set()

    def waiting(self) -> int:
        """Return how many frames were sent before the one that is being sent."""
        return 0 if self._idle.is_set() else self._sent

    def abort(self) -> None:
        """End the writing task: a `send` that does not return can only be left."""
        self._task.cancel()

    async def drained(self) -> None:
        """Wait until the server took all, or the client is gone."""
        await self._idle.wait()

    async def close(self) -> None:
        """End the writing task."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _write(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                outbox = self._outbox
                while outbox is not None and not outbox.empty:
                    frame = outbox.take()
                    await self._send({"type": "websocket.send", "text": frame.text})
                    self._sent += 1
                    outbox.took()
                self._idle.set()
        except (OSError, RuntimeError):
            # The client is gone: servers say it with an OSError (ASGI 2.4) or a
            # RuntimeError. `receive` tells the consumer.
            if self._outbox is not None:
                self._outbox.abandon()
        finally:
            self._idle.set()
