from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError

from headgate.chat.engine import Engine
from headgate.chat.lookups import Lookups
from headgate.chat.models import Room
from headgate.chat.people import Actor, actor_for, new_guest
from headgate.chat.shared_looks import (
    MOST_TOGETHER,
    MOST_TRIPS,
    Look,
    Question,
    shared_look,
)
from headgate.live.ports import LogUnavailable
from tests.chat.talker import Talkers, in_thread, talk_fixture

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

talk = talk_fixture

SECONDS = 60.0


def asked(chat: Engine, look: Look, who: Actor | None = None) -> asyncio.Future[Any]:
    question = Question(who or new_guest(None), "general", (), make=False)
    return shared_look(chat.reader, look, question)


def trip(_question: Question, lookups: Lookups) -> Lookups:
    return lookups


async def test_who_asks_at_the_same_time_goes_along(chat: Engine) -> None:
    answers = [asked(chat, trip) for _ in range(MOST_TOGETHER)]

    assert len({id(each) for each in await asyncio.gather(*answers)}) == 1
    assert await asked(chat, trip) is not answers[0].result()  # who comes later reads


async def test_no_more_than_that_go_together(chat: Engine) -> None:
    answers = [asked(chat, trip) for _ in range(2 * MOST_TOGETHER + 1)]

    trips = [id(each) for each in await asyncio.gather(*answers)]

    sizes = sorted(trips.count(each) for each in set(trips))
    assert sizes == [1, MOST_TOGETHER, MOST_TOGETHER]


async def test_threads_are_left_to_others(chat: Engine) -> None:
    """A project's rules may be slow, and whoever is in already reads, too."""
    held, begun = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    at_once: list[Question] = []

    def slow(question: Question, _lookups: Lookups) -> None:
        at_once.append(question)
        if len(at_once) == MOST_TRIPS:
            loop.call_soon_threadsafe(begun.set)
        held.wait(SECONDS)

    answers = [asked(chat, slow) for _ in range(4 * MOST_TOGETHER)]
    try:
        async with asyncio.timeout(SECONDS):
            await begun.wait()
            assert await chat.reader.run(Room.objects.count) == 0
        assert len(at_once) == MOST_TRIPS
    finally:
        held.set()
    await asyncio.gather(*answers)
    assert len(at_once) == len(answers)


async def test_a_fault_is_raised_for_whom_it_concerns(chat: Engine) -> None:
    def look(question: Question, _lookups: Lookups) -> str:
        if question.actor.name == "Bad":
            raise KeyError("a bug of the project's")
        return question.actor.name

    answers = [asked(chat, look, Actor(f"g:{n}", n)) for n in ("Ada", "Bad", "Gus")]

    found = await asyncio.gather(*answers, return_exceptions=True)

    assert (found[0], found[2]) == ("Ada", "Gus")
    assert isinstance(found[1], KeyError)


async def test_a_database_that_is_away_is_away_for_all(chat: Engine) -> None:
    def look(question: Question, _lookups: Lookups) -> None:
        if question.actor.name == "Gus":
            raise OperationalError("gone")

    answers = [asked(chat, look, Actor(f"g:{n}", n)) for n in ("Ada", "Gus")]

    found = await asyncio.gather(*answers, return_exceptions=True)

    assert [type(each) for each in found] == [LogUnavailable, LogUnavailable]
    assert isinstance(await asked(chat, trip), Lookups)


async def test_who_has_gone_keeps_nobody(chat: Engine) -> None:
    """Gone before the trip, and during it."""
    held, begun = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    looked: list[str] = []

    def look(question: Question, _lookups: Lookups) -> str:
        looked.append(question.actor.name)
        loop.call_soon_threadsafe(begun.set)
        held.wait(SECONDS)
        return question.actor.name

    names = ("early", "late", "stays")
    early, late, stays = (asked(chat, look, Actor(f"g:{n}", n)) for n in names)
    early.cancel()
    async with asyncio.timeout(SECONDS):
        await begun.wait()
    late.cancel()
    held.set()

    assert await stays == "stays"
    assert looked == ["late", "stays"]


async def test_all_rooms_of_a_hello_are_looked_into_together(
    talk: Talkers, chat: Engine, room: Room, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    slugs = ["general", *(f"room-{number}" for number in range(9))]
    rooms = [Room(slug=slug) for slug in slugs[1:]]
    await in_thread(Room.objects.bulk_create, rooms)
    real, trips = chat.reader.run, []

    async def run(function: Any, *given: Any, **more: Any) -> Any:
        if function.__name__ == "_answers":
            trips.append([each.question.slug for each in given[0]])
        return await real(function, *given, **more)

    monkeypatch.setattr(chat.reader, "run", run)
    places = dict.fromkeys([*slugs, "nowhere"], 0)
    talker = await talk(ada, room=None, resume=places)

    assert trips == [[*slugs, "nowhere"]]
    found = talker.welcome["rooms"]
    assert found["nowhere"]["error"]["code"] == "not_found"
    assert [found[slug]["head"] for slug in slugs] == [0] * 10
    assert actor_for(ada).key == talker.welcome["user"]["id"]
