"""A log that is another than people have seen has another epoch, and they hear it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.chat import entrance
from headgate.chat.engine import Engine, started_engine
from headgate.chat.epochs import begin_epochs, current_epoch
from headgate.chat.models import Event, Room
from headgate.protocol.codes import Close
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talker,
    Talkers,
    guests_fixture,
    in_thread,
    seqs,
)
from tests.chat.test_heads import SOON_SECONDS, write

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests"),
]


def lose(room: Room, head: int) -> None:
    """Have the log end there, as on a server without the last commits."""
    Event.objects.filter(room_id=room.pk, seq__gt=head).delete()
    Room.objects.filter(pk=room.pk).update(head=head)


def epoch_of(room: Room) -> str:
    return Room.objects.get(pk=room.pk).epoch


def place_of(talker: Talker) -> dict[str, Any]:
    known = talker.welcome["rooms"]["general"]
    return {"seq": known["head"], "epoch": known["epoch"]}


def test_every_room_gets_an_epoch_of_its_own_and_keeps_all_else(room: Room) -> None:
    other = Room.objects.create(slug="other", title="Other")
    write(room, 3)
    before = {epoch_of(room), epoch_of(other)}

    assert begin_epochs() == Room.objects.count()

    now = {epoch_of(room), epoch_of(other)}
    assert len(now | before) == 4
    assert Room.objects.get(pk=room.pk).head == 3
    assert Room.objects.get(pk=other.pk).title == "Other"


def test_a_log_that_ends_before_what_was_seen_begins_one_epoch(room: Room) -> None:
    write(room, 3)
    epoch = epoch_of(room)
    assert current_epoch(room.pk, epoch, 3) == epoch

    begun = current_epoch(room.pk, epoch, 4)
    assert begun != epoch
    # Another process asks the same a moment later.
    assert current_epoch(room.pk, epoch, 4) == begun == epoch_of(room)


async def test_whoever_watches_a_log_that_got_shorter_comes_back_to_a_new_one(
    room: Room,
) -> None:
    await in_thread(write, room, 5)
    async with Talkers() as talk:
        talker = await talk()
        place = place_of(talker)
        await in_thread(lose, room, 3)
        async with asyncio.timeout(SOON_SECONDS):
            assert (await talker.closed()).code == Close.UNAVAILABLE
        # Others went on meanwhile: the seqs that were seen are other messages now.
        await in_thread(write, room, 4)
        back = await talk(None, None, resume={"general": place})
        reset = await back.push("reset")
        assert reset["head"] == 7
        assert reset["epoch"] == await in_thread(epoch_of, room) != place["epoch"]
        await in_thread(write, room, 1)
        async with asyncio.timeout(SOON_SECONDS):
            assert seqs(await back.until("general", 8)) == [8]


async def test_new_epochs_are_seen_by_a_server_that_runs(room: Room) -> None:
    await in_thread(write, room, 8)
    async with Talkers() as talk:
        talker = await talk()
        place = place_of(talker)
        await in_thread(begin_epochs)
        async with asyncio.timeout(SOON_SECONDS):
            assert (await talker.closed()).code == Close.UNAVAILABLE
        back = await talk(None, None, resume={"general": place})
        assert (await back.push("reset"))["head"] == 8


async def test_after_a_restart_nobody_misses_what_has_the_seqs_they_knew(
    room: Room,
) -> None:
    await in_thread(write, room, 8)
    async with Talkers() as talk:
        place = place_of(await talk())
    await in_thread(lose, room, 6)  # the backup
    await in_thread(begin_epochs)
    await in_thread(write, room, 4)
    async with Talkers() as talk:
        back = await talk(None, None, resume={"general": place})
        assert (await back.push("reset"))["head"] == 10


async def test_whoever_comes_in_meanwhile_is_told_to_come_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody looks for ever what they may do there."""
    await in_thread(write, room, 5)
    asked = entrance._asked
    looks = 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal looks
        looks += 1
        return asked(*args, **options)

    async with Talkers() as talk:
        await talk()
        engine = started_engine()
        assert isinstance(engine, Engine)
        monkeypatch.setattr(engine._heads, "_replaced", lambda _room_id: None)
        monkeypatch.setattr(entrance, "_asked", counted)
        await in_thread(lose, room, 4)
        second = await talk()
        refused = second.welcome["rooms"]["general"]["error"]
        assert refused["code"] == "unavailable"
        assert refused["retry_after_ms"] > 0
        assert looks == entrance.MOST_LOOKS
