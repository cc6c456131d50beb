"""What a bot may be asked, and may cost, by one person and in one room."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import strategies as st

import headgate
from headgate.chat.hooks import RoomEvent
from headgate.chat.models import Event, Room
from headgate.contrib.shared import use_limiter
from headgate.limits.limiter import Limiter
from headgate.limits.memory import MemoryStore
from headgate.outbound.budgets import Budgets, waiting_words
from headgate.testing.limits_clock import LimitsClock
from tests.chat.talker import in_thread
from tests.outbound.handler_calls import (  # noqa: F401 - fixtures are found by name
    Handlers,
    handlers_fixture,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.limits]

BOT = "bot:helper"


def helper(limits: dict[str, str], cost: int = 0, **more: Any) -> list[str]:
    """Make a bot that notes what it was asked, at a cost."""
    asked: list[str] = []

    @headgate.bot("helper", title="Helper", limits=limits, **more)
    async def answer(message: RoomEvent, history: Any, reply: Any) -> None:
        asked.append(message.text)
        if cost:
            reply.cost(cost)

    return asked


async def said(room: Room) -> list[tuple[str, int | None]]:
    """Return what the bot has said, and to which message."""
    rows = Event.objects.filter(room=room, author_key="b:helper").order_by("seq")
    found = await in_thread(lambda: list(rows.values_list("text", "details")))
    return [(text, details.get("reply_to")) for text, details in found]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 second"),
        (1, "1 second"),
        (59.2, "1 minute"),
        (60, "1 minute"),
        (61, "2 minutes"),
        (660.5, "12 minutes"),
        (3600, "1 hour"),
        (3601, "2 hours"),
        (90_000, "2 days"),
    ],
)
def test_a_wait_in_words_is_never_too_short(seconds: float, words: str) -> None:
    assert waiting_words(seconds) == words


async def test_a_person_is_told_once_how_long_to_wait(
    handlers: Handlers, room: Room, ada: User, grace: User, limits_clock: LimitsClock
) -> None:
    asked = helper({"user": "1/12min"})
    for text in ("one", "two", "three"):
        await headgate.asend_message(room, ada, text)
    await headgate.asend_message(room, grace, "four")
    outcomes = await handlers.work(BOT)
    assert [each.result for each in outcomes] == ["delivered"] * 4
    assert asked == ["one", "four"]
    wait = "Helper may answer you again in 12 minutes."
    assert await said(room) == [(wait, 2)]

    limits_clock.advance(11 * 60)
    await headgate.asend_message(room, ada, "five")
    await handlers.work(BOT)
    assert await said(room) == [(wait, 2)]

    limits_clock.advance(60)
    for text in ("six", "seven"):
        await headgate.asend_message(room, ada, text)
    await handlers.work(BOT)
    assert asked == ["one", "four", "six"]
    assert await said(room) == [(wait, 2), (wait, 8)]


async def test_a_room_has_a_budget_of_its_own(
    handlers: Handlers, room: Room, ada: User, grace: User, limits_clock: LimitsClock
) -> None:
    asked = helper({"user": "5/h", "room": "2/h"})
    other = await in_thread(lambda: Room.objects.create(slug="other"))
    await headgate.asend_message(room, ada, "one")
    await headgate.asend_message(room, grace, "two")
    await headgate.asend_message(room, ada, "three")
    await headgate.asend_message(other, ada, "four")
    await handlers.work(BOT)
    assert asked == ["one", "two", "four"]
    assert await said(room) == [("Helper may answer here again in 30 minutes.", 3)]
    # What the room refused was not charged to the person: all or none.
    for n in range(4):
        await headgate.asend_message(other, ada, str(n))
    await handlers.work(BOT)
    assert asked[3:] == ["0"]


async def test_what_a_call_has_cost_delays_the_next(
    handlers: Handlers, room: Room, ada: User, grace: User, limits_clock: LimitsClock
) -> None:
    asked = helper({"cost.user": "100/h"}, cost=250)
    await headgate.asend_message(room, ada, "one")
    (outcome,) = await handlers.work(BOT)
    assert outcome.cost == 250
    await headgate.asend_message(room, ada, "two")
    await headgate.asend_message(room, grace, "three")
    await handlers.work(BOT)
    assert asked == ["one", "three"]
    # 150 more than there were, and one to begin with: 151 of 100 an hour.
    ((text, _),) = await said(room)
    assert text == "Helper may answer you again in 2 hours."
    limits_clock.advance(90 * 60)
    await headgate.asend_message(room, ada, "four")
    await handlers.work(BOT)
    assert asked == ["one", "three"]
    limits_clock.advance(60)
    await headgate.asend_message(room, ada, "five")
    await handlers.work(BOT)
    assert asked == ["one", "three", "five"]


async def test_the_cost_is_counted_in_a_room_as_well_and_where_it_failed(
    handlers: Handlers, room: Room, ada: User, grace: User, limits_clock: LimitsClock
) -> None:
    asked: list[str] = []

    @headgate.bot("helper", limits={"cost.room": "10/h"})
    async def answer(message: RoomEvent, history: Any, reply: Any) -> None:
        asked.append(message.text)
        reply.cost(10)
        raise headgate.GiveUp("no")

    await headgate.asend_message(room, ada, "one")
    await headgate.asend_message(room, grace, "two")
    outcomes = await handlers.work(BOT)
    assert [each.result for each in outcomes] == ["refused", "delivered"]
    assert asked == ["one"]
    assert await said(room) == [("helper may answer here again in 6 minutes.", 2)]


@pytest.mark.parametrize(
    "raised", [RuntimeError("busy"), headgate.TryAgain(1), TimeoutError()]
)
async def test_a_call_that_is_made_again_is_counted_once(
    handlers: Handlers,
    room: Room,
    ada: User,
    limits_clock: LimitsClock,
    raised: Exception,
) -> None:
    runs: list[str] = []

    @headgate.bot("helper", limits={"user": "1/h", "room": "1/h"})
    async def answer(message: RoomEvent, history: Any, reply: Any) -> None:
        runs.append(message.text)
        if len(runs) == 1:
            raise raised
        await reply("there")

    await headgate.asend_message(room, ada, "one")
    (call,) = await handlers.due(BOT)
    assert (await handlers.send(call)).result != "delivered"
    assert (await handlers.send(call)).result == "delivered"
    assert await said(room) == [("there", 1)]
    await headgate.asend_message(room, ada, "two")
    await handlers.work(BOT)
    assert runs == ["one", "one"]


async def test_a_second_run_of_a_refused_call_says_nothing_else(
    handlers: Handlers, room: Room, ada: User, limits_clock: LimitsClock
) -> None:
    helper({"user": "1/h"})
    await headgate.asend_message(room, ada, "one")
    await headgate.asend_message(room, ada, "two")
    first, second = await handlers.due(BOT)
    await handlers.send(first)
    await handlers.send(second)
    limits_clock.advance(1)
    use_limiter(Limiter(MemoryStore(clock=limits_clock)))  # it was restarted
    await handlers.send(first)
    await handlers.send(second)
    assert len(await said(room)) == 1


SECONDS = 3600


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 200), st.floats(0, 7200)), max_size=20),
)
async def test_costs_stay_within_the_rate_and_one_debt(
    count: int, calls: list[tuple[int, float]]
) -> None:
    """Of what is let in, all but the last is within burst and rate."""
    clock = LimitsClock()
    use_limiter(Limiter(MemoryStore(clock=clock)))
    try:
        budgets = Budgets("helper", {"cost.user": f"{count}/h"})
        began, costs = clock(), []
        for cost, pause in calls:
            clock.advance(round(pause, 3))
            if await budgets.admit("u:1", "general") is None:
                passed = (clock() - began) / 1e9
                assert sum(costs) < count + passed * count / SECONDS + 1e-3
                costs.append(cost)
                await budgets.charge(cost, "u:1", "general")
    finally:
        use_limiter(None)
