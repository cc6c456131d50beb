"""Calling the project's handlers beside the connections of one event loop.

Each handler has a queue and is called for one event after the other, in their order;
so a slow one delays nobody but itself, and one that is too slow misses events.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from headgate.chat.hooks import Handler
from headgate.chat.project_threads import ProjectThreads

__all__ = ["Teller"]

logger = logging.getLogger("headgate.hooks")

MAX_WAITING = 1000  # events for one handler; past it they are dropped
CLOSE_SECONDS = 2.0  # for what waits to be told at the end


class Teller:
    """Calls handlers, each with what it is to be told. Used on its event loop only."""

    def __init__(self, threads: ProjectThreads) -> None:
        self._threads = threads
        self._lines: dict[Handler, _Line] = {}

    def tell(self, handlers: Iterable[Handler], *args: Any) -> None:
        """Have handlers called soon; never waits."""
        for handler in handlers:
            line = self._lines.get(handler)
            if line is None:
                line = self._lines[handler] = _Line(handler, self._threads)
            line.put(args)

    async def close(self) -> None:
        """Tell what waits, for as long as that may take, and stop."""
        lines = [asyncio.ensure_future(line.told()) for line in self._lines.values()]
        if lines:
            _, late = await asyncio.wait(lines, timeout=CLOSE_SECONDS)
            for each in late:
                each.cancel()
        for line in self._lines.values():
            await line.close()
        await self._threads.close()


class _Line:
    """What waits for one handler, and the task that calls it."""

    def __init__(self, handler: Handler, threads: ProjectThreads) -> None:
        self._handler = handler
        self._threads = threads
        self._waiting: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue(MAX_WAITING)
        self._dropped = 0
        self._task = asyncio.get_running_loop().create_task(self._run())

    def put(self, args: tuple[Any, ...]) -> None:
        """Have the handler called with these in its turn, or drop them."""
        try:
            self._waiting.put_nowait(args)
        except asyncio.QueueFull:
            if not self._dropped:
                logger.warning(
                    "handler_too_slow handler=%s waiting=%d",
                    self._handler.name,
                    MAX_WAITING,
                )
            self._dropped += 1

    async def told(self) -> None:
        """Wait until nothing waits."""
        await self._waiting.join()

    async def close(self) -> None:
        """Stop calling."""
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)

    async def _run(self) -> None:
        while True:
            args = await self._waiting.get()
            await self._call(args)
            self._waiting.task_done()
            if self._dropped and self._waiting.empty():
                logger.warning(
                    "handler_back handler=%s dropped=%d",
                    self._handler.name,
                    self._dropped,
                )
                self._dropped = 0

    async def _call(self, args: tuple[Any, ...]) -> None:
        function = self._handler.function
        try:
            if function.is_async:
                await function.call(*args)
            else:
                await self._threads.run(function.call, *args)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            logger.warning("handler_cancelled handler=%s", self._handler.name)
        except (Exception, SystemExit):  # the project's fault is nobody else's
            logger.exception("handler_failed handler=%s", self._handler.name)
