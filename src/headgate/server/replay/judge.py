"""What a Headgate server's payload is, and whether it is what was sent.

All watchers of a room get the same bytes, so a payload is decoded and compared with
the text of its row once, and found again by its bytes after that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

__all__ = ["OTHER", "Answer", "Event", "Judge", "Refusal"]

OTHER = -1  # the row of an event that is not, or not rightly, a message of this run
_DURABLE = frozenset({"message", "edited", "deleted", "reacted", "membership"})


class Event(NamedTuple):
    """A place in the room's log, and the row that was rightly found there."""

    seq: int
    row: int


class Refusal(msgspec.Struct):
    """Why a command was not carried out."""

    code: str = ""
    text: str = ""
    retry_after_ms: int | None = None


class State(msgspec.Struct):
    """A room in `welcome`."""

    head: int | None = None
    epoch: str | None = None
    error: Refusal | None = None


class Logged(msgspec.Struct):
    """A message in a page of history."""

    seq: int
    client_id: str | None = None
    text: str = ""


class Answer(msgspec.Struct):
    """Whatever a server says, with the fields that matter to this program."""

    push: str | None = None
    reply: int | None = None
    error: Refusal | None = None
    room: str | None = None
    seq: int | None = None
    client_id: str | None = None
    text: str = ""
    head: int | None = None
    epoch: str | None = None
    guest: str | None = None
    rooms: dict[str, State] = {}
    messages: list[Logged] | None = None
    from_: int = msgspec.field(name="from", default=0)
    to: int = 0
    reconnect_in_ms: int = 0


class Judge:
    """Decides about payloads, for all watchers of one room.

    Attributes:
        row_at: For each seq the row that was first seen there.
        altered: Rows that came with another text than was sent.
    """

    def __init__(self, room: str, run: str, texts: list[str]) -> None:
        self.room = room
        self.row_at: dict[int, int] = {}
        self.altered: set[int] = set()
        self._prefix = f"{run}-"
        self._texts = texts
        self._events: dict[bytes, Event] = {}
        self._decode: Any = msgspec.json.Decoder(Answer).decode

    def read(self, payload: bytes) -> Event | Answer | None:
        """Return an event of the room, something else, or None if it is unreadable."""
        event = self._events.get(payload)
        if event is not None:
            return event
        try:
            answer: Answer = self._decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if (
            answer.push not in _DURABLE
            or answer.seq is None
            or answer.room != self.room
        ):
            return answer
        row = OTHER
        if answer.push == "message":
            row = self.row_of(answer.client_id, answer.text)
        event = Event(answer.seq, row)
        self.row_at.setdefault(event.seq, row)
        self._events[payload] = event
        return event

    def row_of(self, client_id: str | None, text: str) -> int:
        """Return whose message this is, if its text is the one that was sent."""
        if client_id is None or not client_id.startswith(self._prefix):
            return OTHER
        number = client_id.rpartition("-")[2]
        row = int(number) if number.isascii() and number.isdigit() else OTHER
        if not 0 <= row < len(self._texts):
            return OTHER
        if self._texts[row] != text:
            self.altered.add(row)
            return OTHER
        return row
