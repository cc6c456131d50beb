from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.limits.rates import Rate
from headgate.live.pace import Pace, chosen, slower
from headgate.protocol.pushes import Gap, LogEvent, Membership
from tests.live.parts import AT, GUS, deletion, message

NOW = datetime.fromisoformat(AT).timestamp()

rates = st.builds(
    Rate, st.integers(1, 50), st.sampled_from([0.1, 1.0, 60.0]), st.integers(1, 40)
)


# --- how many ---


@given(
    rates,
    st.lists(
        st.tuples(st.floats(0, 5), st.integers(1, 60), st.integers(0, 3)), max_size=60
    ),
)
def test_never_more_than_the_burst_and_the_rate(
    rate: Rate, steps: list[tuple[float, int, int]]
) -> None:
    """Over any interval, and however many are spared."""
    now, pace = 1000.0, Pace(rate, 1000.0)
    sent: list[tuple[float, int]] = []
    for passes, waiting, spared in steps:
        now += passes
        most = pace.allowed(waiting, now)
        assert 0 <= most <= min(waiting, rate.burst)
        count = max(most - spared, 0)
        if most:
            pace.took(count, all_of_it=most == waiting)
            sent.append((now, count))
    for begin in range(len(sent)):
        total = 0
        for at, count in sent[begin:]:
            total += count
            grown = (at - sent[begin][0]) * rate.count / rate.period_seconds
            assert total <= rate.burst + grown + 1e-5


@given(rates, st.integers(1, 100))
def test_waiting_out_what_it_says_is_enough(rate: Rate, waiting: int) -> None:
    now = 1000.0
    pace = Pace(rate, now)
    for _ in range(5):
        most = pace.allowed(waiting, now)
        if not most:
            now += pace.wait_seconds(now) + 1e-9
            most = pace.allowed(waiting, now)
        assert most > 0
        pace.took(most, all_of_it=most == waiting)


def test_a_slow_reader_of_a_slow_room_gets_all_at_once() -> None:
    pace = Pace(Rate(1, 1.0, 3), 0.0)
    for now in range(1, 20):
        assert pace.allowed(1, now) == 1
        pace.took(1, all_of_it=True)


def test_after_a_flood_it_rests_until_half_of_the_burst_is_there() -> None:
    pace = Pace(Rate(10, 1.0, 8), 0.0)
    assert pace.allowed(100, 0.0) == 8
    pace.took(8, all_of_it=False)

    assert pace.allowed(100, 0.1) == 0
    assert pace.wait_seconds(0.1) == pytest.approx(0.3)
    assert pace.allowed(100, 0.39) == 0
    assert pace.allowed(100, 0.41) == 4


def test_after_a_flood_what_is_little_goes_out_all_the_same() -> None:
    pace = Pace(Rate(10, 1.0, 8), 0.0)
    pace.allowed(100, 0.0)
    pace.took(8, all_of_it=False)

    assert pace.allowed(1, 0.11) == 1


def test_a_clock_that_goes_back_gives_nothing() -> None:
    pace = Pace(Rate(10, 1.0, 2), 100.0)
    pace.took(2, all_of_it=False)

    assert pace.allowed(5, 0.0) == 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (None, None, None),
        ("5/s", None, "5/s"),
        (None, "5/s", "5/s"),
        ("5/s", "2/s", "2/s"),
        ("2/s", "5/s", "2/s"),
        ("100/min", "2/s", "100/min"),
        ("5/s:100", "6/s:1", "5/s:100"),
    ],
)
def test_the_slower_of_two(
    first: str | None, second: str | None, expected: str | None
) -> None:
    rates = [None if each is None else Rate.parse(each) for each in (first, second)]

    assert slower(*rates) == (None if expected is None else Rate.parse(expected))


# --- which ---


def choose(events: Sequence[LogEvent], most: int, after: int = 0, **more: Any) -> Any:
    """Return what is sent: a seq for an event, a pair for a gap."""
    to = events[-1].seq
    said = chosen(events, most, **({"after": after, "to": to, "now": NOW} | more))
    return [
        (each.from_, each.to) if isinstance(each, Gap) else each.seq for each in said
    ]


