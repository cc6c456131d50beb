"""What a process that serves connections has, once per event loop.

The journal, the node, the reader and the comparison of heads, wired together. It
starts on first use in the running loop, so nothing depends on an ASGI server's
lifespan.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from headgate.chat.conf import conf
from headgate.chat.heads import HeadWatch
from headgate.chat.history import DatabaseLog
from headgate.chat.journal import Journal
from headgate.chat.reader import Reader
from headgate.chat.standing import Standing
from headgate.live.node import Node
from headgate.protocol.pushes import LogEvent

__all__ = ["Engine", "close_engine", "engine", "hint", "started_engine"]

_engines: WeakKeyDictionary[asyncio.AbstractEventLoop, Engine] = WeakKeyDictionary()


class Engine:
    """The chat of one event loop."""

    def __init__(self) -> None:
        settings = conf()
        self.reader = Reader()
        self.standing = Standing(self.reader)
        self.node = Node(
            DatabaseLog(self.reader),
            resume_limit=settings.RESUME_LIMIT,
            told=self.standing.told,
        )
        self.standing.node = self.node
        self.journal = Journal(
            self._written,
            max_waiting=settings.JOURNAL_MAX_WAITING,
            max_waiting_bytes=settings.JOURNAL_MAX_WAITING_BYTES,
        )
        self._heads = HeadWatch(self.node.hub)

    def _written(self, written: Sequence[tuple[int, LogEvent]]) -> None:
        """Hand what the journal wrote to the hub, in one run per room."""
        runs: dict[int, list[LogEvent]] = {}
        for room_id, push in written:
            runs.setdefault(room_id, []).append(push)
        for room_id, events in runs.items():
            self.node.hub.publish(room_id, events)

    async def close(self) -> None:
        """Write what was submitted, then let go of threads and database."""
        await self.journal.close()
        await self._heads.close()
        await self.standing.close()
        await self.reader.close()


def engine() -> Engine:
    """Return the running loop's engine, started on first use."""
    loop = asyncio.get_running_loop()
    started = _engines.get(loop)
    if started is None:
        started = _engines[loop] = Engine()
    return started


def started_engine() -> Engine | None:
    """Return the running loop's engine if there is one."""
    return _engines.get(asyncio.get_running_loop())


async def close_engine() -> None:
    """Close the running loop's engine if there is one."""
    started = _engines.pop(asyncio.get_running_loop(), None)
    if started is not None:
        await started.close()


def hint(room_id: int, head: int) -> None:
    """Tell this process's engines, from any thread, that a room's log has grown."""
    for loop, started in list(_engines.items()):
        if not loop.is_closed():
            loop.call_soon_threadsafe(started.node.hub.reach, room_id, head)
