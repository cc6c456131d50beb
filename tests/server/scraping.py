"""What tests ask of `/metrics`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as aconnect
from websockets.typing import Subprotocol

from tests.servers import HeadgateServer
from tests.small_project import ProjectServer

__all__ = [
    "LIMIT_SECONDS",
    "Scrape",
    "ascraped",
    "joined",
    "port_of",
    "pushes",
    "scrape",
    "scraped",
    "send",
]

V1 = [Subprotocol("headgate.v1")]
LIMIT_SECONDS = 30.0


class Scrape:
    """What `/metrics` answered."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {
            each.name: each for each in text_string_to_metric_families(text)
        }
        self.samples = [one for each in self.families.values() for one in each.samples]

    def of(self, name: str, **labels: str) -> float:
        """Return the sum of a sample over all that have these labels, 0 of none."""
        return sum(
            one.value
            for one in self.samples
            if one.name == name and labels.items() <= one.labels.items()
        )

    def values(self, name: str, label: str) -> list[str]:
        """Return the values of a label, in their order."""
        return [one.labels[label] for one in self.samples if one.name == name]


def scrape(server: HeadgateServer | ProjectServer) -> Scrape:
    answer = httpx.get(f"{server.url}/metrics", timeout=LIMIT_SECONDS)
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)


def scraped(
    server: HeadgateServer | ProjectServer, shows: Callable[[Scrape], bool]
) -> Scrape:
    """Scrape until something shows; nothing tells of it but the next scrape."""
    until = time.monotonic() + LIMIT_SECONDS
    while not shows(found := scrape(server)):
        assert time.monotonic() < until, found.text
        time.sleep(0.05)
    return found


async def ascraped(server: HeadgateServer, shows: Callable[[Scrape], bool]) -> Scrape:
    return await asyncio.to_thread(scraped, server, shows)


def port_of(server: HeadgateServer) -> int:
    return int(server.url.rpartition(":")[2])


async def joined(
    stack: AsyncExitStack, server: HeadgateServer, room: str, **options: Any
) -> ClientConnection:
    """Return a client of `headgate.v1` that watches a room."""
    one = await stack.enter_async_context(
        aconnect(f"{server.ws_url}/ws/chat/{room}/", subprotocols=V1, **options)
    )
    await one.send(json.dumps({"cmd": "hello"}))
    await one.recv()
    return one


async def send(one: ClientConnection, text: str, number: int = 1) -> None:
    await one.send(
        json.dumps({"cmd": "send", "id": number, "room": "general", "text": text})
    )


async def pushes(one: ClientConnection, kind: str, count: int) -> list[dict[str, Any]]:
    """Return the next pushes of a kind."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(LIMIT_SECONDS):
        while len(found) < count:
            said = json.loads(await one.recv())
            if said.get("push") == kind:
                found.append(said)
    return found
