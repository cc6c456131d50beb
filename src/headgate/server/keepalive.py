"""Who is still there: pings to all connections of a server, on one timer.

Each connection is pinged once an interval, whether it says something or not, and
whatever comes from it within the timeout is an answer: a pong, or a text that was on
its way. So one that vanished without a word is found within interval plus timeout,
and a client that is busy sending does not have to answer in between.

A connection is in one of two queues, which are in order of time by themselves because
the same delay is added to each entry: work for a connection is constant.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Protocol
from weakref import WeakKeyDictionary

from uvicorn import Config

__all__ = ["Keepalive", "Watched", "keepalive_of"]

PINGS_AT_ONCE = 100  # a ping is a write to a socket: from 5 to 10 us each
SLICE_REST_SECONDS = 0.01  # for everything else, between that many and the next
_TICKS = 50  # looks at the queues in an interval, at most


class Watched(Protocol):
    """A connection as the keepalive sees it."""

    def ask(self) -> None:
        """Have the client show that it is there, and forget what it has shown."""

    def answered(self) -> bool:
        """Return whether it has shown something since."""

    def give_up(self) -> None:
        """End the connection: nobody is there."""


class Keepalive:
    """Pings connections, in turn, and gives those up that do not answer."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interval_seconds: float,
        timeout_seconds: float | None,
    ) -> None:
        """Begin with nobody; without a timeout nobody is ever given up."""
        self._loop = loop
        self._judges = timeout_seconds is not None
        self._answer_seconds = (
            interval_seconds if timeout_seconds is None else timeout_seconds
        )
        self._quiet_seconds = max(interval_seconds - self._answer_seconds, 0.0)
        self._tick_seconds = interval_seconds / _TICKS
        # When each is due. One that was asked is judged, and then rests until it is
        # asked again.
        self._asked: OrderedDict[Watched, float] = OrderedDict()
        self._resting: OrderedDict[Watched, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many are watched."""
        return len(self._asked) + len(self._resting)

    def watch(self, connection: Watched) -> None:
        """Begin to watch a connection, which has just shown that it is there.

        The first ping comes after an interval.
        """
        self.forget(connection)
        self._asked[connection] = self._loop.time() + self._answer_seconds
        self._set_timer(self._tick_seconds)

    def forget(self, connection: Watched) -> None:
        """Watch a connection no more, if it was watched."""
        self._asked.pop(connection, None)
        self._resting.pop(connection, None)
        if not len(self) and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, least_seconds: float) -> None:
        """Look again when the next one is due, but not at once for each."""
        queues = [queue for queue in (self._asked, self._resting) if queue]
        if not queues:
            return
        due = min(next(iter(queue.values())) for queue in queues)
        due = max(due, self._loop.time() + least_seconds)
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        """Serve those that are due, a slice of them."""
        self._timer = None
        now, left = self._loop.time(), PINGS_AT_ONCE
        while left and self._asked and next(iter(self._asked.values())) <= now:
            self._judge(now)
            left -= 1
        while left and self._resting and next(iter(self._resting.values())) <= now:
            self._ask(now)
            left -= 1
        self._set_timer(self._tick_seconds if left else SLICE_REST_SECONDS)

    def _judge(self, now: float) -> None:
        """See whether the one that was asked longest ago has answered."""
        connection, _ = self._asked.popitem(last=False)
        # One that is given up is forgotten when it is gone, and given up again if what
        # was written to it keeps its socket from closing.
        self._resting[connection] = now + self._quiet_seconds
        if self._judges and not connection.answered():
            connection.give_up()

    def _ask(self, now: float) -> None:
        connection, _ = self._resting.popitem(last=False)
        self._asked[connection] = now + self._answer_seconds
        connection.ask()


_keepalives: WeakKeyDictionary[Config, Keepalive] = WeakKeyDictionary()


def keepalive_of(config: Config, loop: asyncio.AbstractEventLoop) -> Keepalive | None:
    """Return the keepalive of a server, made on first use; None where it wants none."""
    if not config.ws_ping_interval:
        return None
    found = _keepalives.get(config)
    if found is None:
        found = Keepalive(loop, config.ws_ping_interval, config.ws_ping_timeout)
        _keepalives[config] = found
    return found
