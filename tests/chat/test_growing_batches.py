"""Saves of growing texts in the journal's batches: drafts stay together beside them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.chat import append as append_module
from headgate.chat.engine import Engine
from headgate.chat.entries import Draft, Ended, Entry, Grown, Known, Refused, Written
from headgate.chat.models import Event, Room
from headgate.chat.people import Actor
from headgate.protocol.codes import Code
from tests.chat.talker import in_thread

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

BOT = Actor("b:helper", "Helper")
GUEST = Actor("g:1", "Gus")


@pytest.fixture(name="runs")
def runs_fixture(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many drafts were written by the set, each time."""
    runs: list[int] = []
    drafts = append_module._Batch._drafts

    def counted(batch: Any, run: list[Draft]) -> Any:
        runs.append(len(run))
        return drafts(batch, run)

    monkeypatch.setattr(append_module._Batch, "_drafts", counted)
    return runs


async def begun(chat: Engine, room: Room) -> int:
    verdict = await chat.journal.write(
        Draft(room.pk, BOT, "", details={"open": True}),
    )
    assert isinstance(verdict, Written)
    return verdict.push.seq


async def written(chat: Engine, entries: list[Entry]) -> list[int | str]:
    """Write entries in one batch; return their seqs, or why they were refused."""
    verdicts = await asyncio.gather(*[chat.journal.write(each) for each in entries])
    told: list[int | str] = []
    for verdict in verdicts:
        if isinstance(verdict, Refused):
            told.append(verdict.error.code)
        else:
            told.append(verdict.seq if isinstance(verdict, Known) else verdict.push.seq)
    return told


def text_of(room_id: int, seq: int) -> str:
    return Event.objects.get(room_id=room_id, seq=seq).text


@pytest.mark.source
async def test_saves_do_not_split_a_batch_of_drafts(
    room: Room, chat: Engine, runs: list[int]
) -> None:
    other = await in_thread(Room.objects.create, slug="other")
    here, there = await begun(chat, room), await begun(chat, other)
    runs.clear()

    told = await written(
        chat,
        [
            Grown(room.pk, BOT, here, "a"),
            Draft(room.pk, GUEST, "one"),
            Grown(other.pk, BOT, there, "b"),
            Draft(other.pk, GUEST, "two"),
            Grown(room.pk, BOT, here, "a and more"),
            Draft(room.pk, GUEST, "three"),
        ],
    )
    assert runs == [3]
    assert told == [here, 2, there, 2, here, 3]
    assert await in_thread(text_of, room.pk, here) == "a and more"
    assert await in_thread(text_of, other.pk, there) == "b"


@pytest.mark.source
async def test_nothing_passes_an_end(room: Room, chat: Engine, runs: list[int]) -> None:
    """What was submitted before it is written before it, and what after it after."""
    seq = await begun(chat, room)
    runs.clear()

    told = await written(
        chat,
        [
            Grown(room.pk, BOT, seq, "saved in"),
            Draft(room.pk, GUEST, "one"),
            Grown(room.pk, BOT, seq, "saved in time"),
            Ended(room.pk, BOT, seq, "cut"),
            Grown(room.pk, BOT, seq, "saved in time or late"),
            Draft(room.pk, GUEST, "two"),
        ],
    )
    assert runs == [1, 1]
    assert told == [seq, 2, seq, 3, Code.NOT_GROWING, 4]
    assert await in_thread(text_of, room.pk, seq) == "saved in time"
