"""`Retry-After` of an answer: how long a service asks to be left alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

__all__ = ["MAX_SECONDS", "retry_after_seconds"]

MAX_SECONDS = 86_400.0  # a service that asks for more is asked again after a day

_DIGITS = 12  # of a number; a longer one is past the cap anyhow
_CENTURY = 100
_AHEAD_YEARS = 50  # a year of two digits is no further ahead (RFC 9110, 5.6.7)

_MONTHS = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
_DAY = "(?P<day>[ 0-9][0-9])"
_MONTH = "(?P<month>" + "|".join(_MONTHS) + ")"
_YEAR = "(?P<year>[0-9]{4})"
_TIME = "(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
# The three forms of RFC 9110, section 5.6.7: the preferred one, RFC 850, asctime.
_FORMS = tuple(
    re.compile(form).fullmatch
    for form in (
        f"[A-Z][a-z]{{2}}, {_DAY} {_MONTH} {_YEAR} {_TIME} GMT",
        f"[A-Z][a-z]{{5,8}}, {_DAY}-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        f"[A-Z][a-z]{{2}} {_MONTH} {_DAY} {_TIME} {_YEAR}",
    )
)


def retry_after_seconds(values: Iterable[str], now: float) -> float | None:
    """Return how long to wait, from 0 to a day, or None where nothing was understood.

    Args:
        values: Those of the field. Where it came more than once, the longest counts.
        now: Seconds since 1970.
    """
    found = (_seconds(value.strip(" \t"), now) for value in values)
    understood = [seconds for seconds in found if seconds is not None]
    return min(max(understood), MAX_SECONDS) if understood else None


def _seconds(value: str, now: float) -> float | None:
    if value.isascii() and value.isdecimal():
        return float(value[:_DIGITS]) if len(value) <= _DIGITS else MAX_SECONDS
    at = _date(value, now)
    return None if at is None else max(0.0, at - now)


def _date(value: str, now: float) -> float | None:
    """Return the seconds since 1970 of a date in one of the three forms."""
    parts = next((found for form in _FORMS if (found := form(value))), None)
    if parts is None:
        return None
    year = int(parts["year"])
    if len(parts["year"]) == 2:  # noqa: PLR2004 - RFC 850's
        latest = datetime.fromtimestamp(now, UTC).year + _AHEAD_YEARS
        year = latest - (latest - year) % _CENTURY
    try:
        return datetime(
            year,
            _MONTHS.index(parts["month"]) + 1,
            int(parts["day"]),
            int(parts["hour"]),
            int(parts["minute"]),
            min(int(parts["second"]), 59),  # 60 is a leap second
            tzinfo=UTC,
        ).timestamp()
    except ValueError:  # 31 February
        return None
