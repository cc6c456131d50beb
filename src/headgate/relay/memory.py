"""The relay within one process: between its event loops, where there is no Redis."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque

from headgate.relay.guarded_listener import GuardedListener
from headgate.relay.relay import Listener

__all__ = ["MemoryExchange", "MemoryRelay"]

# What one relay may have waiting; past it, what comes is dropped and told as doubtful.
MOST_HINTS = 10_000
MOST_BYTES = 8 * 1024 * 1024

# What one relay does in one turn of its loop.
TURN_HINTS = 100
TURN_SECONDS = 0.001


class MemoryExchange:
    """Knows which relays watch what; for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: dict[str, tuple[MemoryRelay, ...]] = {}

    def add(self, topic: str, relay: MemoryRelay) -> None:
        """Have a relay be given a topic."""
        with self._lock:
            self._watchers[topic] = (*self._watchers.get(topic, ()), relay)

    def remove(self, topic: str, relay: MemoryRelay) -> None:
        """Have a relay be given a topic no longer."""
        with self._lock:
            others = tuple(
                each for each in self._watchers.get(topic, ()) if each is not relay
            )
            if others:
                self._watchers[topic] = others
            else:
                self._watchers.pop(topic, None)

    def watchers(self, topic: str) -> tuple[MemoryRelay, ...]:
        """Return the relays that watch a topic."""
        return self._watchers.get(topic, ())


class MemoryRelay:
    """A relay to those that share an exchange; see `Relay`.

    Args:
        exchange: What they share.
        listener: Is told what comes.
    """

    reconnects = 0
    away = False

    def __init__(self, exchange: MemoryExchange, listener: Listener) -> None:
        self.published = 0
        self.received = 0
        self.dropped_out = 0
        self._exchange = exchange
        self._listener = GuardedListener(listener)
        self._loop = asyncio.get_running_loop()
        self._watched: set[str] = set()
        self._fresh: set[str] = set()  # watched since the last turn
        self._closed = False
        # From here on used by all threads, under the lock.
        self._lock = threading.Lock()
        self._inbox: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._missed: set[str] = set()  # no more than are watched
        self._until_told = 0  # hints that came before the first that was missed
        self._scheduled = False

    def watch(self, topic: str) -> None:
        """Begin to receive a topic."""
        if self._closed or topic in self._watched:
            return
        self._watched.add(topic)
        self._exchange.add(topic, self)
        self._fresh.add(topic)
        with self._lock:
            self._schedule()

    def unwatch(self, topic: str) -> None:
        """Receive nothing more of a topic."""
        if topic in self._watched:
            self._watched.remove(topic)
            self._exchange.remove(topic, self)

    def reaches(self, topic: str) -> bool:
        """Return whether another relay watches a topic."""
        watchers = self._exchange.watchers(topic)
        return watchers != () and watchers != (self,)  # noqa: PLR1714 - no set to hash

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell everybody else who watches a topic."""
        if self._closed:
            return
        self.published += 1
        watchers = self._exchange.watchers(topic)
        taken = [each.offer(topic, payload) for each in watchers if each is not self]
        self.dropped_out += not all(taken)

    async def close(self) -> None:
        """Stop; nothing is told after."""
        for topic in tuple(self._watched):
            self.unwatch(topic)
        with self._lock:
            self._closed = True
            self._forget()

    # --- the inbox ---

    def offer(self, topic: str, payload: bytes) -> bool:
        """Take a hint, from any thread; return whether there was room for it."""
        with self._lock:
            if self._closed:
                return True  # it was not watching any more
            size = len(payload)
            if len(self._inbox) >= MOST_HINTS or self._bytes + size > MOST_BYTES:
                if not self._missed:
                    self._until_told = len(self._inbox)
                self._missed.add(topic)
                taken = False
            else:
                self._inbox.append((topic, payload))
                self._bytes += size
                taken = True
            self._schedule()
            return taken

    def _schedule(self) -> None:
        """Have the loop look at the inbox; the lock is held."""
        if self._scheduled:
            return
        try:
            self._loop.call_soon_threadsafe(self._turn)
        except RuntimeError:  # the loop ended without `close`
            self._closed = True
            self._forget()
        else:
            self._scheduled = True

    def _forget(self) -> None:
        self._inbox.clear()
        self._bytes = 0
        self._missed.clear()

    def _turn(self) -> None:
        """Tell what has come, for so long as one turn may take."""
        until = time.monotonic() + TURN_SECONDS
        fresh, self._fresh = self._fresh & self._watched, set()
        if fresh:
            self._listener.doubtful(fresh)
        for _ in range(TURN_HINTS):
            with self._lock:
                if not self._inbox:
                    break
                topic, payload = self._inbox.popleft()
                self._bytes -= len(payload)
                self._until_told -= 1
            if topic in self._watched:
                self.received += 1
                self._listener.received(topic, payload)
            if time.monotonic() >= until:
                break
        missed: set[str] = set()
        with self._lock:
            # In their place among the hints: told at once, a full inbox would have the
            # log read at every turn.
            if self._missed and self._until_told <= 0:
                missed, self._missed = self._missed, set()
            self._scheduled = False
            if self._inbox or self._missed:
                self._schedule()
        missed &= self._watched
        if missed:
            self._listener.doubtful(missed)
