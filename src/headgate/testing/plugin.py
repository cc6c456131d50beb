"""The pytest plugin: `chat_client`. Importing it imports no Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from headgate.testing.client import ChatClient

__all__ = ["chat_client"]


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
