"""Reads and writes in a process without an engine, such as a task's or a test's.

And changes where there is one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from django.db import OperationalError, transaction

from headgate.chat import storage
from headgate.chat.engine import Engine, started_engine
from headgate.chat.entries import Draft, Refused, Written
from headgate.chat.models import Event, Room
from headgate.chat.people import SYSTEM
from headgate.chat.reader import THREADS
from headgate.live.ports import LogUnavailable

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def away(*_: Any, **__: Any) -> None:
    """Do as a database that is away."""
    raise OperationalError("the database is away")


async def test_a_write(room: Room) -> None:
    verdict = await storage.write(Draft(room.pk, SYSTEM, "hi"))

    assert started_engine() is None
    assert isinstance(verdict, Written)
    assert (await Event.objects.aget()).text == "hi"


async def test_a_write_while_the_database_is_away(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(storage, "append", away)
    caplog.set_level(logging.WARNING)

    verdict = await storage.write(Draft(room.pk, SYSTEM, "hi"))

    assert isinstance(verdict, Refused)
    assert (verdict.error.code, verdict.error.retry_after_ms) == ("unavailable", 1000)
    assert "commit_failed" in caplog.text


async def test_a_read_while_the_database_is_away() -> None:
    with pytest.raises(LogUnavailable, match="away"):
        await storage.read(away)


async def test_what_a_read_raises_is_raised() -> None:
    def broken() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await storage.read(broken)


def test_a_write_here_is_gone_when_it_is_rolled_back(room: Room) -> None:
    with transaction.atomic():
        storage.write_here(Draft(room.pk, SYSTEM, "hi"))
        transaction.set_rollback(True)

    assert Event.objects.count() == 0


async def test_changes_leave_threads_to_those_who_read(
    chat: Engine, room: Room
) -> None:
    held = threading.Event()
    tasks = [
        asyncio.create_task(storage.change(held.wait, 100)) for _ in range(THREADS)
    ]
    await asyncio.sleep(0)  # all have begun that may
    try:
        async with asyncio.timeout(60):
            found = await storage.read(Room.objects.get, slug="general")
    finally:
        held.set()

    assert found == room
    assert await asyncio.gather(*tasks) == [True] * THREADS
    assert chat is started_engine()
