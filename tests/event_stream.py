"""Reading server-sent events, as the HTML standard says it, for tests.

Nothing of the server's own code: what a browser would make of the bytes.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass
from typing import Any

__all__ = ["Event", "EventParser"]

# A line ends with CRLF, LF or CR; a CR at the end may be the first half of a CRLF.
_line_end = re.compile(r"\r\n|\n|\r(?!\Z)").search


@dataclass(frozen=True, slots=True)
class Event:
    """An event that was dispatched; with `last_id` a browser would come back."""

    name: str
    data: str
    last_id: str

    @property
    def said(self) -> dict[str, Any]:
        """The JSON of its data."""
        said: dict[str, Any] = json.loads(self.data)
        return said


class EventParser:
    """Takes bytes as they come, and gives the events that are complete.

    Attributes:
        last_id: The last event ID, which a browser presents when it comes back.
        retry_ms: When to come back, if it was said.
        comments: The comments that came.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        self.comments: list[str] = []
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("strict").decode
        self._rest = ""
        self._name = ""
        self._data: list[str] = []
        self._id = last_id

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that are complete with these bytes."""
        self._rest += self._decode(data)
        found = []
        while (end := _line_end(self._rest)) is not None:
            line = self._rest[: end.start()]
            self._rest = self._rest[end.end() :]
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                found.append(event)
        return found

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)

    def _dispatch(self) -> Event | None:
        self.last_id = self._id
        name, data = self._name, self._data
        self._name, self._data = "", []
        if not data:
            return None
        return Event(name or "message", "\n".join(data), self.last_id)
