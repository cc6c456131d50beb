"""One per process and event loop: the hub, and what makes its connections move."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from headgate.live.catch_up import catch_up
from headgate.live.connection import Connection, Watch
from headgate.live.hub import Hub, HubRoom
from headgate.live.ports import Log
from headgate.protocol.pushes import LogEvent, Reset

__all__ = ["Node"]

logger = logging.getLogger("headgate.node")


class Node:
    """Watches, flushes and catches up the connections of one event loop.

    Args:
        log: The rooms' truth.
        resume_limit: How many events behind somebody may be and still be caught up.
        told: Called with each run of a room's events before it goes out.
    """

    def __init__(
        self,
        log: Log,
        *,
        resume_limit: int,
        told: Callable[[int, Sequence[LogEvent]], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._resume_limit = resume_limit
        self._dirty: list[Connection] = []
        self.connections: set[Connection] = set()
        self.hub = Hub(log, touched=self.touch, behind=self._catch_up, told=told)

    def add(self, connection: Connection) -> None:
        """Take a connection in."""
        self.connections.add(connection)

    async def remove(self, connection: Connection) -> None:
        """Let a connection go, with its watches and its catch-up."""
        connection.closed = True
        self.connections.discard(connection)
        for watch in list(connection.watches.values()):
            self.hub.leave(watch)
        task = connection.catching_up
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # --- watching ---

    async def open(self, room_id: int, seen: int = 0) -> HubRoom:
        """Return a room whose head is known, up to what somebody has seen.

        Raises `LogUnavailable`.
        """
        return await self.hub.open(room_id, seen)

    def watch(
        self,
        connection: Connection,
        room: HubRoom,
        *,
        after: int | None,
        epoch: str | None,
        visible_from: int,
        rights: Any,
    ) -> Reset | None:
        """Begin to watch: from now, or after a seq seen earlier.

        Returns the `Reset` (without its room's name) that the client must be told
        where its place cannot be kept: from another epoch, from the future, or too
        far behind. It is live from the head then.
        """
        hidden = max(visible_from - 1, 0)
        position = room.head if after is None else max(after, hidden)
        reset = None
        lost = after is not None and (
            (epoch is not None and epoch != room.epoch)
            or after > room.head
            or room.head - position > self._resume_limit
        )
        if lost:
            position = room.head
            oldest = min(visible_from, room.head + 1)
            reset = Reset(room="", oldest=oldest, head=room.head, epoch=room.epoch)
        # An earlier watch is replaced, not left: with the last one goes the room.
        watch = Watch(connection, room.room_id, position, rights)
        self.hub.watch(room, watch)
        return reset

    def go(self, connection: Connection, room_id: int) -> None:
        """Let a new watch's events flow, once its reply is in the outbox."""
        watch = connection.watches.get(room_id)
        room = self.hub.rooms.get(room_id)
        if watch is None or room is None:
            return
        watch.begun = True
        if watch.position >= room.head:
            watch.live = True
        else:
            self._catch_up(watch)

    def _catch_up(self, watch: Watch) -> None:
        connection = watch.connection
        if connection.catching_up is None and not connection.closed:
            feeding = catch_up(connection, self.hub, self._log, self.touch)
            task = self._loop.create_task(feeding)
            connection.catching_up = task
            task.add_done_callback(lambda done: self._caught_up(connection, done))

    def _caught_up(self, connection: Connection, task: asyncio.Task[None]) -> None:
        connection.catching_up = None
        if not task.cancelled() and task.exception() is not None:
            self._loop.call_exception_handler(
                {"message": "catch-up failed", "exception": task.exception()},
            )
            return
        # One may have fallen behind between the task's last look and its end.
        behind = connection.behind
        if behind is not None and not task.cancelled():
            self._catch_up(behind)

    # --- flushing ---

    def touch(self, connection: Connection) -> None:
        """Note that a connection has something in its outbox; flush it soon.

        All that is put within one turn of the loop leaves in one write.
        """
        if not connection.dirty:
            connection.dirty = True
            if not self._dirty:
                self._loop.call_soon(self._flush)
            self._dirty.append(connection)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            connection.dirty = False
            if connection.closed:
                continue
            try:
                connection.sink.flush(connection.outbox)
            except Exception:  # one client's fault is not its neighbours'
                logger.exception("flush_failed")
                connection.outbox.abandon()
