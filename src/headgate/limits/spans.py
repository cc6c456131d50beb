"""Spans of time in words for people: `5 s`, `2 min 5 s`, `3 h 20 min`."""

from __future__ import annotations

__all__ = ["in_words"]

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))


def in_words(seconds: float) -> str:
    """Return a time in its two greatest units, in whole seconds from 1 on."""
    left = max(round(seconds), int(seconds > 0))
    told = []
    for unit, size_seconds in _UNITS:
        number, left = divmod(left, size_seconds)
        if number:
            told.append(f"{number} {unit}")
    return " ".join(told[:2]) or "0 s"
