"""Flushing outboxes: what waits for one connection leaves in one write."""

from __future__ import annotations

import logging
from collections import deque

from headgate.live.connection import Connection
from headgate.live.scheduler import Scheduler, Slice

__all__ = ["Flusher"]

logger = logging.getLogger("headgate.flusher")


class Flusher:
    """The job that writes what waits in outboxes. Used on its event loop only."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._dirty: deque[Connection] = deque()
        self.queued = False

    def touch(self, connection: Connection) -> None:
        """Note that a connection has something in its outbox; flush it soon.

        All that is put within one turn of the loop leaves in one write.
        """
        if not connection.dirty:
            connection.dirty = True
            self._dirty.append(connection)
            self._scheduler.flush(self)

    def work(self, part: Slice) -> bool:
        """Flush one connection after the other."""
        while self._dirty and not part.over:
            part.writes -= 1
            connection = self._dirty.popleft()
            connection.dirty = False
            if connection.closed:
                continue
            try:
                connection.sink.flush(connection.outbox)
            except Exception:  # one client's fault is not its neighbours'
                logger.exception("flush_failed")
                connection.outbox.abandon()
        return bool(self._dirty)
