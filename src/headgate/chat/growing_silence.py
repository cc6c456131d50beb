"""Which growing messages are silent, as this process has seen with its own eyes.

A mark says, by the database's clock, when a message's author was heard of last. One
that is old need not be abandoned: the database may have been away, for the author's
process too, or its clock was set. So it also has to stand still while this process
looks, by this process's own clock: for longer than authors who are there, and can
write, leave it.
"""

from __future__ import annotations

from collections.abc import Sequence

from headgate.chat.growing_rows import Mark

__all__ = ["LOOK_SECONDS", "MOST_MARKS", "OLD_SECONDS", "STILL_SECONDS", "Silence"]

# How old a mark is that is watched, and for how long it then stands still: 30 s, and
# each is more than the 10 s between two marks of an author who is there.
OLD_SECONDS = 15.0
STILL_SECONDS = 15.0
LOOK_SECONDS = 5.0  # between two looks at the marks
MOST_MARKS = 1000  # that are watched, the oldest


class Silence:
    """Watches old marks, from look to look."""

    def __init__(self) -> None:
        # By message: its mark, and when this process has seen it first.
        self._seen: dict[tuple[int, int], tuple[Mark, float]] = {}
        self._looked_at = 0.0

    def look(self, marks: Sequence[Mark], now: float) -> None:
        """Take the marks that are old by now; those that are no more are forgotten."""
        if now - self._looked_at > 2 * LOOK_SECONDS:
            self.forget()  # the database was away, or this process did not run
        self._looked_at = now
        known, self._seen = self._seen, {}
        for mark in marks:
            key = mark.room_id, mark.seq
            was, since = known.get(key, (mark, now))
            self._seen[key] = mark, since if was == mark else now

    def take_due(self, now: float, limit: int) -> list[Mark]:
        """Return those that have stood still for long; they are watched anew.

        So one that cannot be ended just now is tried again later, after others.
        """
        due = [
            mark for mark, since in self._seen.values() if now - since >= STILL_SECONDS
        ]
        due = due[:limit]
        for mark in due:
            del self._seen[mark.room_id, mark.seq]
        return due

    def forget(self) -> None:
        """Begin anew: what was not looked at may have moved."""
        self._seen.clear()
