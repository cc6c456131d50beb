from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from headgate.client import Client, State, Status
from tests.client.model_server import LIMIT_SECONDS, ModelServer
from tests.client.model_site import ModelSite


@pytest.fixture(autouse=True)
def nothing_is_left_over(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail for what asyncio only logs: errors and answers that nobody took."""
    yield
    gc.collect(1)  # the young ones: a full collection for each test takes too long
    records = [*caplog.get_records("call"), *caplog.records]
    left_over = [r.getMessage() for r in records if r.name == "asyncio"]
    assert not left_over


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def site() -> AsyncIterator[ModelSite]:
    async with ModelSite() as site:
        yield site


class Watched:
    """A client, its states, and waiting for one of them."""

    def __init__(self, url: str, **options: Any) -> None:
        self.states: list[State] = []
        self._moved = asyncio.Event()
        defaults = {"min_backoff_seconds": 0.01, "max_backoff_seconds": 0.02}
        self.client = Client(url, on_state=self._on_state, **(defaults | options))

    def _on_state(self, state: State) -> None:
        self.states.append(state)
        self._moved.set()

    def times(self, status: Status) -> int:
        return sum(state.status is status for state in self.states)

    async def until(self, status: Status, times: int = 1) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            while self.times(status) < times:
                self._moved.clear()
                await self._moved.wait()

    async def read(self, count: int) -> list[Any]:
        """Return the next pushes, so many of them."""
        async with asyncio.timeout(LIMIT_SECONDS):
            return [await anext(self.client) for _ in range(count)]

    async def read_to(self, seq: int) -> list[Any]:
        """Return the next pushes up to the event with this seq."""
        pushes: list[Any] = []
        async with asyncio.timeout(LIMIT_SECONDS):
            while not pushes or getattr(pushes[-1], "seq", None) != seq:
                pushes.append(await anext(self.client))
        return pushes


Connect = Callable[..., Any]
Visit = Callable[..., Any]


@pytest.fixture
async def connect(server: ModelServer) -> AsyncIterator[Connect]:
    """Open clients that are closed at the end of the test."""
    async with AsyncExitStack() as stack:
        yield opener(stack, server.url)


@pytest.fixture
async def visit(site: ModelSite) -> AsyncIterator[Visit]:
    """Open clients of the site, as `connect` does."""
    async with AsyncExitStack() as stack:
        yield opener(stack, site.url)


def opener(stack: AsyncExitStack, url: str) -> Connect:
    @asynccontextmanager
    async def opened(**options: Any) -> AsyncIterator[Watched]:
        watched = Watched(url, **options)
        async with watched.client:
            yield watched

    async def connect(**options: Any) -> Watched:
        async with asyncio.timeout(LIMIT_SECONDS):
            return await stack.enter_async_context(opened(**options))

    return connect
