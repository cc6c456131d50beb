"""A log, a node on it, and no waiting between tries."""

from __future__ import annotations

import pytest

from headgate.live import catch_up, hub
from headgate.live.node import Node
from tests.live.parts import MemoryLog


@pytest.fixture(autouse=True)
def retry_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again in the next turn of the loop where the log is away."""
    monkeypatch.setattr(hub, "RETRY_SECONDS", 0)
    monkeypatch.setattr(catch_up, "RETRY_SECONDS", 0)


@pytest.fixture
def log() -> MemoryLog:
    """An empty log."""
    return MemoryLog()


@pytest.fixture
async def node(log: MemoryLog) -> Node:
    """A node that catches up whoever is at most 1,000 events behind."""
    return Node(log, resume_limit=1_000, told=lambda _room, _events: None)
