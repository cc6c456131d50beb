"""Cutting off connections that are dead: nothing goes out, or nothing comes in.

A close frame cannot pass a full buffer, so such a connection is aborted; its client,
if there still is one, sees 1006 and resumes. One timer looks at all connections.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterator

from headgate.live.connection import Connection
from headgate.live.meters import Meters
from headgate.live.scheduler import Scheduler, Slice
from headgate.protocol.codes import Close
from headgate.protocol.fields import HEARTBEAT_SECONDS

__all__ = ["STALL_SECONDS", "Stalls"]

logger = logging.getLogger("headgate.stalls")

STALL_SECONDS = 10.0  # without progress, then a connection is aborted
# For which nothing was heard of a client that sends heartbeats: two of its intervals.
SILENT_SECONDS = 2 * HEARTBEAT_SECONDS
LOOK_SECONDS = 1.0  # between looks at all connections
# Connections that are cut off in one look: each one's end costs the loop some tenths of
# a millisecond, which those who read would wait for.
MOST_CUTS = 100


class Stalls:
    """A job that looks at all connections, again and again."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        scheduler: Scheduler,
        connections: Collection[Connection],
        meters: Meters,
    ) -> None:
        self._loop = loop
        self._scheduler = scheduler
        self._connections = connections
        self._meters = meters
        # Who waited at the last look: with what number, and since when.
        self._waiting: dict[Connection, tuple[int, float]] = {}
        self._round: Iterator[Connection] | None = None
        self._seen: dict[Connection, tuple[int, float]] = {}
        self._cuts = 0  # in this round
        self.queued = False
        self._timer = loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._round = iter(list(self._connections))
        self._seen = {}
        self._cuts = 0
        self._scheduler.ready(self)

    def work(self, part: Slice) -> bool:
        """Look at some; after the last, wait for the next time."""
        if self._round is None:
            return False  # it was closed
        now = self._loop.time()
        for connection in self._round:
            if not connection.closed:
                self._look_at(connection, now)
            if part.over:
                return True
        self._waiting, self._round = self._seen, None
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        return False

    def _look_at(self, connection: Connection, now: float) -> None:
        heard_at = connection.heard_at
        silent = heard_at is not None and now - heard_at > SILENT_SECONDS
        if silent and self._cuts < MOST_CUTS:
            self._meters.silent += 1
            logger.info("connection_silent seconds=%g", SILENT_SECONDS)
            self._cut(connection)
            return
        number = connection.sink.waiting()
        if not number:
            return
        before, since = self._waiting.get(connection, (0, now))
        if number != before:
            since = now
        if now - since < STALL_SECONDS or self._cuts >= MOST_CUTS:
            self._seen[connection] = number, since
        else:
            self._meters.stalled += 1
            logger.info("connection_stalled seconds=%g", STALL_SECONDS)
            self._cut(connection)

    def _cut(self, connection: Connection) -> None:
        self._cuts += 1
        connection.sink.abort()
        connection.end(Close.TOO_SLOW, None)

    def close(self) -> None:
        """Stop looking."""
        self._timer.cancel()
        self._round = None
