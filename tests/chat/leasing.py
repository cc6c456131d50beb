"""Processes that take places in one Redis, as far as one loop can play them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from headgate.chat.leased_places import LeasedPlaces
from headgate.chat.open_places import LocalPlaces, Place
from tests.redis_server import RedisServer

__all__ = [
    "ADA",
    "PREFIX",
    "Process",
    "Processes",
    "field_counts",
    "processes_fixture",
    "taken_at_last",
]

PREFIX = "test:open"
ADA = ("connect.open", "{u:1}")


class Process(LeasedPlaces):
    """The places of a process."""

    def __init__(self, url: str) -> None:
        self.local = LocalPlaces()
        super().__init__(url, PREFIX, self.local)

    async def taken(self, times: int, cap: int, place: Place = ADA) -> int:
        """Take so many places at once; return how many were to be had."""
        found = await asyncio.gather(*(self.take(place, cap) for _ in range(times)))
        return sum(found)

    def counts(self, place: Place = ADA) -> int:
        """Return how many this process counts."""
        return self.local.counts().get(place, 0)

    async def die(self) -> None:
        """Tell nobody anything any more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        await self._script.aclose()


class Processes:
    """Makes processes; all are closed at the end."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._made: list[Process] = []

    def __call__(self) -> Process:
        process = Process(self._server.url)
        self._made.append(process)
        return process

    async def close(self) -> None:
        for each in self._made:
            await each.close()


@pytest.fixture(name="processes")
async def processes_fixture(redis_server: RedisServer) -> AsyncIterator[Processes]:
    """Make processes on the server."""
    made = Processes(redis_server)
    yield made
    await made.close()


async def taken_at_last(process: LeasedPlaces, place: Place, cap: int) -> int:
    """Take a place as soon as there is one; return how often there was none."""
    refused = 0
    async with asyncio.timeout(60):
        while not await process.take(place, cap):
            refused += 1
            await asyncio.sleep(0.01)
    return refused


def field_counts(server: RedisServer) -> dict[str, list[int]]:
    """Return what Redis has: of each key, how many each process holds, sorted."""
    found = {}
    with server.client() as client:
        for key in client.scan_iter(f"{PREFIX}:*"):
            fields = client.hgetall(key).values()  # type: ignore[union-attr]
            found[key] = sorted(int(each.split()[0]) for each in fields)
    return found
