"""Bounds of delivery that are small, so that a short program reaches them.

They stand to each other about as the real ones do; and time is the loop's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from headgate.live import feeder, hub, pages, room, run, scheduler, tail
from tests.live.jumping_loop import jumping_loop

__all__ = ["EPOCH", "small_bounds"]

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)  # when a loop's time is 0

_BOUNDS: list[tuple[Any, str, int]] = [
    (scheduler, "SLICE_WRITES", 6),
    (room, "_AT_ONCE", 2),
    (run, "RUN_MAX_BYTES", 400),
    (tail, "KEPT_EVENTS", 4),
    (tail, "KEPT_BYTES", 1500),
    (run, "EVENT_BYTES", 20),
    (pages, "PAGE_EVENTS", 4),
    (pages, "PAGE_MAX_BYTES", 600),
    (pages, "KEPT_MAX_BYTES", 8000),
    (hub, "PAGE_EVENTS", 4),
    (hub, "PAGE_MAX_BYTES", 600),
    (hub, "MOST_HELD", 4),
    (hub, "TAILS_MAX_BYTES", 2000),
    (feeder, "WINDOW_EVENTS", 5),
]


@contextmanager
def small_bounds() -> Iterator[None]:
    """Make each bound small, and time that of the loop."""
    now = SimpleNamespace(time=lambda: EPOCH.timestamp() + jumping_loop().time())
    with pytest.MonkeyPatch.context() as patch:
        for where, name, bound in _BOUNDS:
            patch.setattr(where, name, bound)
        patch.setattr(scheduler, "_clock", lambda: jumping_loop().time())
        patch.setattr(feeder, "time", now)
        yield
