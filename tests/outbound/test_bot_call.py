"""Calls of bots: who is answered, what they are told, what is said, and what fails."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connections

import headgate
from headgate.chat import actions
from headgate.chat.engine import Engine
from headgate.chat.hooks import RoomEvent
from headgate.chat.models import Event, Room
from headgate.chat.people import SYSTEM
from headgate.chat.project_threads import THREADS
from headgate.outbound import bots
from headgate.outbound.models import Delivery
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    in_thread,
    talk_fixture,
)
from tests.outbound.handler_calls import (  # noqa: F401 - fixtures are found by name
    Handlers,
    handlers_fixture,
)
from tests.server.services import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

BOT = "bot:helper"


async def texts(room: Room) -> list[tuple[str, str]]:
    """Return key and text of a room's messages."""
    rows = Event.objects.filter(room=room, kind="message").order_by("seq")
    return list(await in_thread(lambda: list(rows.values_list("author_key", "text"))))


class Kept:
    """A bot that keeps what it is told, and says it back."""

    def __init__(self, **more: Any) -> None:
        self.calls: list[tuple[RoomEvent, list[RoomEvent]]] = []

        @headgate.bot("helper", **more)
        async def helper(
            message: RoomEvent, history: list[RoomEvent], reply: Any
        ) -> None:
            self.calls.append((message, history))
            await reply(f"You said {message.text}.")


# --- answering --------------------------------------------------------------------


async def test_a_bot_answers_a_message(
    handlers: Handlers, room: Room, ada: User
) -> None:
    kept = Kept(title="Helper")
    sent = await headgate.asend_message(room, ada, "hi")
    (outcome,) = await handlers.work(BOT)

    assert (outcome.result, outcome.error, outcome.cost) == ("delivered", "", 0)
    ((message, history),) = kept.calls
    assert (message.text, message.seq, message.author.name) == (
        "hi",
        sent.seq,
        "Ada Lovelace",
    )
    assert history == []
    answer = await in_thread(Event.objects.get, author_key="b:helper")
    assert (answer.text, answer.author_name) == ("You said hi.", "Helper")
    assert answer.details == {"format": "markdown", "reply_to": sent.seq}
    assert await handlers.due(BOT) == []


async def test_an_answer_may_have_another_format_and_data(
    handlers: Handlers, room: Room, ada: User
) -> None:
    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        first = await reply.send("one", format="plain", data={"a": 1})
        second = await reply("two")
        assert second.seq == first.seq + 1

    await headgate.asend_message(room, ada, "hi")
    await handlers.work(BOT)
    answer = await in_thread(Event.objects.get, text="one")
    assert answer.details == {"data": {"a": 1}, "reply_to": 1}


async def test_the_history_is_as_people_see_it(
    handlers: Handlers, room: Room, ada: User
) -> None:
    kept = Kept(history=3)
    for n in range(5):
        await headgate.asend_message(room, ada, f"m{n}")
    await in_thread(lambda: actions.delete_message(room, 4, by=ada))
    await in_thread(lambda: actions.edit_message(room, 3, "edited", by=ada))
    last = (await handlers.due(BOT))[4]
    await handlers.send(last)
    ((message, history),) = kept.calls
    assert message.text == "m4"
    # The three before it, of which one was deleted.
    assert [each.text for each in history] == ["m1", "edited"]


async def test_without_history_it_is_told_none(
    handlers: Handlers, room: Room, ada: User
) -> None:
    kept = Kept(history=0)
    await headgate.asend_message(room, ada, "m1")
    await headgate.asend_message(room, ada, "m2")
    await handlers.work(BOT)
    assert [history for _, history in kept.calls] == [[], []]


async def test_an_edit_is_answered_at_its_message(
    handlers: Handlers, room: Room, ada: User
) -> None:
    Kept(events=("edited",))
    await headgate.asend_message(room, ada, "hi")
    await in_thread(lambda: actions.edit_message(room, 1, "hello", by=ada))
    await handlers.work(BOT)
    answer = await in_thread(Event.objects.get, author_key="b:helper")
    assert (answer.text, answer.details["reply_to"]) == ("You said hello.", 1)


