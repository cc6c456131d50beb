"""A log, a node on it, and a loop on which waiting costs no time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from headgate.live import scheduler
from headgate.live.node import Node
from tests.live.jumping_loop import JumpingLoop
from tests.live.parts import MemoryLog


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], JumpingLoop]]:
    """Run each of these tests on a loop whose time is not the machine's."""
    return {"jumping": JumpingLoop}


@pytest.fixture
def log() -> MemoryLog:
    """An empty log."""
    return MemoryLog()


@pytest.fixture
async def node(log: MemoryLog, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A node that catches up whoever is at most 1,000 events behind."""
    node = Node(log, resume_limit=1_000, told=lambda _room, _events: None)
    # Slices are bounded by what they write, and not by this machine's speed.
    monkeypatch.setattr(scheduler, "_clock", lambda: 0.0)
    yield node
    node.close()
