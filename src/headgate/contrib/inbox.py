"""The messages of one connection, with one read ahead while another is held.

Whoever holds a message must notice that the client goes. So it reads on, but no more
than one message of a WebSocket: what comes after that waits with the server, and so
with the client.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque

from headgate.contrib.asgi_types import Message, Receive

__all__ = ["Inbox"]


class Inbox:
    """What an application reads instead of `receive`.

    Nothing is lost when a reader is cancelled.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read: deque[Message] = deque()
        self._pending: asyncio.Task[Message] | None = None

    async def next(self) -> Message:
        """Return the next message."""
        if self._read:
            return self._read.popleft()
        if self._pending is None:
            return await self._receive()
        await asyncio.wait({self._pending})
        return self._take()

    async def stays(self, seconds: float) -> bool:
        """Wait that long; return False, at once, if the client goes."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self._gone and (left := until - loop.time()) > 0:
            if not self._reads_on:
                await asyncio.sleep(left)
                continue
            if self._pending is None:
                self._pending = loop.create_task(_call(self._receive))
            done, _ = await asyncio.wait({self._pending}, timeout=left)
            if done:
                self._read.append(self._take())
        return not self._gone

    async def aclose(self) -> None:
        """Read no more."""
        if self._pending is not None:
            self._pending.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._pending
            self._pending = None

    @property
    def _gone(self) -> bool:
        return any(each["type"].endswith(".disconnect") for each in self._read)

    @property
    def _reads_on(self) -> bool:
        """Whether the next message may be a disconnect that has to be known of.

        After a request's whole body nothing else can come.
        """
        if not self._read:
            return True
        last = self._read[-1]
        return last["type"] == "http.request" and not last.get("more_body")

    def _take(self) -> Message:
        task = self._pending
        assert task is not None  # noqa: S101 - for the type checker; both callers have it
        self._pending = None
        return task.result()


async def _call(receive: Receive) -> Message:
    """Make a coroutine of what may be any awaitable."""
    return await receive()