# --- who is not answered ----------------------------------------------------------


async def test_bots_and_the_system_are_not_answered(
    handlers: Handlers, room: Room, ada: User
) -> None:
    kept = Kept()
    await headgate.asend_message(room, headgate.bots.actor("helper"), "mine")
    await headgate.asend_message(room, SYSTEM, "news", kind="system")
    assert await handlers.due(BOT) == []
    # Nor where they are owed all the same, as by a replay of an older version's.
    await headgate.asend_message(room, ada, "hi")
    (call,) = await handlers.due(BOT)
    for seq in (1, 2):
        await in_thread(Delivery.objects.filter(pk=call.id).update, seq=seq)
        assert [each.result for each in await handlers.work(BOT)] == ["skipped"]
        await in_thread(Delivery.objects.filter(pk=call.id).update, state="due")
    assert kept.calls == []


async def test_what_was_deleted_is_not_answered(
    handlers: Handlers, room: Room, ada: User
) -> None:
    kept = Kept()
    await headgate.asend_message(room, ada, "hi")
    await in_thread(lambda: actions.delete_message(room, 1, by=ada))
    (outcome,) = await handlers.work(BOT)
    assert (outcome.result, outcome.error) == ("skipped", "The message was deleted.")
    assert kept.calls == []


async def test_where_it_is_not_mentioned_it_is_owed_nothing(
    handlers: Handlers, room: Room, ada: User
) -> None:
    kept = Kept(when="mentioned", events=("message", "edited"))
    await headgate.asend_message(room, ada, "hi")
    await headgate.asend_message(room, ada, "@helper hi")
    await headgate.asend_message(room, ada, "you", data={"mentions": ["b:helper"]})
    assert [call.told[0].push.seq for call in await handlers.due(BOT)] == [2, 3]
    # An edit is owed, and looked at when it is called.
    await in_thread(lambda: actions.edit_message(room, 1, "ho", by=ada))
    await in_thread(lambda: actions.edit_message(room, 1, "ho @helper", by=ada))
    outcomes = await handlers.work(BOT)
    assert [each.result for each in outcomes].count("skipped") == 1
    texts = [message.text for message, _ in kept.calls]
    assert texts == ["@helper hi", "you", "ho @helper"]


async def test_what_its_function_does_not_want_is_skipped(
    handlers: Handlers, room: Room, ada: User
) -> None:
    kept = Kept(when=lambda event: event.text.endswith("?"))
    await headgate.asend_message(room, ada, "hi")
    await headgate.asend_message(room, ada, "hi?")
    skipped, called = await handlers.work(BOT)
    assert (skipped.result, called.result) == ("skipped", "delivered")
    assert "`when`" in skipped.error
    assert [message.text for message, _ in kept.calls] == ["hi?"]


async def test_of_several_at_once_one_that_is_for_it_is_enough(
    handlers: Handlers, room: Room, ada: User
) -> None:
    kept = Kept(when=lambda event: event.text.endswith("?"))
    await headgate.asend_message(room, ada, "hi")
    await headgate.asend_message(room, ada, "hi?")
    calls = await handlers.due(BOT)
    together = replace(calls[0], told=(*calls[0].told, *calls[1].told))
    assert (await handlers.send(together)).result == "delivered"
    assert [message.text for message, _ in kept.calls] == ["hi?"]


async def test_of_a_group_room_it_has_to_be_a_member(
    handlers: Handlers, transactional_db: None, ada: User
) -> None:
    kept = Kept()
    team = await in_thread(lambda: Room.objects.create(slug="team", kind="group"))
    helper = headgate.bots.actor("helper")
    await in_thread(actions.add_member, team, ada)
    await headgate.asend_message(team, ada, "among us")
    (early,) = await handlers.due(BOT)
    outcome = await handlers.send(early)
    assert (outcome.result, kept.calls) == ("skipped", [])
    assert "has to be a member" in outcome.error

    await in_thread(actions.add_member, team, helper)
    await headgate.asend_message(team, ada, "hi all")
    assert len(await handlers.work(BOT)) == 2
    ((message, history),) = kept.calls
    # What was said before it came is not for it, as it would not be for anybody: it
    # is in no history, nor is it answered though it was still owed.
    assert (message.text, history) == ("hi all", [])
    assert (await texts(team))[-1] == ("b:helper", "You said hi all.")


