"""What other processes write is noticed by comparing heads."""

from __future__ import annotations

import asyncio
import logging

import pytest
from django.db import DatabaseError, connection, transaction

from headgate.chat import heads
from headgate.chat.append import append
from headgate.chat.engine import Engine, close_engine, engine
from headgate.chat.entries import Draft
from headgate.chat.heads import HeadWatch
from headgate.chat.models import Room
from headgate.chat.people import SYSTEM
from headgate.live.hub import Hub
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    guests_fixture,
    in_thread,
    seqs,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests"),
]


def write(room: Room, count: int = 1) -> None:
    """Commit messages as another process does: this one gets no hint."""
    with transaction.atomic():
        append(connection, [Draft(room.pk, SYSTEM, f"m{n}") for n in range(count)])


async def test_what_others_write_arrives_within_two_seconds(room: Room) -> None:
    async with Talkers() as talk:
        talker = await talk()
        for last in (1, 2, 3):
            await in_thread(write, room)
            async with asyncio.timeout(2):
                assert seqs(await talker.until("general", last)) == [last]


@pytest.fixture
async def watch(chat: Engine) -> HeadWatch:
    return chat._heads


async def test_sqlite_is_asked_for_heads_only_when_its_file_has_changed(
    room: Room,
    watch: HeadWatch,
) -> None:
    def look() -> list[tuple[int, int]]:
        return watch._look([room.pk])

    loop = asyncio.get_running_loop()
    thread = watch._thread

    assert await loop.run_in_executor(thread, look) == [(room.pk, 0)]
    again = await loop.run_in_executor(thread, look)
    assert again == ([] if connection.vendor == "sqlite" else [(room.pk, 0)])
    await in_thread(write, room)
    assert await loop.run_in_executor(thread, look) == [(room.pk, 1)]


async def test_a_room_that_is_watched_since_is_looked_for_all_the_same(
    room: Room,
    watch: HeadWatch,
) -> None:
    """The file has not changed since the last look, but nobody looked for the room."""
    other = await in_thread(Room.objects.create, slug="other")
    await in_thread(write, other, 2)

    def look() -> list[list[tuple[int, int]]]:
        both = sorted([room.pk, other.pk])
        return [watch._look([room.pk]), sorted(watch._look(both))]

    first, second = await asyncio.get_running_loop().run_in_executor(
        watch._thread,
        look,
    )

    assert first == [(room.pk, 0)]
    assert second == sorted([(room.pk, 0), (other.pk, 2)])


async def test_a_database_that_is_away_is_said_once_and_looked_for_again(
    room: Room,
    watch: HeadWatch,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    caplog.set_level(logging.WARNING)

    def look() -> list[tuple[int, int]]:
        return watch._look([room.pk])

    def away(_: list[int]) -> None:
        raise DatabaseError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(watch, "_heads", away)
        for _ in range(3):
            assert await loop.run_in_executor(watch._thread, look) == []
    assert await loop.run_in_executor(watch._thread, look) == [(room.pk, 0)]

    said = [record.getMessage().split()[0] for record in caplog.records]
    assert said == ["heads_away", "heads_back"]


async def test_rooms_that_nobody_watches_are_swept(
    room: Room,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heads, "INTERVAL_SECONDS", 0.01)
    await close_engine()  # one that has the shorter interval
    hub: Hub = engine().node.hub
    await hub.open(room.pk)
    assert hub.rooms

    async with asyncio.timeout(5):
        while hub.rooms:  # noqa: ASYNC110 - it goes without a word
            await asyncio.sleep(0.005)
