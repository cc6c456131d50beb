"""Growing messages in the database, under the lock of their rooms.

A message's row has `open` in its details while it grows, and its text as it was saved
last. Beside it stands a `GrowingMessage`, its mark, by which a message is found whose
author's process has died. Marks are written and compared by the database's clock, as
those of hosts differ. `append` calls this; nothing here numbers an event.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models.functions import Now

from headgate.chat.entries import Digests, Ended, Grown, Known, Refused
from headgate.chat.models import Event, GrowingMessage
from headgate.chat.people import Actor
from headgate.chat.rows import EventRow
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.fields import State
from headgate.protocol.pushes import LogEvent, Message

__all__ = [
    "Growing",
    "GrowingRows",
    "Mark",
    "growing_at",
    "growing_from",
    "left_at",
    "marked_in",
    "old_marks",
    "same_end",
    "state_at",
]


@dataclass(frozen=True, slots=True)
class Growing:
    """A message that grows, as it is saved."""

    room_id: int
    seq: int
    author: Actor
    text: str
    details: dict[str, Any] | None


class Mark(NamedTuple):
    """When the author of a growing message was heard of last."""

    room_id: int
    seq: int
    alive_at: datetime


def growing_at(room_id: int, seq: int) -> Growing | None:
    """Return the growing message with a seq, or None where there is none."""
    message = Event.objects.filter(room_id=room_id, seq=seq, kind="message").first()
    if message is None or not (message.details or {}).get("open"):
        return None
    author = Actor(message.author_key, message.author_name)
    return Growing(room_id, seq, author, message.text, message.details)


def growing_from(room_id: int, author: Actor, push: LogEvent) -> Growing | None:
    """Return the growing message that a push has just begun, if it has."""
    if not isinstance(push, Message) or not push.open:
        return None
    details: dict[str, Any] = {}
    if push.format != "plain":
        details["format"] = push.format
    if push.data is not None:
        details["data"] = push.data
    return Growing(room_id, push.seq, author, push.text, details)


def same_end(
    room_id: int, seq: int, author: Actor, state: State, at: int, text: str
) -> Known | None:
    """Return how a message has ended if its author asks for the same end again.

    That is the same state, and the same text from an offset on. Where something else
    was saved than the author gave, it is a whole text of the same length: what stands
    before the offset is not known any more.
    """
    edits = Event.objects.filter(room_id=room_id, target=seq, kind=Event.Kind.EDITED)
    first = edits.order_by("seq").first()  # nothing is edited while it grows
    if first is None or first.author_key != author.key:
        return None
    if (first.details or {}).get("state") != state:
        return None
    if first.digest is None:
        is_same = at <= len(first.text) and first.text[at:] == text
    else:
        is_same = Digests().match_length(at + len(text), bytes(first.digest))
    return Known(first.seq, first.at) if is_same else None


def state_at(room_id: int, seq: int) -> State:
    """Return how a message has ended that does not grow any more."""
    rows = Event.objects.filter(room_id=room_id, seq=seq, deleted_seq=None)
    for details in rows.values_list("details", flat=True):
        state: State = (details or {}).get("state", "done")
        return state
    return "cancelled"  # deleted, with its text or its room


def old_marks(seconds: float, limit: int) -> list[Mark]:
    """Return marks that are older than that, the oldest first."""
    before = Now() - timedelta(seconds=seconds)
    marks = GrowingMessage.objects.filter(alive_at__lt=before).order_by("alive_at")
    return [Mark(*mark) for mark in marks.values_list(*Mark._fields)[:limit]]


def marked_in(room_ids: Iterable[int]) -> set[tuple[int, int]]:
    """Return the messages that grow in some rooms, by room and seq."""
    marks = GrowingMessage.objects.filter(room_id__in=list(room_ids))
    return set(marks.values_list("room_id", "seq"))


def left_at(marks: Iterable[Mark]) -> list[tuple[str, Growing, Mark]]:
    """Return the growing messages of marks, with their rooms' slugs.

    One that has ended and is marked still is among them, without a text.
    """
    found = []
    for mark in marks:
        rows = GrowingMessage.objects.filter(room_id=mark.room_id, seq=mark.seq)
        for slug, author_key in rows.values_list("room__slug", "author_key"):
            over = Growing(mark.room_id, mark.seq, Actor(author_key, ""), "", None)
            growing = growing_at(mark.room_id, mark.seq) or over
            found.append((slug, growing, mark))
    return found


class GrowingRows:
    """What one transaction does to growing messages.

    Args:
        using: The alias of the database.
        now: The time of the transaction.
    """

    def __init__(self, using: str, now: datetime) -> None:
        self._using = using
        self._now = now

    def opened(self, rows: Iterable[EventRow]) -> None:
        """Note those of new events that are messages which grow."""
        opened = [
            GrowingMessage(
                room_id=row.room_id,
                seq=row.seq,
                author_key=row.author_key,
                alive_at=Now(),
            )
            for row in rows
            if row.details is not None and row.details.get("open")
        ]
        if opened:
            GrowingMessage.objects.using(self._using).bulk_create(opened)

    def find(self, room_id: int, seq: int) -> Event | None:
        """Return a message that grows, or None where there is none."""
        message = self._events(room_id).filter(seq=seq, kind="message").first()
        is_open = message is not None and (message.details or {}).get("open")
        return message if is_open else None

    def save(self, grown: Grown) -> Known | Refused:
        """Keep what a text is by now, and that its author is there."""
        message = self.find(grown.room_id, grown.seq)
        if message is None or message.author_key != grown.actor.key:
            return Refused(error(Code.NOT_GROWING))
        # Only ever longer: another process may have saved more of it.
        if grown.text is not None and len(grown.text) > len(message.text):
            events = self._events(grown.room_id)
            events.filter(seq=grown.seq).update(text=grown.text)
        self._marks(grown.room_id, grown.seq).update(alive_at=Now())
        return Known(grown.seq, self._now)

    def is_marked_since(self, ended: Ended, alive_at: datetime) -> bool:
        """Return whether an author was heard of since a mark of theirs."""
        marks = self._marks(ended.room_id, ended.seq)
        # Not by SQL: SQLite writes one time in more than one way.
        return any(at != alive_at for at in marks.values_list("alive_at", flat=True))

    def end(self, message: Event, text: str, state: State) -> dict[str, Any]:
        """Write a message as it has ended, and return the details of that event."""
        details = {k: v for k, v in (message.details or {}).items() if k != "open"}
        told = {k: v for k, v in details.items() if k in {"format", "data"}}
        if state != "done":
            details["state"] = state
        events = self._events(message.room_id)
        events.filter(seq=message.seq).update(text=text, details=details or None)
        self.forget(message.room_id, message.seq)
        return told | {"state": state}

    def forget(self, room_id: int, seq: int) -> None:
        """Note that a message grows no more, if it did."""
        self._marks(room_id, seq).delete()

    def _events(self, room_id: int) -> Any:
        return Event.objects.using(self._using).filter(room_id=room_id)

    def _marks(self, room_id: int, seq: int) -> Any:
        marks = GrowingMessage.objects.using(self._using)
        return marks.filter(room_id=room_id, seq=seq)
