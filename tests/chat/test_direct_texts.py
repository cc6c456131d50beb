"""Texts that a server hands to the consumer without its task: the same outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from headgate.chat import visitor
from headgate.chat.consumer import DIRECT_TEXTS
from headgate.chat.engine import Engine
from headgate.chat.models import Message
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talker,
    Talkers,
    application,
    guests_fixture,
    in_thread,
    seqs,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("guests", "room"),
]

SEND = {"cmd": "send", "room": "general"}


class Direct:
    """The application behind a server that offers texts while it is waited for."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.left: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one WebSocket."""
        listeners: list[Callable[[str], bool]] = []

        async def offered() -> Any:
            while True:
                message = await receive()
                text = message.get("text")
                if text is None or not listeners:
                    return message
                if not listeners[0](text):
                    self.left.append(text)
                    return message
                self.taken.append(text)

        def listen(_receive: Any, listener: Callable[[str], bool]) -> None:
            listeners.append(listener)

        extensions = {**scope["extensions"], DIRECT_TEXTS: listen}
        await application()({**scope, "extensions": extensions}, offered, send)


async def welcomed(talk: Talkers, app: Direct) -> Talker:
    """Return a client of v1 in the room, through this application."""
    talker = await talk.raw(app=app)
    await talker.say({"cmd": "hello"})
    talker.welcome = await talker.push("welcome")
    return talker


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


def hold(chat: Engine, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Keep the journal from writing; return what lets it."""
    monkeypatch.setattr(chat.journal, "_hand_over", lambda: None)

    def go_on() -> None:
        monkeypatch.undo()
        chat.journal._hand_over()

    return go_on


async def test_what_needs_no_waiting_is_heard_at_once_and_all_in_order(
    talk: Talkers,
) -> None:
    direct = Direct()
    talker = await welcomed(talk, direct)
    said = [
        {**SEND, "id": 1, "text": "one"},
        {"cmd": "history", "id": 2, "room": "general"},
        {"cmd": "ping", "id": 3},
        {**SEND, "id": 4, "text": "two"},
        {"cmd": "edit", "id": 5, "room": "general", "target": 9, "text": "x"},
        {"cmd": "typing", "id": 6, "room": "general"},
        {"cmd": "leave", "id": 7, "room": "general"},
        {**SEND, "id": 8, "text": "from outside"},
        {"cmd": "join", "id": 9, "room": "general", "after": 2},
        {**SEND, "id": 10, "text": "back"},
    ]
    for command in said[:8]:
        await talker.say(command)
    replies = {n: await talker.reply(n) for n in range(1, 9)}
    for command in said[8:]:
        await talker.say(command)
    replies |= {n: await talker.reply(n) for n in (9, 10)}
    pushes = await talker.until("general", 4)  # which the log may bring after a while

    assert [replies[n]["seq"] for n in (1, 4, 8, 10)] == [1, 2, 3, 4]
    assert replies[5]["error"]["code"] == "not_found"
    assert replies[9]["head"] == 3
    assert seqs(pushes)[-2:] == [3, 4]
    assert [json.loads(text)["id"] for text in direct.left] == [2, 5, 8, 9]


async def test_no_more_is_taken_than_may_be_unanswered(
    talk: Talkers,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    direct = Direct()
    talker = await welcomed(talk, direct)
    monkeypatch.setattr(visitor, "MAX_IN_FLIGHT", 3)
    go_on = hold(chat, monkeypatch)
    for n in range(7):
        await talker.say({**SEND, "id": n, "text": f"m{n}"})
    await settled()

    assert len(direct.taken) == 3
    assert len(direct.left) == 1  # the task has it, and asks for no more
    go_on()
    assert [(await talker.reply(n))["seq"] for n in range(7)] == list(range(1, 8))


async def test_whoever_does_not_read_is_not_heard(
    talk: Talkers,
    settings: Settings,
) -> None:
    settings.HEADGATE = {"GUESTS": True, "OUTBOX_MAX_BYTES": 16_384}
    direct = Direct()
    talker = await welcomed(talk, direct)
    talker.reads.clear()
    for n in range(3000):
        talker._in.put_nowait(
            {"type": "websocket.receive", "text": f'{{"cmd":"ping","id":{n}}}'},
        )
    await settled()

    taken = len(direct.taken)
    assert 0 < taken < 3000
    assert len(direct.left) == 1
    talker.reads.set()
    assert [(await talker.hear())["reply"] for _ in range(3000)] == list(range(3000))


async def test_bad_commands_are_counted_and_close(talk: Talkers) -> None:
    direct = Direct()
    talker = await welcomed(talk, direct)
    assert await talker.ask("ping")
    for _ in range(10):
        await talker.say("no JSON")

    ended = await talker.closed()

    assert ended.code == 4500
    assert len(direct.taken) == 1
    assert len(direct.left) == 10


@pytest.mark.source
async def test_a_fault_of_ours_ends_the_connection_and_is_logged(
    talk: Talkers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talker = await welcomed(talk, Direct())

    def broken(*_: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("headgate.chat.conversation.Conversation._draft", broken)
    await talker.say({**SEND, "id": 1, "text": "hi"})

    assert (await talker.closed()).code == 1011
    assert "a bug" in talk.faults.pop()


async def test_going_in_the_middle_loses_nothing_that_was_taken(
    talk: Talkers,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    direct = Direct()
    talker = await welcomed(talk, direct)
    go_on = hold(chat, monkeypatch)
    for n in range(5):
        await talker.say({**SEND, "id": n, "text": f"m{n}"})
    await settled()
    await talk.end(talker)
    go_on()
    other = await talk()

    assert (await other.ask("send", room="general", text="last"))["seq"] == 6
    texts = await in_thread(lambda: [m.text for m in Message.objects.order_by("seq")])
    assert texts == ["m0", "m1", "m2", "m3", "m4", "last"]


async def test_plain_mode_hears_at_once_and_answers_in_order(talk: Talkers) -> None:
    direct = Direct()
    talker = await talk.raw(subprotocols=(), app=direct)
    for text in ('{"message": "one"}', "no JSON", '{"message": "two"}'):
        await talker.say(text)

    said = [await talker.hear() for _ in range(5)]

    answers = [s.get("error") or s["seq"] for s in said if "author" not in s]
    assert answers == [1, "bad_command", 2]
    assert len(direct.taken) == 2
