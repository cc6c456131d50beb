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
# Connections that are cut off at once, and until the next: each one's end costs the
# loop some tenths of a millisecond, which those who read would wait for.
CUTS_AT_ONCE = 5
CUTS_PAUSE_SECONDS = 0.05


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
        # Who was found dead and waits to be cut off; without values, in order.
        self._dead: dict[Connection, None] = {}
        self._cutter: asyncio.TimerHandle | None = None  # while there are some
        self.queued = False
        self._timer = loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._round = iter(list(self._connections))
        self._seen = {}
        self._scheduler.ready(self)

    def work(self, part: Slice) -> bool:
        """Look at some; after the last, wait for the next time."""
        if self._round is None:
            return False  # it was closed
        now = self._loop.time()
        for connection in self._round:
            if not connection.closed:
                try:
                    self._look_at(connection, now)
                except Exception:  # or nobody would be looked at ever again
                    logger.exception("stall_look_failed")
            if part.over:
                return True
        self._waiting, self._round = self._seen, None
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        if self._cutter is None:
            self._cut_some()
        return False

    def _look_at(self, connection: Connection, now: float) -> None:
        number, since = connection.sink.waiting(), now
        if number:
            before = self._waiting.get(connection)
            if before is not None and before[0] == number:
                since = before[1]
            self._seen[connection] = number, since
        if now - since >= STALL_SECONDS or _is_silent(connection, now):
            self._dead[connection] = None

    # --- cutting off ---

    def _cut_some(self) -> None:
        """Cut off the first of those who are dead still, and the others later."""
        now, cuts = self._loop.time(), 0
        self._cutter = None
        while self._dead and cuts < CUTS_AT_ONCE:
            connection = next(iter(self._dead))
            del self._dead[connection]
            try:
                cuts += self._cut(connection, now)
            except Exception:  # one connection's fault is not the others'
                logger.exception("cut_failed")
        if self._dead:
            self._cutter = self._loop.call_later(CUTS_PAUSE_SECONDS, self._cut_some)

    def _cut(self, connection: Connection, now: float) -> bool:
        """Cut a connection off, unless it has gone or got on; return whether it was."""
        if connection.closed:
            return False
        if _is_silent(connection, now):
            self._meters.silent += 1
            logger.info("connection_silent seconds=%g", SILENT_SECONDS)
        elif self._is_stalled(connection, now):
            self._meters.stalled += 1
            logger.info("connection_stalled seconds=%g", STALL_SECONDS)
        else:
            return False
        connection.sink.abort()
        connection.end(Close.TOO_SLOW, None)
        return True

    def _is_stalled(self, connection: Connection, now: float) -> bool:
        number, since = self._waiting.get(connection, (0, now))
        return connection.sink.waiting() == number and now - since >= STALL_SECONDS

    def close(self) -> None:
        """Stop looking, and cut nobody off."""
        self._timer.cancel()
        if self._cutter is not None:
            self._cutter.cancel()
        self._round = None


def _is_silent(connection: Connection, now: float) -> bool:
    heard_at = connection.heard_at
    return heard_at is not None and now - heard_at > SILENT_SECONDS
