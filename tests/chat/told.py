"""Handlers that keep what they are told."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import headgate
from headgate.chat import hooks
from headgate.chat.engine import started_engine
from headgate.chat.models import Event

__all__ = ["Told", "no_handlers_fixture", "told_fixture"]


class Told:
    """A sync handler and an async one, for each event that is heard."""

    def __init__(self) -> None:
        self.sync: list[Any] = []
        self.asynchronous: list[Any] = []
        self.threads: set[str] = set()

    def hear(self, event: str, **more: Any) -> None:
        """Keep events of this kind from now on."""

        @headgate.on(event, **more)
        def keep(*args: Any) -> None:
            Event.objects.count()  # as a handler does that uses the ORM
            self.threads.add(threading.current_thread().name)
            self.sync.append(args[0] if len(args) == 1 else args)

        @headgate.on(event, **more)
        async def akeep(*args: Any) -> None:
            await asyncio.sleep(0)
            self.asynchronous.append(args[0] if len(args) == 1 else args)

    async def of(self, count: int) -> list[Any]:
        """Return what both were told, which must be so many, when nothing waits.

        By their seqs: each handler has a queue of its own, and those of one kind of
        event do not wait for those of another.
        """
        running = started_engine()
        lines = {} if running is None else running.teller._lines
        for handler, line in list(lines.items()):
            if "Told.hear" in handler.name:
                await line.told()
        assert len(self.sync) == len(self.asynchronous) == count
        for heard in (self.sync, self.asynchronous):
            heard.sort(key=lambda event: getattr(event, "seq", 0))
        assert self.sync == self.asynchronous
        return self.sync


@pytest.fixture(name="told")
def told_fixture() -> Told:
    """Handlers that keep what they are told."""
    return Told()


@pytest.fixture(name="no_handlers")
def no_handlers_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers of one test are not those of another."""
    monkeypatch.setattr(hooks, "_handlers", {})
