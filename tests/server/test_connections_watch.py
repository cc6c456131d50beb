"""When many connections cannot keep up, and when that is over."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.chat.engine import Engine
from headgate.chat.measured import Seen
from headgate.live.frames import Mode
from headgate.outbound.models import Delivery, Destination
from headgate.server import connections_watch
from headgate.server.connections_watch import (
    AGAIN_SECONDS,
    LEAST,
    LOOK_SECONDS,
    PART,
    WINDOW_SECONDS,
    ConnectionsWatch,
    Degradation,
    Sample,
)
from tests.chat.conftest import chat  # noqa: F401 - a fixture
from tests.chat.talker import in_thread

Said = list[tuple[float, str]]


def told(*phases: tuple[float, int, int, int]) -> Said:
    """Return what is told, and when.

    A phase is for so many seconds, with so many connections, so many behind, and so
    many that are cut off in each look.
    """
    degradation, said = Degradation(), []
    at, stalled = 0.0, 0
    for seconds, connections, behind, cut_off in phases:
        for _ in range(int(seconds / LOOK_SECONDS)):
            at += LOOK_SECONDS
            stalled += cut_off
            change = degradation.add(Sample(at, connections, behind, stalled))
            if change is not None:
                said.append((at, change))
    return said


def test_it_is_told_after_the_whole_window_and_once() -> None:
    assert told((60, 1000, 51, 0)) == [(LOOK_SECONDS + WINDOW_SECONDS, "degraded")]


@pytest.mark.parametrize(
    ("connections", "behind"),
    [(1000, 50), (30, LEAST - 1), (10_000, 500), (0, 0)],
)
def test_a_few_are_single_people(connections: int, behind: int) -> None:
    assert told((60, connections, behind, 0)) == []


def test_a_short_burst_is_nothing() -> None:
    assert told((20, 1000, 0, 0), (8, 1000, 900, 0), (20, 1000, 0, 0)) == []


def test_those_cut_off_count() -> None:
    ((at, change),) = told((20, 1000, 0, 0), (8, 1000, 0, 20), (2, 1000, 0, 0))
    assert (at, change) == (26.0, "degraded")


def test_it_is_over_when_it_was_less_for_as_long() -> None:
    said = told((20, 1000, 100, 0), (30, 1000, 50, 0))
    assert [change for _, change in said] == ["degraded", "recovered"]
    assert said[1][0] == 20 + WINDOW_SECONDS + LOOK_SECONDS


def test_not_more_than_once_in_five_minutes() -> None:
    bad, good = (20, 1000, 100, 0), (20, 1000, 0, 0)
    said = told(*[bad, good] * 20)
    times = [at for at, change in said if change == "degraded"]
    assert len(times) > 1
    assert all(b - a >= AGAIN_SECONDS for a, b in pairwise(times))
    assert [change for _, change in said[:2]] == ["degraded", "recovered"]


@given(
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 200), st.integers(0, 20)),
        max_size=400,
    )
)
def test_the_rule(looks: list[tuple[int, int, int]]) -> None:
    said = told(*[(LOOK_SECONDS, *each) for each in looks])

    # In turn, and each "degraded" has a window behind it that was bad throughout.
    assert [change for _, change in said] == (["degraded", "recovered"] * 400)[
        : len(said)
    ]
    for at, change in said:
        last = int(at / LOOK_SECONDS)
        first = last - int(WINDOW_SECONDS / LOOK_SECONDS) - 1
        window = looks[first:last]
        cut_off = sum(each[2] for each in window[1:])
        extreme = min if change == "degraded" else max
        affected = extreme(each[1] for each in window) + cut_off
        much = affected >= LEAST and affected > PART * (window[-1][0] + cut_off)
        assert much is (change == "degraded")


@pytest.mark.django_db(transaction=True)
async def test_who_wants_to_be_told_is_told(
    chat: Engine,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0

    async def look(running: Engine) -> Seen:
        nonlocal looks
        looks += 1
        seen = Seen(running, connections_behind=60 if looks < 20 else 0)
        seen.connections[Mode.V1] = 1000
        return seen

    # Two seconds of the watch are a millisecond here.
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() * 2000)
    monkeypatch.setattr(connections_watch, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(connections_watch, "look", look)
    monkeypatch.setattr(connections_watch, "time", clock)
    watch = ConnectionsWatch(3)
    watch.start()
    await asyncio.sleep(0.06)  # two minutes to the watch
    assert looks == 0  # nobody wants to know

    events = ["connections.degraded", "connections.recovered"]
    await in_thread(
        lambda: Destination.objects.create(
            name="pager", url="https://pager.example/", events=events
        )
    )
    count: Any = Delivery.objects.count
    for _ in range(2000):
        if await in_thread(count) == len(events):
            break
        await asyncio.sleep(0.01)
    assert watch._task is not None
    watch._task.cancel()

    bad, over = await in_thread(lambda: list(Delivery.objects.order_by("pk")))
    assert [bad.event, over.event] == events
    assert bad.payload == {
        "process": 3,
        "connections": 1000,
        "behind": 60,
        "cut_off": 0,
    }
    assert (over.payload["behind"], over.order_key) == (0, bad.order_key)
