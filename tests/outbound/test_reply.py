"""Answers that grow, and what a second run makes of the first one's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches

import headgate
from headgate.chat.actions import draft_of
from headgate.chat.before_send import write_looked_at
from headgate.chat.engine import Engine, close_engine, started_engine
from headgate.chat.growing import open_message
from headgate.chat.hooks import RoomEvent
from headgate.chat.models import Event, Room
from headgate.chat.rows import COLUMNS, EventRow, as_push
from headgate.protocol.pushes import Message
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    in_thread,
    talk_fixture,
)
from tests.outbound.handler_calls import (  # noqa: F401 - fixtures are found by name
    Handlers,
    handlers_fixture,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

BOT = "bot:helper"


async def answers(room: Room) -> list[Message]:
    """Return the bot's messages as they are now."""

    def read() -> list[Any]:
        rows = Event.objects.filter(
            room=room, author_key="b:helper", kind="message"
        ).order_by("seq")
        pushes = [
            as_push(EventRow(*row), room.slug) for row in rows.values_list(*COLUMNS)
        ]
        return list(pushes)

    return list(await in_thread(read))


async def test_an_answer_grows(
    talk: Talkers, handlers: Handlers, room: Room, ada: User
) -> None:
    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        async with reply.stream(format="plain", data={"model": "m"}) as out:
            for word in ("It ", "is ", "noon."):
                await out.write(word)
            assert (out.text, out.state) == ("It is noon.", None)
        assert out.state == "done"

    talker = await talk(ada)
    seq = (await talker.ask("send", room="general", text="When?"))["seq"]
    assert [each.result for each in await handlers.work(BOT)] == ["delivered"]
    ended = await talker.push("edited")
    assert (ended["state"], ended["text"]) == ("done", "It is noon.")
    (answer,) = await answers(room)
    assert (answer.text, answer.open, answer.reply_to) == ("It is noon.", False, seq)
    assert (answer.format, answer.data) == ("plain", {"model": "m"})


async def test_a_stream_that_broke_off_is_begun_anew(
    chat: Engine, handlers: Handlers, room: Room, ada: User
) -> None:
    runs: list[str] = []

    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        runs.append("run")
        async with reply.stream() as out:
            await out.write(f"run {len(runs)}")
            if len(runs) < 3:
                raise ConnectionError("the service is gone")

    await headgate.asend_message(room, ada, "When?")
    (call,) = await handlers.due(BOT)
    assert (await handlers.send(call, 1)).result == "failed"
    assert (await handlers.send(call, 2)).result == "failed"
    assert (await handlers.send(call, 3)).result == "delivered"
    # Its end was lost, and it is called once more: it says nothing again.
    assert (await handlers.send(call, 3)).result == "delivered"
    assert [(each.text, each.state, each.open) for each in await answers(room)] == [
        ("run 1", "cut", False),
        ("run 2", "cut", False),
        ("run 3", None, False),
    ]
    assert len(runs) == 4


async def test_a_worker_keeps_what_its_answers_grow_by(
    handlers: Handlers, room: Room, ada: User
) -> None:
    engines: list[Engine | None] = []

    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        for word in ("one", "two"):
            async with reply.stream() as out:
                await out.write(word)
                engines.append(started_engine())

    await headgate.asend_message(room, ada, "When?")
    (call,) = await handlers.due(BOT)
    assert (await handlers.send(call, 1)).result == "delivered"

    assert [started_engine()] * 2 == engines
    assert None not in engines
    await close_engine()


async def test_what_a_dead_process_left_is_cut_and_begun_anew(
    chat: Engine, handlers: Handlers, room: Room, ada: User
) -> None:
    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        async with reply.stream() as out:
            await out.write("whole")

    await headgate.asend_message(room, ada, "When?")
    (call,) = await handlers.due(BOT)
    # As it stands in the log after kill -9: open, with what was saved.
    bot, client_id = headgate.bots.actor("helper"), f"{call.id}-s1.0"
    more: dict[str, Any] = {"client_id": client_id, "reply_to": 1, "open": True}
    draft = await in_thread(draft_of, room, bot, "half", **more)
    await write_looked_at(draft, room.slug)
    (left,) = await answers(room)
    assert left.open

    assert (await handlers.send(call, 2)).result == "delivered"
    first, second = await answers(room)
    assert (first.text, first.open, first.state) == ("half", False, "cut")
    assert (second.text, second.open, second.state) == ("whole", False, None)


