"""Reading what was noted about people's access, each notice once.

On PostgreSQL a notice gets its id before its transaction commits, so a lower id may
be seen after a higher one. What is missing below the highest id is asked for again,
for as long as notices are kept.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

from headgate.chat.models import AccessChange

__all__ = [
    "KEPT_SECONDS",
    "MISSED_AFTER_SECONDS",
    "PAGE",
    "Notice",
    "Notices",
]

KEPT_SECONDS = 15 * 60.0  # longer than any ticket lives
MISSED_AFTER_SECONDS = KEPT_SECONDS - 60.0  # without a look
PAGE = 1000  # notices read at once
MAX_GAPS = 100  # past it the oldest are given up: they were waited for the longest


@dataclass(frozen=True, slots=True)
class Notice:
    """What was noted: an `AccessChange` without its id and time."""

    what: str
    author_key: str = ""
    room_id: int | None = None
    session: str = ""


@dataclass(frozen=True, slots=True)
class _Gap:
    """Ids that were not there, up to and including both, and until when they count."""

    first: int
    last: int
    until: float


class Notices:
    """The notices of one database, as one process sees them. Used on one thread.

    A new one begins with all that are kept: somebody may have come in by what they
    end, a moment before.
    """

    def __init__(self) -> None:
        self._highest = 0
        self._gaps: list[_Gap] = []

    def look(self) -> list[Notice]:
        """Return the next notices in their order, at most `PAGE`; asks the database."""
        now = time.monotonic()
        wanted = Q(pk__gt=self._highest)
        self._gaps = [gap for gap in self._gaps if gap.until > now][-MAX_GAPS:]
        for gap in self._gaps:
            wanted |= Q(pk__range=(gap.first, gap.last))
        rows = AccessChange.objects.filter(wanted).order_by("pk")
        found = rows.values_list("pk", "what", "author_key", "room_id", "session")
        page = list(found[:PAGE])
        self._saw((row[0] for row in page), now)
        return [Notice(*row[1:]) for row in page]

    def missed(self, unseen_seconds: float) -> bool:
        """Return whether some may have come and gone, when nobody looked for a time.

        Also where the database is another one: when a server has taken over from one
        that failed, ids may be given out a second time.
        """
        rows = AccessChange.objects.order_by("-pk").values_list("pk", flat=True)
        newest = rows.first() or 0  # the newest is never deleted for its age
        if newest < self._highest:
            self._highest = newest
            self._gaps.clear()
            return True
        return unseen_seconds > MISSED_AFTER_SECONDS

    def _saw(self, ids: Iterable[int], now: float) -> None:
        """Note which ids were there, ascending, and which were not."""
        for found in ids:
            if found > self._highest:
                if found > self._highest + 1:
                    until = now + KEPT_SECONDS
                    self._gaps.append(_Gap(self._highest + 1, found - 1, until))
                self._highest = found
            else:
                self._gaps = [
                    part for gap in self._gaps for part in _without(gap, found)
                ]


def _without(gap: _Gap, found: int) -> list[_Gap]:
    """Return what is left of a gap when one of its ids was found."""
    if not gap.first <= found <= gap.last:
        return [gap]
    parts = [
        _Gap(gap.first, found - 1, gap.until),
        _Gap(found + 1, gap.last, gap.until),
    ]
    return [part for part in parts if part.first <= part.last]
