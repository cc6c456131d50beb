from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.live.frames import Frame
from headgate.live.outbox import MOST_SIGNALS, Outbox
from tests.live.parts import turns


def frame(size: int = 1, letter: str = "x") -> Frame:
    return Frame(letter.encode() * size)


def filled(limit: int, *sizes: int) -> Outbox:
    outbox = Outbox(limit)
    for size in sizes:
        outbox.put(frame(size))
    return outbox


def letters(outbox: Outbox) -> str:
    found = []
    while not outbox.empty:
        found.append(outbox.take().text[0])
    return "".join(found)


def in_all_lanes() -> Outbox:
    outbox = Outbox(100)
    outbox.put_signal("a", frame(letter="s"))
    outbox.put_in_order([frame(letter="e"), frame(letter="f")], 2)
    outbox.put_signal("b", frame(letter="t"))
    outbox.put(frame(letter="c"))
    outbox.put_in_order([frame(letter="g")], 1)
    outbox.put(frame(letter="d"))
    return outbox


def test_each_lane_leaves_in_its_order_and_the_important_first() -> None:
    assert letters(in_all_lanes()) == "cdefgst"


def test_all_leave_at_once_as_one_by_one() -> None:
    outbox = in_all_lanes()

    assert "".join(each.text for each in outbox.take_all()) == "cdefgst"
    assert (outbox.size_bytes, outbox.empty) == (0, True)
    assert outbox.take_all() == []


def test_of_signals_with_one_key_the_latest_goes_out() -> None:
    outbox = Outbox(100)
    assert outbox.put_signal("a", frame(5, "s"))
    assert outbox.put_signal("b", frame(1, "t"))
    assert outbox.put_signal("a", frame(2, "u"))

    assert outbox.size_bytes == 3
    assert letters(outbox) == "tu"


def test_past_the_bound_the_oldest_signal_is_left_out() -> None:
    outbox = Outbox(100_000)
    for number in range(MOST_SIGNALS):
        assert outbox.put_signal(number, frame(10))
    assert outbox.put_signal(3, frame(10))
    assert not outbox.put_signal("more", frame(1))

    assert list(outbox.signals) == [
        *(number for number in range(1, MOST_SIGNALS) if number != 3),
        3,
        "more",
    ]
    assert outbox.size_bytes == 10 * (MOST_SIGNALS - 1) + 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["control", "events", "signal", "take", "all"]),
            st.integers(1, 50),
            st.integers(0, 3),
        )
    )
)
def test_the_size_is_that_of_what_waits(steps: list[tuple[str, int, int]]) -> None:
    outbox = Outbox(60)
    for what, size, count in steps:
        if what == "control":
            outbox.put(frame(size))
        elif what == "events":
            outbox.put_in_order([frame(size)] * count, size * count)
        elif what == "signal":
            outbox.put_signal(count, frame(size))
        elif what == "all":
            outbox.take_all()
        elif not outbox.empty:
            outbox.take()

        lanes = [*outbox.control, *outbox.stream, *outbox.signals.values()]
        assert outbox.size_bytes == sum(each.size for each in lanes)
        assert outbox.roomy == (outbox.size_bytes < 60)
        assert outbox.empty == (not lanes)


def test_replies_go_in_past_the_limit() -> None:
    outbox = filled(10, 10, 10)

    assert outbox.size_bytes == 20
    assert not outbox.roomy


async def test_nobody_waits_for_an_outbox_with_room() -> None:
    await asyncio.wait_for(filled(10, 9).room_in(), 5)


async def test_there_is_room_again_at_half_of_the_limit() -> None:
    outbox = filled(10, 3, 3, 2, 2)
    waiting = [asyncio.create_task(outbox.room_in()) for _ in range(2)]
    told: list[int] = []
    outbox.when_roomy(lambda: told.append(outbox.size_bytes))
    await turns(3)

    outbox.take()
    outbox.took()
    await turns(3)
    assert not any(task.done() for task in waiting)  # 7 wait, and 5 are half
    assert told == []
    outbox.take()
    outbox.took()
    await turns(3)
    assert all(task.done() for task in waiting)
    assert told == [4]


def test_who_wants_to_know_of_room_is_told_once() -> None:
    outbox = filled(10, 8)
    told: list[str] = []

    def again() -> None:
        told.append("first")
        outbox.when_roomy(lambda: told.append("second"))

    outbox.when_roomy(again)
    outbox.take()
    outbox.took()
    assert told == ["first"]
    outbox.took()
    outbox.took()
    assert told == ["first", "second"]


async def test_whoever_fills_it_again_waits_again() -> None:
    outbox = filled(10, 10)
    waiting = asyncio.create_task(outbox.room_in())
    await turns(3)
    outbox.take_all()
    outbox.took()
    await waiting
    outbox.put(frame(10))

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outbox.room_in(), 0.01)


async def test_an_abandoned_outbox_keeps_nothing_and_stops_nobody() -> None:
    outbox = filled(10, 20)
    waiting = asyncio.create_task(outbox.room_in())
    told: list[bool] = []
    outbox.when_roomy(lambda: told.append(True))
    await turns(3)

    outbox.abandon()
    await waiting
    outbox.put(frame())
    outbox.put_in_order([frame()], 1)
    assert outbox.put_signal("a", frame())

    assert (outbox.size_bytes, outbox.take_all(), outbox.lost) == (0, [], True)
    assert told == [True]
