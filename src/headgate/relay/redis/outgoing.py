"""What goes out: a bounded queue, and many hints in one round trip.

While the answers of one trip are on their way, what is published meanwhile waits and
goes out together. Where hints are lost, their topics are remembered, and those who
watch them are told to compare with the log as soon as the server is there again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from headgate.relay.redis.failures import ServerClosed
from headgate.relay.redis.link import Link
from headgate.relay.redis.outage import Outage
from headgate.relay.redis.resp import PING, publish
from headgate.relay.redis.wire import DOUBT, HINT, Names

__all__ = ["Outgoing"]

logger = logging.getLogger("headgate.relay")

# What may wait; past it the oldest hints are dropped.
MOST_HINTS = 10_000
MOST_BYTES = 8 * 1024 * 1024
# Topics of lost hints that are remembered; past it their watchers are told nothing.
MOST_DOUBTS = 10_000

# Of one trip: about a millisecond of the server's time.
TRIP_HINTS = 500
TRIP_BYTES = 256 * 1024

IDLE_SECONDS = 5.0  # between signs of life, before somebody on the way forgets us

Sent = tuple[str, bytes | None]  # a topic and its payload; None: a doubt


class Outgoing:
    """Publishes on a connection of its own.

    Args:
        names: The channels.
        sender: The id of this relay.
        outage: Is told when the connection works.

    Attributes:
        published: Hints that were given to `put`.
        dropped: Those that were given up.
    """

    name = "publish"

    def __init__(self, names: Names, sender: bytes, outage: Outage) -> None:
        self.published = 0
        self.dropped = 0
        self._names = names
        self._hint = sender + HINT
        self._doubt = sender + DOUBT
        self._outage = outage
        self._queue: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._doubts: dict[str, None] = {}  # in their order
        self._on_the_way = False
        self._too_many = False
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()

    def put(self, topic: str, payload: bytes) -> None:
        """Publish soon; never waits."""
        self.published += 1
        self._queue.append((topic, payload))
        self._bytes += len(payload)
        if len(self._queue) > MOST_HINTS or self._bytes > MOST_BYTES:
            self._shorten()
        self._wake.set()

    async def sent(self) -> None:
        """Wait until everything has gone out."""
        if self._queue or self._doubts or self._on_the_way:
            self._idle.clear()
            await self._idle.wait()

    async def use(self, link: Link) -> None:
        """Send what there is on this connection, for as long as it holds."""
        link.write(publish(self._names.trial, self._doubt, b""))
        await link.answers_soon()
        self._outage.made(self.name)
        while True:
            self._wake.clear()
            if self._queue or self._doubts:
                if link.is_ended:
                    raise ServerClosed  # before anything is lost on it
                await self._trip(link, self._taken())
                continue
            self._idle.set()
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                link.write(PING)
                await link.answers_soon()

    async def _trip(self, link: Link, trip: list[Sent]) -> None:
        """Send these, and wait until the server has all of them."""
        confirmed = 0
        self._on_the_way = True
        try:
            link.write(b"".join([self._packed(*each) for each in trip]))
            await link.drained()
            while confirmed < len(trip):
                confirmed += len(await link.answers_soon())
        finally:
            self._on_the_way = False
            for topic, payload in trip[confirmed:]:
                self._lose(topic, is_hint=payload is not None)

    def _packed(self, topic: str, payload: bytes | None) -> bytes:
        channel = self._names.channel(topic)
        if payload is None:
            return publish(channel, self._doubt, b"")
        return publish(channel, self._hint, payload)

    def _taken(self) -> list[Sent]:
        """Take what one trip may carry, the doubts first."""
        trip: list[Sent] = []
        while self._doubts and len(trip) < TRIP_HINTS:
            topic = next(iter(self._doubts))
            del self._doubts[topic]
            trip.append((topic, None))
        size = 0
        while self._queue and len(trip) < TRIP_HINTS and size < TRIP_BYTES:
            hint = self._queue.popleft()
            size += len(hint[1])
            trip.append(hint)
        self._bytes -= size
        if self._too_many and not self._queue:
            self._too_many = False
            logger.warning("relay_queue_sent dropped_in_all=%d", self.dropped)
        return trip

    def _shorten(self) -> None:
        """Drop the oldest until the rest may wait."""
        if not self._too_many:
            self._too_many = True
            logger.warning(
                "relay_queue_full hints=%d bytes=%d", len(self._queue), self._bytes
            )
        while len(self._queue) > MOST_HINTS or self._bytes > MOST_BYTES:
            topic, payload = self._queue.popleft()
            self._bytes -= len(payload)
            self._lose(topic, is_hint=True)

    def _lose(self, topic: str, *, is_hint: bool) -> None:
        self.dropped += is_hint
        if len(self._doubts) < MOST_DOUBTS:
            self._doubts[topic] = None
