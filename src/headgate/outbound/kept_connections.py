"""Connections that are used again, so that not each call has a handshake.

httpcore2's own pool looks at all its connections for each request, which was half of
the time of a call; here each destination has a pile, and the one used last goes first.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict

import httpcore2

from headgate.outbound.address_guard import AddressGuard, Checked
from headgate.outbound.guarded_stream import open_stream
from headgate.outbound.lookups import Lookups
from headgate.outbound.places import MAX_IN_FLIGHT

__all__ = ["KeptConnections"]

MAX_OPEN = MAX_IN_FLIGHT  # in use at once: no call of a worker waits for one
MAX_IDLE = 128
# Shorter than the 5 s after which many servers close: a call into a connection that
# is being closed fails.
KEPT_SECONDS = 4.0

# By what rules, and where to: what one destination may reach, another may not.
_Way = tuple[AddressGuard, str, str, int]
Connection = httpcore2.AsyncHTTP11Connection


class KeptConnections:
    """The connections of one event loop."""

    def __init__(self, lookups: Lookups, tls: ssl.SSLContext) -> None:
        self._lookups = lookups
        self._tls = tls
        self._places = asyncio.Semaphore(MAX_OPEN)
        # The ways with idle connections, those first that were used longest ago.
        self._idle: OrderedDict[_Way, list[Connection]] = OrderedDict()
        self._idle_count = 0
        self._sweep: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def take(self, checked: Checked, guard: AddressGuard) -> Connection:
        """Return a connection, which is to be given back, whatever comes of it.

        Raises:
            NotAllowed, NotFound, NotLookedUp, NotReached: As `open_stream`.
        """
        await self._places.acquire()
        try:
            found = self._idle_one(_way(checked, guard))
            if found is not None:
                return found
            stream = await open_stream(checked, guard, self._lookups, self._tls)
        except BaseException:
            self._places.release()
            raise
        origin = httpcore2.Origin(
            checked.scheme.encode(), checked.host.encode(), checked.port
        )
        return Connection(origin, stream, keepalive_expiry=KEPT_SECONDS)

    def give_back(
        self, checked: Checked, guard: AddressGuard, connection: Connection
    ) -> None:
        """Keep a connection for the next call, if it is still of use."""
        self._places.release()
        if not connection.is_idle():
            self._close(connection)
            return
        way = _way(checked, guard)
        self._idle.setdefault(way, []).append(connection)
        self._idle.move_to_end(way)
        self._idle_count += 1
        if self._idle_count > MAX_IDLE:
            self._drop_oldest()
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(KEPT_SECONDS, self._close_expired)

    async def close(self) -> None:
        """Close what is idle."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for pile in self._idle.values():
            for connection in pile:
                self._close(connection)
        self._idle.clear()
        self._idle_count = 0
        await asyncio.gather(*self._closing)

    def _idle_one(self, way: _Way) -> Connection | None:
        pile = self._idle.get(way)
        while pile:
            connection = pile.pop()
            self._idle_count -= 1
            if not pile:
                del self._idle[way]
            if not connection.has_expired():
                return connection
            self._close(connection)
        return None

    def _drop_oldest(self) -> None:
        way, pile = next(iter(self._idle.items()))
        self._close(pile.pop(0))
        self._idle_count -= 1
        if not pile:
            del self._idle[way]

    def _close_expired(self) -> None:
        self._sweep = None
        for way, pile in list(self._idle.items()):
            kept = []
            for connection in pile:
                if connection.has_expired():
                    self._close(connection)
                    self._idle_count -= 1
                else:
                    kept.append(connection)
            if kept:
                self._idle[way] = kept
            else:
                del self._idle[way]
        if self._idle:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(KEPT_SECONDS, self._close_expired)

    def _close(self, connection: Connection) -> None:
        task = asyncio.get_running_loop().create_task(connection.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _way(checked: Checked, guard: AddressGuard) -> _Way:
    return guard, checked.scheme, checked.host, checked.port
