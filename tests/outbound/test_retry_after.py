"""Every form of `Retry-After`, on a clock that stands still."""

from __future__ import annotations

import math
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.outbound.retry_after import MAX_SECONDS, retry_after_seconds

NOW = 784_111_717.0  # a minute before the date of RFC 9110, section 5.6.7


@pytest.mark.parametrize(
    "date",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_the_three_dates_of_the_rfc(date: str) -> None:
    assert retry_after_seconds([date], NOW) == 60


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        ([], None),
        (["0"], 0),
        (["120"], 120),
        (["\t120 "], 120),
        (["00120"], 120),
        (["86401"], MAX_SECONDS),
        (["9" * 5000], MAX_SECONDS),
        (["3", "30", "7"], 30),
        (["garbage", "30"], 30),
        (["-1"], None),
        (["+5"], None),
        (["1e3"], None),
        (["0x10"], None),
        (["5.5"], None),
        (["٣"], None),  # a digit of another script
        (["²"], None),
        (["5;q=1"], None),
        (["inf"], None),
        (["nan"], None),
        (["Sun, 06 Nov 1994 08:49:37 CET"], None),
        (["Sun, 31 Feb 1994 08:49:37 GMT"], None),
        (["Sun, 06 Nov 1994 25:49:37 GMT"], None),
        (["Sun, 06 Nov 0000 08:49:37 GMT"], None),
        (["Sun, 06 Nov 1994 08:48:60 GMT"], 22),  # a leap second
        (["Sun, 06 Nov 1994 08:00:00 GMT"], 0),
        (["Sun, 06 Nov 2094 08:49:37 GMT"], MAX_SECONDS),
        (["Fri, 31 Dec 9999 23:59:59 GMT"], MAX_SECONDS),
        # More than 50 years ahead, so it is that long ago.
        (["Sunday, 06-Nov-45 08:49:37 GMT"], 0),
        (["Sunday, 06-Nov-44 08:49:37 GMT"], MAX_SECONDS),
    ],
)
def test_each_form(values: list[str], seconds: float | None) -> None:
    assert retry_after_seconds(values, NOW) == seconds


@given(st.lists(st.text(max_size=40), max_size=4), st.floats(0, 4e9))
def test_whatever_is_said_the_wait_is_within_a_day(
    values: list[str], now: float
) -> None:
    found = retry_after_seconds(values, now)
    assert found is None or 0 <= found <= MAX_SECONDS


@given(st.integers(0, 4_000_000_000), st.integers(-100_000, 100_000))
def test_a_date_is_as_far_away_as_it_is(now: int, ahead: int) -> None:
    date = formatdate(now + ahead, usegmt=True)
    found = retry_after_seconds([date], float(now))
    assert found is not None
    assert math.isclose(found, min(max(0, ahead), MAX_SECONDS))
