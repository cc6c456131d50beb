"""Listeners of tests, which can be waited for, and relays to go with them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Protocol

from headgate.relay import Relay

__all__ = ["Ears", "Open", "eventually", "linked"]

LONGEST_SECONDS = 30.0  # for what takes milliseconds on a machine that has time


class Ears:
    """Remembers all that it is told.

    Attributes:
        heard: Topics and payloads, in their order.
        doubts: How often each topic was doubtful.
        told: Each call, in its order: a hint, or the topics that were doubtful.
    """

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.doubts: dict[str, int] = {}
        self.told: list[tuple[str, bytes] | set[str]] = []
        self._news = asyncio.Event()

    def received(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic, payload))
        self.told.append((topic, payload))
        self._news.set()

    def doubtful(self, topics: Collection[str]) -> None:
        self.told.append(set(topics))
        for topic in topics:
            self.doubts[topic] = self.doubts.get(topic, 0) + 1
        self._news.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something that was told makes it so."""
        async with asyncio.timeout(LONGEST_SECONDS):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    async def hears(self, *hints: tuple[str, bytes]) -> None:
        """Wait for so many hints, and see that they are these."""
        await self.until(lambda: len(self.heard) >= len(hints))
        assert self.heard == list(hints)

    async def doubts_all(self, topics: Collection[str], times: int = 1) -> None:
        """Wait until each of these topics was doubtful so often."""
        await self.until(lambda: all(self.doubts.get(t, 0) >= times for t in topics))


class Open(Protocol):
    """Opens a relay of the kind that is tested; closed with the test."""

    def __call__(self, ears: Ears, namespace: str = "test") -> Relay:
        """Return a relay that tells these ears."""


async def eventually(
    is_so: Callable[[], bool], within_seconds: float = LONGEST_SECONDS
) -> float:
    """Wait for what tells nobody; return how long that took, in seconds."""
    began = time.monotonic()
    async with asyncio.timeout(within_seconds):
        while not is_so():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)
    return time.monotonic() - began


async def linked(relay: Relay, ears: Ears, *topics: str) -> None:
    """Have a relay watch topics, and wait until it does."""
    before = dict(ears.doubts)
    for topic in topics:
        relay.watch(topic)
    await ears.until(
        lambda: all(ears.doubts.get(t, 0) > before.get(t, 0) for t in topics)
    )
