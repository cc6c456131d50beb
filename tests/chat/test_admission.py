"""Admission: a few at once, the others in line, but nobody waits there for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import given
from hypothesis import strategies as st

from headgate.chat import admission
from headgate.chat.admission import MOST_AT_ONCE, Admission, Crowded
from headgate.chat.engine import Engine
from headgate.chat.models import Room
from headgate.protocol.codes import Close, Code
from tests.chat.talker import Ended, Talkers, talk_fixture  # noqa: F401
from tests.live.jumping_loop import JumpingLoop


def on_a_fake_clock(program: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        runner.run(program())


async def come(door: Admission, seconds: float, order: list[int], number: int) -> None:
    async with door.turn():
        order.append(number)
        await asyncio.sleep(seconds)


def test_a_few_at_once_and_the_others_in_their_order() -> None:
    async def program() -> None:
        door, order = Admission(), list[int]()
        coming = [
            asyncio.create_task(come(door, 0.01, order, number))
            for number in range(100)
        ]
        await asyncio.sleep(0)
        assert (len(order), door.waiting) == (MOST_AT_ONCE, 100 - MOST_AT_ONCE)
        await asyncio.gather(*coming)
        assert order == list(range(100))
        assert (door.admitted, door.sent_away, door.waiting) == (100, 0, 0)

    on_a_fake_clock(program)


def test_whoever_would_wait_too_long_is_told_when_to_come_back() -> None:
    async def program() -> None:
        door, order = Admission(), list[int]()
        coming = [
            asyncio.create_task(come(door, 1.0, order, number)) for number in range(400)
        ]
        await asyncio.sleep(5.5)  # it has learned that 16 are let in each second
        wait_ms = 1000 * door.wait_seconds
        assert wait_ms == pytest.approx(1000 * door.waiting / MOST_AT_ONCE, rel=0.3)
        with pytest.raises(Crowded) as crowd:
            await come(door, 1.0, order, 0)
        assert wait_ms <= crowd.value.retry_after_ms + 1 <= 2 * wait_ms + 2
        for each in coming:
            each.cancel()
        await asyncio.gather(*coming, return_exceptions=True)
        # Whoever went away in line, or inside, has left no place taken.
        await asyncio.gather(*[come(door, 0.01, order, 0) for _ in range(100)])
        assert (door.waiting, door.sent_away) == (0, 1)

    on_a_fake_clock(program)


def test_nobody_stands_in_line_for_ever() -> None:
    """Where those who were let in do not get on: the database is away, say."""

    async def program() -> None:
        door, order = Admission(), list[int]()
        stuck = [
            asyncio.create_task(come(door, 1000.0, order, number))
            for number in range(MOST_AT_ONCE)
        ]
        await asyncio.sleep(0)
        with pytest.raises(Crowded) as crowd:
            await come(door, 1.0, order, 99)
        assert crowd.value.retry_after_ms > 0
        assert (door.waiting, door.sent_away) == (0, 1)
        for each in stuck:
            each.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        await come(door, 0.1, order, 100)

    on_a_fake_clock(program)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=60))
def test_no_place_is_lost(steps: list[tuple[bool, int]]) -> None:
    """Whatever comes and goes, never more than allowed are in, and all get in."""

    async def program() -> None:
        door, inside = Admission(), 0
        most = 0

        async def visit() -> None:
            nonlocal inside, most
            async with door.turn():
                inside += 1
                most = max(most, inside)
                try:
                    await asyncio.sleep(0.01)
                finally:
                    inside -= 1

        coming: list[asyncio.Task[None]] = []
        for goes, count in steps:
            if goes and coming:
                coming[count % len(coming)].cancel()
            else:
                coming += [asyncio.create_task(visit()) for _ in range(count)]
            await asyncio.sleep(0.003)
        await asyncio.gather(*coming, return_exceptions=True)
        assert (inside, door.waiting) == (0, 0)
        assert most <= MOST_AT_ONCE
        await asyncio.gather(*[visit() for _ in range(MOST_AT_ONCE)])
        assert most <= MOST_AT_ONCE

    on_a_fake_clock(program)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["headgate.v1", "headgate.plain"])
async def test_a_client_is_told_when_to_come_back(
    talk: Talkers,
    room: Room,
    chat: Engine,
    ada: User,
    mode: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "LONGEST_WAIT_SECONDS", -1.0)
    monkeypatch.setattr(admission, "MOST_AT_ONCE", 0)
    talker = await talk.raw(ada, subprotocols=(mode,))
    ended = await talker.closed()

    (said,) = talker.pushes
    code = said["error"] if mode == "headgate.plain" else said["error"]["code"]
    assert code == Code.UNAVAILABLE
    assert ended.code == Close.UNAVAILABLE
    assert chat.admission.sent_away == 1
