from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.live.frames import Frame
from headgate.live.outbox import Outbox
from tests.live.parts import turns


def filled(limit: int, *sizes: int) -> Outbox:
    outbox = Outbox(limit)
    for size in sizes:
        outbox.put(Frame(b"x" * size))
    return outbox


def test_frames_leave_in_their_order() -> None:
    outbox = filled(100, 1, 2, 3)

    assert [outbox.take().size, outbox.take().size] == [1, 2]
    assert [frame.size for frame in outbox.take_all()] == [3]
    assert (outbox.size_bytes, len(outbox.frames)) == (0, 0)


@given(st.lists(st.integers(0, 50) | st.none() | st.just("all")))
def test_the_size_is_that_of_what_waits(steps: list[int | str | None]) -> None:
    outbox = Outbox(60)
    for step in steps:
        if isinstance(step, int):
            outbox.put(Frame(b"x" * step))
        elif step == "all":
            outbox.take_all()
        elif outbox.frames:
            outbox.take()

        assert outbox.size_bytes == sum(frame.size for frame in outbox.frames)
        assert outbox.roomy == (outbox.size_bytes < 60)


def test_replies_go_in_past_the_limit() -> None:
    outbox = filled(10, 10, 10)

    assert outbox.size_bytes == 20
    assert not outbox.roomy


async def test_nobody_waits_for_an_outbox_with_room() -> None:
    await asyncio.wait_for(filled(10, 9).room_in(), 5)


async def test_there_is_room_again_at_half_of_the_limit() -> None:
    outbox = filled(10, 3, 3, 2, 2)
    waiting = [asyncio.create_task(outbox.room_in()) for _ in range(2)]
    await turns(3)

    outbox.take()
    outbox.took()
    await turns(3)
    assert not any(task.done() for task in waiting)  # 7 wait, and 5 are half
    outbox.take()
    outbox.took()
    await turns(3)
    assert all(task.done() for task in waiting)


async def test_whoever_fills_it_again_waits_again() -> None:
    outbox = filled(10, 10)
    waiting = asyncio.create_task(outbox.room_in())
    await turns(3)
    outbox.take_all()
    outbox.took()
    await waiting
    outbox.put(Frame(b"x" * 10))

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.room_in(), 0.01)


async def test_an_abandoned_outbox_keeps_nothing_and_stops_nobody() -> None:
    outbox = filled(10, 20)
    waiting = asyncio.create_task(outbox.room_in())
    await turns(3)

    outbox.abandon()
    await waiting
    outbox.put(Frame(b"late"))

    assert (outbox.size_bytes, len(outbox.frames), outbox.lost) == (0, 0, True)
