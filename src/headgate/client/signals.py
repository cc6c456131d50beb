"""Typing and read marks: what may be left out, and so is never queued.

Of typing the latest counts, and only now: it is throttled, and dropped without a
connection. Of read marks the latest counts, too, but it counts until it is saved: they
are gathered for a moment, and sent once after a reconnection. Pure: the clock's time
is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.protocol.commands import Read, Typing

if TYPE_CHECKING:
    from headgate.client.pacing import Pacing

__all__ = ["Signals"]

TYPING_SECONDS = 3.0  # the same is not said again before; others forget it after 6 s
GATHER_SECONDS = 0.5  # a read mark waits so long for a later one
LONGEST_GATHER_SECONDS = 2.0  # and no longer than so, however many come


@dataclass(slots=True)
class _Mark:
    seq: int
    first_at: float
    due_at: float


@dataclass(frozen=True, slots=True)
class _Said:
    on: bool
    at: float


_NOTHING_SAID = _Said(on=False, at=0.0)


class Signals:
    """What one client has to say of typing and reading, in all rooms."""

    def __init__(self) -> None:
        self._typing: dict[str, bool] = {}  # to be said
        self._said: dict[str, _Said] = {}
        self._marks: dict[str, _Mark] = {}
        self._unanswered: dict[str, Read] = {}  # marks that have gone out

    # --- typing ---

    def typing(self, room: str, on: bool) -> None:  # noqa: FBT001 - like a switch
        """Say that one writes in a room, or no longer, as soon as it may be said."""
        self._typing[room] = on

    def sent_message(self, room: str) -> None:
        """Note that a message goes out, which says that the writing is over."""
        self._typing.pop(room, None)
        self._said.pop(room, None)

    def take_typing(self, now: float, pacing: Pacing) -> list[Typing]:
        """Return what is to be said now; what was just said is left out."""
        taken = []
        for room, on in list(self._typing.items()):
            command = Typing(room=room, typing=on)
            said = self._said.get(room, _NOTHING_SAID)
            is_known = said.on == on and (not on or now - said.at < TYPING_SECONDS)
            must_wait = pacing.wait(command, now).seconds > 0
            if must_wait and said.on != on:
                continue
            del self._typing[room]
            if not is_known and not must_wait:
                self._said[room] = _Said(on, now)
                taken.append(command)
        return taken

    # --- read marks ---

    def read(self, room: str, seq: int, now: float) -> None:
        """Move the mark of a room, in a moment."""
        mark = self._marks.get(room)
        if mark is None:
            self._marks[room] = _Mark(seq, now, now + GATHER_SECONDS)
            return
        mark.seq = seq
        mark.due_at = min(now + GATHER_SECONDS, mark.first_at + LONGEST_GATHER_SECONDS)

    def take_marks(self, now: float, may: Callable[[str], bool]) -> list[Read]:
        """Return the marks that are due, of rooms where marks may be moved now."""
        due = [
            Read(room=room, seq=mark.seq)
            for room, mark in self._marks.items()
            if mark.due_at <= now and may(room) and room not in self._unanswered
        ]
        for each in due:
            del self._marks[each.room]
            self._unanswered[each.room] = each
        return due

    def flush(self, room: str | None = None) -> list[Read]:
        """Return all marks at once, or that of one room: for the last moment."""
        rooms = list(self._marks) if room is None else [room]
        marks = [(each, self._marks.pop(each, None)) for each in rooms]
        return [Read(room=each, seq=mark.seq) for each, mark in marks if mark]

    def marked(self, mark: Read) -> None:
        """Note that the server has answered for good."""
        self._unanswered.pop(mark.room, None)

    def put_back(self, mark: Read, due_at: float) -> None:
        """Keep a mark for another time, unless there is a later one."""
        self.marked(mark)
        self._marks.setdefault(mark.room, _Mark(mark.seq, due_at, due_at))

    def forget(self, room: str) -> None:
        """Drop the mark of a room whose seqs mean something else now."""
        self._marks.pop(room, None)
        self._unanswered.pop(room, None)

    # --- when ---

    def next_at(
        self, now: float, pacing: Pacing, may: Callable[[str], bool]
    ) -> float | None:
        """Return when something is due, if nobody changes anything."""
        times = [
            mark.due_at
            for room, mark in self._marks.items()
            if may(room) and room not in self._unanswered
        ]
        for room, on in self._typing.items():
            wait = pacing.wait(Typing(room=room, typing=on), now).seconds
            times.append(now + wait)
        return min(times, default=None)

    def disconnected(self, now: float) -> None:
        """Drop what is about the moment, and keep the marks that had no answer."""
        self._typing.clear()
        self._said.clear()
        for mark in list(self._unanswered.values()):
            self.put_back(mark, now)
