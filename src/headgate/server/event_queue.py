"""What a WebSocket has brought and the application has not received yet."""

from __future__ import annotations

import asyncio
from typing import Any

__all__ = ["EventQueue"]


class EventQueue:
    """What came and is not received yet: what uvicorn uses of `asyncio.Queue`.

    One reader, no bound (reading is paused while anything waits here), and half the
    work for each event.
    """

    __slots__ = ("_events", "_loop", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._events: list[Any] = []
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    def put_nowait(self, event: Any) -> None:
        """Add an event and wake the reader."""
        self._events.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def empty(self) -> bool:
        """Return whether nothing waits."""
        return not self._events

    @property
    def awaited(self) -> bool:
        """Whether the reader waits: it has done with all that came before."""
        return self._waiter is not None and not self._waiter.done()

    async def get(self) -> Any:
        """Wait for an event and remove it."""
        while not self._events:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._events.pop(0)
