"""What other processes write is noticed by comparing heads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from headgate.chat import access, heads, notices
from headgate.chat.access import access_changed
from headgate.chat.append import append
from headgate.chat.engine import Engine, close_engine, engine
from headgate.chat.entries import Draft
from headgate.chat.heads import HeadWatch
from headgate.chat.models import AccessChange, Room
from headgate.chat.notices import MISSED_AFTER_SECONDS, Notice, Notices
from headgate.chat.people import SYSTEM, new_guest
from headgate.live.hub import Hub
from headgate.protocol.codes import Close
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    guests_fixture,
    in_thread,
    seqs,
)
from tests.steady import BUSY_SECONDS

# The promise is two seconds.
SOON_SECONDS = 2.0 + BUSY_SECONDS

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
            async with asyncio.timeout(SOON_SECONDS):
                assert seqs(await talker.until("general", last)) == [last]


async def test_hints_without_end_do_not_hold_that_up(room: Room, chat: Engine) -> None:
    """As where people come into rooms, ten in a second, that nobody here watched."""

    async def hint_on() -> None:
        while True:
            chat._heads.compare([room.pk + 1])
            await asyncio.sleep(0.001)

    async with Talkers() as talk:
        talker = await talk()
        hints = asyncio.create_task(hint_on())
        for last in (1, 2):
            await in_thread(write, room)
            async with asyncio.timeout(SOON_SECONDS):
                assert seqs(await talker.until("general", last)) == [last]
        hints.cancel()


@pytest.fixture
async def watch(chat: Engine) -> HeadWatch:
    return chat._heads


def heads_of(watch: HeadWatch, rooms: list[int]) -> list[tuple[int, int]]:
    """Look once, on the thread of the watch."""
    return [found[:2] for found in watch._look(rooms, [], {}).heads]


async def test_sqlite_is_asked_for_heads_only_when_its_file_has_changed(
    room: Room,
    watch: HeadWatch,
) -> None:
    def look() -> list[tuple[int, int]]:
        return heads_of(watch, [room.pk])

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
        return [heads_of(watch, [room.pk]), sorted(heads_of(watch, both))]

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
        return heads_of(watch, [room.pk])

    def away(_: list[int]) -> None:
        raise DatabaseError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(watch, "_heads", away)
        for _ in range(3):
            assert await loop.run_in_executor(watch._thread, look) == []
    assert await loop.run_in_executor(watch._thread, look) == [(room.pk, 0)]

    said = [record.getMessage().split()[0] for record in caplog.records]
    assert said == ["heads_away", "heads_back"]


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The database is away for whoever compares heads; `undo` brings it back."""

    def compare(*_: Any) -> None:
        raise DatabaseError("gone")

    with pytest.MonkeyPatch.context() as patch:
        monkeypatch.setattr(heads, "INTERVAL_SECONDS", 0.05)
        patch.setattr(HeadWatch, "_compare", compare)
        yield patch


async def found_away(watch: HeadWatch) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while not watch._away:  # noqa: ASYNC110 - only the log says it
            await asyncio.sleep(0.01)


async def test_what_was_noted_while_the_database_was_away_is_followed(
    room: Room,
    ada: User,
    away: pytest.MonkeyPatch,
) -> None:
    async with Talkers() as talk:
        gone, stays = await talk(ada), await talk()
        await in_thread(write, room)
        await in_thread(ada.delete)
        await found_away(engine()._heads)
        assert await gone.all() == []
        away.undo()

        async with asyncio.timeout(SOON_SECONDS):
            assert (await gone.closed()).code == Close.ACCESS_REVOKED
        assert seqs(await stays.until("general", 1)) == [1]


async def test_all_are_looked_at_again_when_the_database_is_back(
    room: Room,
    ada: User,
    grace: User,
    away: pytest.MonkeyPatch,
) -> None:
    """What nobody noted, and what another server has not got of what was noted."""
    async with Talkers() as talk:
        gone, stays = await talk(ada), await talk(grace)
        await in_thread(User.objects.filter(pk=ada.pk).update, is_active=False)
        await found_away(engine()._heads)
        away.undo()

        async with asyncio.timeout(SOON_SECONDS):
            assert (await gone.closed()).code == Close.ACCESS_REVOKED
        await stays.ask("ping")


async def test_who_came_by_a_session_comes_back_when_notices_may_be_gone(
    room: Room,
    ada: User,
    away: pytest.MonkeyPatch,
) -> None:
    """Whether a session has ended only its notice says."""
    async with Talkers() as talk:
        user, guest = await talk(ada), await talk()
        watch = engine()._heads
        await found_away(watch)
        watch._looked_at -= MISSED_AFTER_SECONDS + 1
        away.undo()

        async with asyncio.timeout(SOON_SECONDS):
            assert (await user.closed()).code == Close.IDENTITY_CHANGED
        assert user.pushes[-1]["error"]["code"] == "unauthenticated"
        await guest.ask("ping")
        assert "error" not in (await talk(ada)).welcome


async def test_hints_by_the_hundred_are_few_looks(
    room: Room,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    real = Notices.look

    def look(notices: Notices) -> list[Notice]:
        nonlocal looks
        looks += 1
        return real(notices)

    monkeypatch.setattr(Notices, "look", look)
    before = chat.standing.changes

    def note_many() -> None:
        for _ in range(200):
            access_changed(room=room)

    began = asyncio.get_running_loop().time()
    await in_thread(note_many)
    last = await in_thread(AccessChange.objects.latest, "pk")
    async with asyncio.timeout(SOON_SECONDS):
        while chat._heads._notices._highest < last.pk:  # noqa: ASYNC110 - no word
            await asyncio.sleep(0.01)
    lasted = asyncio.get_running_loop().time() - began

    assert chat.standing.changes > before
    assert looks <= 2 + lasted / heads.HINTED_SECONDS + lasted / heads.INTERVAL_SECONDS


async def test_more_notices_than_a_page_are_read_at_once(
    room: Room,
    ada: User,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heads, "PAGE", 2)
    monkeypatch.setattr(notices, "PAGE", 2)
    monkeypatch.setattr(access, "hint_access", lambda: None)
    async with Talkers() as talk:
        talker = await talk(ada)

        def note() -> None:
            for _ in range(20):
                access_changed(new_guest("Nobody"))
            ada.delete()

        await in_thread(note)

        async with asyncio.timeout(SOON_SECONDS):
            assert (await talker.closed()).code == Close.ACCESS_REVOKED


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

    async with asyncio.timeout(SOON_SECONDS):
        while hub.rooms:  # noqa: ASYNC110 - it goes without a word
            await asyncio.sleep(0.005)