async def test_messages_and_streams_of_one_call_keep_apart(
    chat: Engine, handlers: Handlers, room: Room, ada: User
) -> None:
    runs: list[str] = []

    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        runs.append("run")
        await reply("first")
        async with reply.stream() as out:
            await out.write("second")
        async with reply.stream() as out:
            await out.write("third")
            if len(runs) == 1:
                raise ConnectionError("gone")
        await reply("fourth")

    await headgate.asend_message(room, ada, "When?")
    (call,) = await handlers.due(BOT)
    await handlers.send(call, 1)
    assert (await handlers.send(call, 2)).result == "delivered"
    said = [(each.text, each.state) for each in await answers(room)]
    assert said == [
        ("first", None),
        ("second", None),
        ("third", "cut"),
        ("third", None),
        ("fourth", None),
    ]


async def test_whoever_asked_may_cancel_the_answer(
    talk: Talkers, handlers: Handlers, room: Room, ada: User
) -> None:
    steps: list[str] = []

    @headgate.bot("helper", cache=lambda message: message.text)
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        async with reply.stream() as out:
            await out.write("On and")
            steps.append("waits")
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                steps.append("cancelled")
                raise
        steps.append(f"goes on, {out.state}")

    caches["default"].clear()
    talker = await talk(ada)
    await talker.ask("send", room="general", text="When?")
    (call,) = await handlers.due(BOT)
    working = asyncio.create_task(handlers.send(call))
    seq = (await talker.push("message"))["seq"]
    if seq == 1:  # one's own comes first
        seq = (await talker.push("message"))["seq"]
    await talker.push("partial")
    assert "error" not in await talker.ask("cancel", room="general", seq=seq)
    assert (await working).result == "delivered"
    assert steps == ["waits", "cancelled", "goes on, cancelled"]
    (answer,) = await answers(room)
    assert (answer.text, answer.state) == ("On and", "cancelled")

    # A second run begins nothing anew, since somebody has ended it.
    assert (await handlers.send(call, 2)).result == "delivered"
    assert len(await answers(room)) == 1
    # And what was cancelled is no answer for the next who asks.
    assert not caches["default"]._cache  # type: ignore[attr-defined]


async def test_a_streamed_answer_is_said_again(
    chat: Engine, handlers: Handlers, room: Room, ada: User
) -> None:
    runs: list[str] = []

    @headgate.bot("helper", cache=lambda message: message.text)
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        runs.append("run")
        async with reply.stream() as out:
            await out.write("At ")
            await out.write("noon.")

    caches["default"].clear()
    for _ in range(2):
        await headgate.asend_message(room, ada, "When?")
    await handlers.work(BOT)
    first, second = await answers(room)
    assert (first.text, second.text) == ("At noon.", "At noon.")
    assert (first.reply_to, second.reply_to) == (1, 2)
    assert runs == ["run"]


async def test_a_deadline_cuts_the_answer(
    chat: Engine, handlers: Handlers, room: Room, ada: User
) -> None:
    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        async with reply.stream() as out:
            await out.write("so far")
            await asyncio.Event().wait()

    handlers.timeout_seconds = 0.3
    await headgate.asend_message(room, ada, "When?")
    (call,) = await handlers.due(BOT)
    outcome = await handlers.send(call)
    assert (outcome.result, outcome.error) == (
        "failed",
        "It took longer than 0.3 s, and was cancelled.",
    )
    (answer,) = await answers(room)
    assert (answer.text, answer.state) == ("so far", "cut")


async def test_messages_of_the_same_bot_elsewhere_are_no_answers(
    chat: Engine, handlers: Handlers, room: Room, ada: User
) -> None:
    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        async with reply.stream() as out:
            await out.write("mine")

    await headgate.asend_message(room, ada, "When?")
    bot = headgate.bots.actor("helper")
    async with open_message(room, bot, reply_to=1) as other:
        await other.write("of another part of the project")
    await handlers.work(BOT)
    assert [each.text for each in await answers(room)][1:] == ["mine"]