# --- again ------------------------------------------------------------------------


async def test_a_second_run_says_nothing_twice(
    handlers: Handlers, room: Room, ada: User
) -> None:
    runs: list[int] = []

    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        runs.append(len(runs) + 1)
        first = await reply(f"one of run {runs[-1]}")  # a model says it otherwise
        assert first.seq == 2
        if runs[-1] == 1:
            raise RuntimeError("in the middle")
        await reply("two")

    await headgate.asend_message(room, ada, "hi")
    (call,) = await handlers.due(BOT)
    assert (await handlers.send(call, 1)).result == "failed"
    assert (await handlers.send(call, 2)).result == "delivered"
    assert (await handlers.send(call, 3)).result == "delivered"  # its end was lost
    assert runs == [1, 2, 3]
    said = [("b:helper", "one of run 1"), ("b:helper", "two")]
    assert (await texts(room))[1:] == said


# --- what is sync in it ------------------------------------------------------------


async def test_what_is_sync_in_a_bot_holds_up_no_other_and_leaves_no_connection(
    handlers: Handlers, room: Room, ada: User
) -> None:
    release, began = threading.Event(), threading.Event()
    used: list[Any] = []

    def look() -> int:
        used.append(connections["default"])
        return Event.objects.count()

    def wait() -> None:
        began.set()
        release.wait(60)

    @headgate.bot("slow")
    async def slow(message: RoomEvent, history: Any, reply: Any) -> None:
        await sync_to_async(wait)()

    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        assert await sync_to_async(look)() == await sync_to_async(look)()

    await headgate.asend_message(room, ada, "hi")
    (call,) = await handlers.due("bot:slow")
    waiting = asyncio.create_task(handlers.send(call))
    try:
        assert await in_thread(lambda: began.wait(30))
        assert [each.result for each in await handlers.work(BOT)] == ["delivered"]
    finally:
        release.set()
    assert (await waiting).result == "delivered"
    assert used[0] is used[1]  # both on one thread
    await in_thread(until, lambda: used[0].connection is None)


async def test_a_bot_whose_sync_part_hangs_is_called_no_more(
    handlers: Handlers,
    room: Room,
    ada: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "headgate.outbound")
    release = threading.Event()

    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        await sync_to_async(release.wait)(60)

    await headgate.asend_message(room, ada, "hi")
    (call,) = await handlers.due(BOT)
    short = replace(call, target=replace(call.target, timeout_seconds=2))
    try:
        late = await asyncio.gather(*(handlers.send(short) for _ in range(THREADS)))
        assert [each.result for each in late] == ["failed"] * THREADS
        async with asyncio.timeout(30):
            while (refused := await handlers.send(short)).result == "failed":
                pass  # it is a moment until it counts as hanging
        assert (refused.result, refused.retry_after_seconds) == ("throttled", 30)
        assert "handler_hangs handler=bot:helper" in caplog.text
    finally:
        release.set()
    await in_thread(
        until,
        lambda: (
            caplog.text.count("handler_ended_late")
            == caplog.text.count("handler_hangs")
        ),
    )
    assert (await handlers.send(call)).result == "delivered"


# --- what a handler may raise -----------------------------------------------------