def run(*priorities: str, first: int = 1) -> list[LogEvent]:
    return [
        message(1, first + number, priority=priority)
        for number, priority in enumerate(priorities)
    ]


N3 = ("normal",) * 3


@pytest.mark.parametrize(
    ("events", "most", "expected"),
    [
        (run(*N3), 3, [1, 2, 3]),
        (run(*N3), 9, [1, 2, 3]),
        (run(*N3), 2, [(1, 1), 2, 3]),
        (run(*N3), 1, [(1, 2), 3]),
        (run("high", *N3), 2, [1, (2, 3), 4]),
        (run("high", *N3, "high"), 2, [1, (2, 4), 5]),
        (run("normal", "low", "low"), 1, [1, (2, 3)]),
        (run("low", "low", "normal", "low"), 2, [(1, 2), 3, 4]),
        (run("low", "high", "low", "normal", "low"), 2, [(1, 1), 2, (3, 3), 4, (5, 5)]),
    ],
)
def test_the_important_first_then_the_newest(
    events: list[LogEvent], most: int, expected: list[Any]
) -> None:
    assert choose(events, most) == expected


def test_what_changes_peoples_standing_is_important() -> None:
    member = Membership(
        room="room-1", seq=1, member=GUS, change="muted", author=GUS, at=AT
    )
    assert choose([member, *run(*N3, first=2)], 1) == [1, (2, 4)]


def test_changes_of_messages_are_as_messages_are() -> None:
    assert choose([*run("low"), deletion(1, 2, 1)], 1) == [(1, 1), 2]


def test_what_has_expired_is_spared() -> None:
    gone = message(1, 2, priority="high", expires_in_ms=1000)
    events = [message(1, 1), gone, message(1, 3)]

    assert choose(events, 3, now=NOW + 0.9) == [1, 2, 3]
    assert choose(events, 3, now=NOW + 1.0) == [1, (2, 2), 3]
    assert choose(events, 1, now=NOW + 0.9) == [(1, 1), 2, (3, 3)]
    assert choose(events, 1, now=NOW + 1.0) == [(1, 2), 3]


def test_what_came_before_the_window_is_in_the_first_gap() -> None:
    assert choose(run(*N3, first=100), 2, after=7) == [(8, 100), 101, 102]
    assert choose(run(*N3, first=100), 3, after=100) == [101, 102]
    assert choose(run(*N3, first=100), 0, after=7) == [(8, 102)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["low", "normal", "high"]),
            st.sampled_from([None, 100, 5000]),
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(0, 40),
    st.integers(0, 10),
)
def test_sent_and_told_is_everything_once_and_in_order(
    kinds: list[tuple[str, int | None]], most: int, before: int
) -> None:
    events: list[LogEvent] = [
        message(1, before + 1 + number, priority=priority, expires_in_ms=expires)
        for number, (priority, expires) in enumerate(kinds)
    ]
    said = choose(events, most, now=NOW + 1)
    sent = [each for each in said if isinstance(each, int)]
    covered: list[int] = []
    for each in said:
        covered += [each] if isinstance(each, int) else range(each[0], each[1] + 1)

    assert covered == list(range(1, events[-1].seq + 1))
    assert len(sent) <= most
    gaps = [isinstance(each, tuple) for each in said]
    assert not any(a and b for a, b in pairwise(gaps))
    # Whatever was left out is of less use than all that was sent.
    rank = {"low": 0, "normal": 1, "high": 2}
    use = {
        before + 1 + number: (-1 if expires == 100 else rank[priority])
        for number, (priority, expires) in enumerate(kinds)
    }
    left = [use[seq] for seq in use if seq not in sent and use[seq] >= 0]
    assert all(use[seq] >= 0 for seq in sent)
    if sent and left and len(sent) == most:
        assert min(use[seq] for seq in sent) >= max(left)
    elif len(sent) < most:
        assert not left
