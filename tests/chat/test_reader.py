from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from django.db import InterfaceError, OperationalError, connection, connections

from headgate.chat.models import Room
from headgate.chat.reader import THREADS, Reader
from headgate.live.ports import LogUnavailable

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    reader = Reader()
    yield reader
    await reader.close()


async def test_it_answers_what_the_function_answers(reader: Reader, room: Room) -> None:
    found = await reader.run(Room.objects.get, slug="general")

    assert found == room


async def test_several_read_at_a_time(reader: Reader) -> None:
    together = threading.Barrier(THREADS)

    waits = [reader.run(together.wait, 10) for _ in range(THREADS)]

    assert sorted(await asyncio.gather(*waits)) == list(range(THREADS))


async def test_a_connection_that_broke_is_opened_anew(
    reader: Reader,
    room: Room,
) -> None:
    opened: list[object] = []

    def count() -> int:
        found = Room.objects.count()
        opened.append(connection.connection)
        if len(opened) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return found

    assert await reader.run(count) == 1
    first, second = opened
    assert first is not second


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
async def test_a_database_that_is_away_is_said(
    reader: Reader,
    error: type[Exception],
) -> None:
    def away() -> None:
        raise error("no route to host")

    with pytest.raises(LogUnavailable, match="no route"):
        await reader.run(away)


async def test_a_mistake_is_the_callers_own(reader: Reader) -> None:
    tries = 0

    def wrong() -> None:
        nonlocal tries
        tries += 1
        raise LookupError("a bug")

    with pytest.raises(LookupError):
        await reader.run(wrong)
    assert tries == 1


async def test_closing_ends_the_threads() -> None:
    before = {t for t in threading.enumerate() if "headgate-reader" in t.name}
    reader = Reader()
    await reader.run(Room.objects.count)

    await reader.close()

    after = {t for t in threading.enumerate() if "headgate-reader" in t.name}
    assert after <= before


async def test_what_writes_is_done_once(reader: Reader) -> None:
    """It may have been written where the connection broke before it said so."""
    tries = 0

    def made() -> None:
        nonlocal tries
        tries += 1
        raise OperationalError("server closed the connection unexpectedly")

    with pytest.raises(LogUnavailable, match="unexpectedly"):
        await reader.run_once(made)
    assert tries == 1


async def test_a_connection_that_broke_meanwhile_is_opened_anew_to_write(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await asyncio.gather(*[reader.run(_opened) for _ in range(THREADS)])
    monkeypatch.setattr(type(connections["default"]), "is_usable", lambda _: False)
    anew = await reader.run_once(_opened)

    assert anew not in opened


def _opened() -> object:
    Room.objects.count()
    return connection.connection