async def test_what_a_handler_raises(
    handlers: Handlers,
    room: Room,
    ada: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "headgate.outbound")
    raised: list[BaseException] = []

    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        reply.cost(7)
        raise raised[-1]

    await headgate.asend_message(room, ada, "my secret")
    (call,) = await handlers.due(BOT)

    raised.append(ValueError("cannot read my secret"))
    failed = await handlers.send(call)
    assert (failed.result, failed.retry_after_seconds, failed.cost) == (
        "failed",
        None,
        7,
    )
    assert failed.error.startswith("ValueError in helper, test_bot_call.py:")
    assert "handler_failed handler=bot:helper" in caplog.text

    raised.append(headgate.GiveUp("no such question"))
    refused = await handlers.send(call)
    assert (refused.result, refused.error) == ("refused", "no such question")

    raised.append(headgate.TryAgain(2.5))
    throttled = await handlers.send(call)
    assert (throttled.result, throttled.retry_after_seconds) == ("throttled", 2.5)

    raised.append(asyncio.CancelledError())
    cancelled = await handlers.send(call)
    assert (cancelled.result, cancelled.error) == (
        "failed",
        "The handler cancelled itself.",
    )

    raised.append(SystemExit(1))
    assert (await handlers.send(call)).result == "failed"
    raised.append(TimeoutError())  # of its own, not ours
    assert (await handlers.send(call)).error.startswith("TimeoutError in helper")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_no_time_to_wait(seconds: float) -> None:
    with pytest.raises(ValueError, match="how many seconds to wait"):
        headgate.TryAgain(seconds)


async def test_an_answer_that_is_not_taken_is_not_tried_again(
    handlers: Handlers, room: Room, ada: User
) -> None:
    Kept()
    helper = headgate.bots.actor("helper")
    await headgate.asend_message(room, ada, "hi")
    until = datetime(2999, 1, 1, tzinfo=UTC)
    await in_thread(actions.mute, room, helper, until)
    (outcome,) = await handlers.work(BOT)
    assert (outcome.result, outcome.error) == (
        "refused",
        "The answer was not taken: muted.",
    )


async def test_a_handler_that_takes_too_long_is_cancelled(
    handlers: Handlers, room: Room, ada: User
) -> None:
    cancelled: list[bool] = []

    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        reply.cost(3)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    await headgate.asend_message(room, ada, "hi")
    handlers.timeout_seconds = 2
    (call,) = await handlers.due(BOT)
    outcome = await handlers.send(call)
    assert (outcome.result, outcome.error, outcome.cost) == (
        "failed",
        "It took longer than 2 s, and was cancelled.",
        3,
    )
    assert outcome.service_seconds >= 2
    assert cancelled == [True]


async def test_whoever_cancels_the_call_ends_the_handler(
    handlers: Handlers, room: Room, ada: User
) -> None:
    running = asyncio.Event()

    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        running.set()
        await asyncio.Event().wait()

    await headgate.asend_message(room, ada, "hi")
    (call,) = await handlers.due(BOT)
    task = asyncio.create_task(handlers.send(call))
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_code_that_was_removed(handlers: Handlers, room: Room, ada: User) -> None:
    Kept()
    await headgate.asend_message(room, ada, "hi")
    (call,) = await handlers.due(BOT)
    bots._bots.clear()
    outcome = await handlers.send(call)
    assert outcome.result == "refused"
    assert "no handler 'bot:helper'" in outcome.error
    assert "replay" in outcome.error


async def test_a_cost_is_a_whole_number(
    handlers: Handlers, room: Room, ada: User
) -> None:
    @headgate.bot("helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        reply.cost(2)
        reply.cost(3)
        for wrong in (-1, 1.5, True):
            with pytest.raises(ValueError, match="a whole number"):
                reply.cost(wrong)

    await headgate.asend_message(room, ada, "hi")
    (outcome,) = await handlers.work(BOT)
    assert (outcome.result, outcome.cost) == ("delivered", 5)


# --- signals ----------------------------------------------------------------------


async def test_others_see_that_a_bot_writes(
    talk: Talkers, handlers: Handlers, room: Room, ada: User, chat: Engine
) -> None:
    @headgate.bot("helper", title="Helper")
    async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
        reply.typing()

    talker = await talk(ada)
    await talker.ask("send", room="general", text="hi")
    await handlers.work(BOT)
    told = await talker.push("typing")
    assert (told["author"]["name"], told["typing"]) == ("Helper", True)
