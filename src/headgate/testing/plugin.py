"""The pytest plugin: `chat_client`, `limits_off`, `limits_clock`. Imports no Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headgate.testing.client import ChatClient
    from headgate.testing.limits_clock import LimitsClock

__all__ = ["chat_client", "limits_clock", "limits_off"]


@pytest.fixture
def limits_off() -> Iterator[None]:
    """Limit nothing, whatever the settings say."""
    from headgate.contrib.shared import use_limiter
    from headgate.limits.limiter import Limiter
    from headgate.limits.open_store import OpenStore

    use_limiter(Limiter(OpenStore()))
    yield
    use_limiter(None)


@pytest.fixture
def limits_clock() -> Iterator[LimitsClock]:
    """Have limits go by a clock that stands still until the test moves it.

        async def test_flood(limits_clock, chat_client, ada):
            ...
            limits_clock.advance(1.0)

    They are counted in memory, and from nothing at the beginning of the test.
    """
    from headgate.contrib.shared import use_limiter
    from headgate.limits.limiter import Limiter
    from headgate.limits.memory import MemoryStore
    from headgate.testing.limits_clock import LimitsClock

    clock = LimitsClock()
    use_limiter(Limiter(MemoryStore(clock=clock)))
    yield clock
    use_limiter(None)


@pytest.fixture
def chat_client(
    transactional_db: None,  # noqa: ARG001 - what a TestCase's is, must be committed
) -> Iterator[Callable[..., ChatClient]]:
    """Return a function that makes clients of the project's chat.

        async def test_chat(chat_client, ada):
            client = await chat_client(ada, "general")

    Takes what `headgate.testing.ChatClient` takes. All clients are closed at the end.
    """
    from headgate.testing.client import ChatClient

    made: list[ChatClient] = []

    def make(who: Any, *rooms: str, **more: Any) -> ChatClient:
        client = ChatClient(who, *rooms, **more)
        made.append(client)
        return client

    yield make
    for client in reversed(made):
        # Whoever closed the test's loop has ended what ran in it.
        if client.loop is not None and not client.loop.is_closed():
            client.loop.run_until_complete(client.close())
    _close_connections()


def _close_connections() -> None:
    """Close those of Django's thread, or the test database could not be dropped."""
    from asgiref.sync import SyncToAsync
    from django.db import connections

    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
