"""Sending everybody away: whom it finds in the middle, and when they are to return."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat import conversation, drain, plain
from headgate.chat.before_send import MessageDraft
from headgate.chat.drain import begin_drain, send_away, window_seconds
from headgate.chat.engine import Engine
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    guests_fixture,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("guests", "room"),
]


@pytest.mark.parametrize(
    ("connections", "seconds"),
    [(0, 1.0), (1, 1.0), (250, 1.0), (1000, 4.0), (5000, 20.0), (100_000, 20.0)],
)
def test_the_window_is_sized_to_how_many_come_back(
    connections: int, seconds: float
) -> None:
    assert window_seconds(connections) == seconds


async def test_many_are_told_in_slices(
    talk: Talkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two slices others have their turn."""
    monkeypatch.setattr(drain, "AT_ONCE", 2)
    talkers = [await talk() for _ in range(5)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await send_away()
    counting.cancel()
    assert turns >= 3
    for talker in talkers:
        assert (await talker.closed()).code == 1012
        assert talker.pushes[-1]["push"] == "going_away"


@asynccontextmanager
async def entering(
    monkeypatch: pytest.MonkeyPatch, module: Any
) -> AsyncIterator[asyncio.Event]:
    """Have people wait in the middle of coming in; yields what is set when one does."""
    come_in, waits, goes = module.come_in, asyncio.Event(), asyncio.Event()

    async def slowly(*args: Any, **more: Any) -> Any:
        waits.set()
        await goes.wait()
        return await come_in(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(module, "come_in", slowly)
        yield waits
        goes.set()


async def test_who_is_half_in_is_welcomed_first(
    talk: Talkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with entering(monkeypatch, conversation) as waits:
        talker = await talk.raw()
        await talker.say({"cmd": "hello"})
        await waits.wait()
        begin_drain()
        await send_away()
    assert (await talker.closed()).code == 1012
    assert [said["push"] for said in talker.pushes] == ["welcome", "going_away"]


async def test_who_is_half_in_is_let_in_first_in_plain_mode(
    talk: Talkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshake would be refused for good otherwise."""
    async with entering(monkeypatch, plain) as waits:
        opening = asyncio.create_task(talk.plain())
        await waits.wait()
        begin_drain()
        await send_away()
    talker = await opening
    assert talker.accepted is not None
    assert (await talker.closed()).code == 1012
    assert talker.pushes == []


LOOKED = asyncio.Event()


async def look(draft: MessageDraft) -> MessageDraft:
    """Take a while; such as for `BEFORE_SEND`."""
    LOOKED.set()
    await asyncio.sleep(0.05)
    return draft


async def test_what_a_project_looks_at_is_begun(
    talk: Talkers, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True, "BEFORE_SEND": f"{__name__}.look"}
    talker = await talk()
    LOOKED.clear()
    await talker.say({"cmd": "send", "id": 9, "room": "general", "text": "hi"})
    await LOOKED.wait()
    begin_drain()
    await send_away()
    assert (await talker.closed()).code == 1012
    replies = [said for said in talker.pushes if said.get("reply") == 9]
    assert [reply["seq"] for reply in replies] == [1]


async def test_what_comes_after_the_farewell_is_not_heard(
    talk: Talkers, chat: Engine
) -> None:
    """It has no answer, so whoever sent it knows that it is to be sent again."""
    talker = await talk()
    begin_drain()
    (visitor,) = chat.visitors
    visitor._attended = True  # something is being done for them
    await send_away()
    await talker.push("going_away")
    await talker.say({"cmd": "send", "id": 9, "room": "general", "text": "late"})
    for _ in range(10):
        await asyncio.sleep(0)
    visitor._attended = False
    visitor._leave_when_done()
    assert (await talker.closed()).code == 1012
    assert [said for said in talker.pushes if said.get("reply") == 9] == []
    assert chat.visitors == set()


async def test_the_ticket_is_for_the_same_person(
    talk: Talkers, chat: Engine, ada: User
) -> None:
    talker = await talk(ada)
    begin_drain()
    await send_away()
    going = await talker.push("going_away")
    assert (await talker.closed()).code == 1012
    refused = await talk.raw()
    assert (await refused.closed()).code == 1012
    assert refused.pushes[0]["error"]["code"] == "unavailable"
    chat.draining = False  # the next process
    offered = ("headgate.v1", f"headgate.ticket.{going['ticket']}")
    again = await talk.raw(subprotocols=offered)
    await again.say({"cmd": "hello"})
    assert (await again.push("welcome"))["user"] == talker.welcome["user"]
