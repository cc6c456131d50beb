"""Answers that a bot says again without being called."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from pytest_django import Settings

import headgate
from headgate.chat.hooks import RoomEvent
from headgate.chat.models import Event, Room
from headgate.testing.limits_clock import LimitsClock
from tests.chat.talker import in_thread
from tests.outbound.handler_calls import (  # noqa: F401 - fixtures are found by name
    Handlers,
    handlers_fixture,
)

pytestmark = pytest.mark.django_db(transaction=True)

BOT = "bot:helper"
MEMORY = "django.core.cache.backends.locmem.LocMemCache"


@pytest.fixture(autouse=True)
def _own_caches(settings: Settings) -> None:
    settings.CACHES = {
        name: {"BACKEND": MEMORY, "LOCATION": f"bots-{name}"}
        for name in ("default", "answers")
    }
    for name in ("default", "answers"):
        caches[name].clear()


class Counting:
    """A bot that says how often it was called."""

    def __init__(self, **more: Any) -> None:
        self.calls = 0
        self.fail = False

        @headgate.bot("helper", **more)
        async def helper(message: RoomEvent, history: Any, reply: Any) -> None:
            self.calls += 1
            await reply.send(f"call {self.calls}", data={"n": self.calls})
            if self.fail:
                raise RuntimeError("after it was said")
            await reply("That is all.")


def key_of(message: RoomEvent) -> str | None:
    return None if message.text.startswith("now") else message.text.lower()


async def answers(room: Room) -> list[tuple[str, Any]]:
    """Return text and details of what the bot said."""
    rows = Event.objects.filter(room=room, author_key="b:helper").order_by("seq")
    return list(await in_thread(lambda: list(rows.values_list("text", "details"))))


async def test_an_equal_question_has_the_same_answer(
    handlers: Handlers, room: Room, ada: User, grace: User
) -> None:
    counting = Counting(cache=key_of)
    await headgate.asend_message(room, ada, "When?")
    await handlers.work(BOT)
    await headgate.asend_message(room, grace, "when?")
    await handlers.work(BOT)
    assert counting.calls == 1
    first, second, third, fourth = await answers(room)
    assert (first[0], third[0]) == ("call 1", "call 1")
    assert third[1] == {"format": "markdown", "data": {"n": 1}, "reply_to": 4}
    assert (second[0], fourth[0]) == ("That is all.", "That is all.")

    await headgate.asend_message(room, grace, "Where?")
    await handlers.work(BOT)
    assert counting.calls == 2


async def test_what_has_no_key_is_asked_each_time(
    handlers: Handlers, room: Room, ada: User
) -> None:
    counting = Counting(cache=key_of)
    for _ in range(2):
        await headgate.asend_message(room, ada, "now?")
    await handlers.work(BOT)
    assert counting.calls == 2


async def test_an_answer_of_a_call_that_failed_is_not_kept(
    handlers: Handlers, room: Room, ada: User
) -> None:
    counting = Counting(cache=key_of)
    counting.fail = True
    await headgate.asend_message(room, ada, "When?")
    (call,) = await handlers.due(BOT)
    assert (await handlers.send(call)).result == "failed"
    counting.fail = False
    assert (await handlers.send(call)).result == "delivered"
    assert counting.calls == 2
    await headgate.asend_message(room, ada, "When?")
    await handlers.work(BOT)
    # What was said is kept, and not what a second run would have said.
    assert counting.calls == 2
    assert [text for text, _ in await answers(room)] == [
        "call 1",
        "That is all.",
        "call 1",
        "That is all.",
    ]


async def test_where_and_how_long_answers_are_kept(
    handlers: Handlers, room: Room, ada: User
) -> None:
    counting = Counting(cache=key_of, cache_name="answers", cache_seconds=600)
    await headgate.asend_message(room, ada, "When?")
    await handlers.work(BOT)
    assert caches["default"]._cache == {}  # type: ignore[attr-defined]
    (name,) = caches["answers"]._cache  # type: ignore[attr-defined]
    assert "when" not in name.lower().replace("answer", "")

    caches["answers"].clear()
    await headgate.asend_message(room, ada, "When?")
    await handlers.work(BOT)
    assert counting.calls == 2


async def test_an_answer_is_kept_no_longer_than_its_time(
    handlers: Handlers, room: Room, ada: User
) -> None:
    counting = Counting(cache=key_of, cache_seconds=0)
    for _ in range(2):
        await headgate.asend_message(room, ada, "When?")
    await handlers.work(BOT)
    assert counting.calls == 2


@pytest.mark.limits
async def test_what_is_said_again_costs_no_budget(
    handlers: Handlers, room: Room, ada: User, limits_clock: LimitsClock
) -> None:
    counting = Counting(cache=key_of, limits={"user": "1/h"})
    for _ in range(3):
        await headgate.asend_message(room, ada, "When?")
    await handlers.work(BOT)
    assert counting.calls == 1
    assert len(await answers(room)) == 6


async def test_two_bots_do_not_share_their_answers(
    handlers: Handlers, room: Room, ada: User
) -> None:
    counting = Counting(cache=key_of)
    others: list[str] = []

    @headgate.bot("other", cache=key_of)
    async def other(message: RoomEvent, history: Any, reply: Any) -> None:
        others.append(message.text)
        await reply("mine")

    await headgate.asend_message(room, ada, "When?")
    await handlers.work(BOT)
    await handlers.work("bot:other")
    assert (counting.calls, others) == (1, ["When?"])
