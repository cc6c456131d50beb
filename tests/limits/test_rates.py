"""Rates as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.limits import Rate


@pytest.mark.parametrize(
    ("text", "count", "period", "burst"),
    [
        ("10/s", 10, 1, 10),
        ("60/min:20", 60, 60, 20),
        ("5/2s", 5, 2, 5),
        ("1000/day", 1000, 86_400, 1000),
        ("1/100ms", 1, 0.1, 1),
        ("3/h:1", 3, 3600, 1),
        (" 10 / S ".replace(" / ", "/"), 10, 1, 10),
        ("7/minute", 7, 60, 7),
        ("7/m", 7, 60, 7),
        ("1/second", 1, 1, 1),
        ("1/sec", 1, 1, 1),
        ("2/hour", 2, 3600, 2),
        ("2/d", 2, 86_400, 2),
        ("1000000/s", 1_000_000, 1, 1_000_000),
    ],
)
def test_what_is_read(text: str, count: int, period: float, burst: int) -> None:
    assert Rate.parse(text) == Rate(count, period, burst)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Write a number, a slash and a period"),
        ("10", "Write a number, a slash and a period"),
        ("10 per second", "Write a number, a slash and a period"),
        ("-1/s", "Write a number, a slash and a period"),
        ("1.5/s", "Write a number, a slash and a period"),
        ("10/s:", "Write a number, a slash and a period"),
        ("1/s/s", "Write a number, a slash and a period"),
        ("٣/s", "Write a number, a slash and a period"),
        ("10/sw", "Periods are ms, s, min, h and day"),
        ("10/week", "Periods are ms, s, min, h and day"),
        ("0/s", "lets nothing through"),
        ("1/0s", "lets nothing through"),
        ("1/s:0", "lets nothing through"),
        ("1000001/s", "more than one in a microsecond"),
        ("1/999999999999day", "no period of a rate"),
    ],
)
def test_what_is_not_read_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Rate.parse(text)


@pytest.mark.parametrize(
    "made",
    [
        (0, 1.0, 1),
        (1, 1.0, 0),
        (True, 1.0, 1),
        (1.0, 1.0, 1),
        (1, 0.0, 1),
        (1, -1.0, 1),
        (1, float("nan"), 1),
        (1, float("inf"), 1),
        (2000, 0.001, 1),
        (1, 0.0005, 1),
        (10**9, 1e9, 1),
    ],
)
def test_what_is_no_rate_cannot_be_made(made: Any) -> None:
    with pytest.raises(ValueError, match=r"rate|microsecond|milliseconds"):
        Rate(*made)


@given(
    count=st.integers(1, 1000),
    period_ms=st.integers(1, 10**9),
    burst=st.integers(1, 10**6),
)
def test_what_is_shown_is_what_is_read(count: int, period_ms: int, burst: int) -> None:
    rate = Rate(count, period_ms / 1000, burst)
    assert Rate.parse(str(rate)) == rate


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("60/60s", "60/min"),
        ("60/60s:20", "60/min:20"),
        ("1/24h", "1/day"),
        ("5/2000ms", "5/2s"),
        ("1/1500ms", "1/1500ms"),
        ("3/s:3", "3/s"),
    ],
)
def test_the_longest_unit_is_shown(text: str, shown: str) -> None:
    assert str(Rate.parse(text)) == shown


def test_the_interval_is_rounded_up_once() -> None:
    assert Rate.parse("3/s").interval_us == 333_334
    assert Rate.parse("10/s").interval_us == 100_000
    assert Rate.parse("1000000/s").interval_us == 1
    assert Rate.parse("1/day").interval_us == 86_400_000_000
