"""Messages that grow: a line each once they have ended, and what there is until then.

Somebody who reads lines wants each message once. What has grown and ended before it was
seen comes whole, and its end after it, which then says nothing new.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from headgate.client import Push
from headgate.protocol.pushes import Author, Deleted, Edited, Message, Partial, Reset

__all__ = ["GrowingLine", "GrowingLines"]

_REMEMBERED = 256  # that grow at the same time, the newest


@dataclass(slots=True)
class GrowingLine:
    """A message that grows, and what there is of it."""

    author: Author
    text: str


class GrowingLines:
    """The messages of a room that grow now."""

    def __init__(self) -> None:
        self._open: OrderedDict[int, GrowingLine] = OrderedDict()
        self._first_seq: int | None = None  # of the messages that were seen

    def take(self, push: Push) -> bool:
        """Take in a push; return whether there is something to show of it now."""
        match push:
            case Message():
                if self._first_seq is None:
                    self._first_seq = push.seq
                if push.open:
                    self._open[push.seq] = GrowingLine(push.author, push.text)
                    if len(self._open) > _REMEMBERED:
                        self._open.popitem(last=False)
                return not push.open
            case Partial():
                line = self._open.get(push.seq)
                if line is not None:
                    line.text = line.text[: push.at] + push.text
                return False
            case Edited(state=state) if state is not None:
                was_open = self._open.pop(push.target, None) is not None
                first_seq = self._first_seq
                return was_open or first_seq is None or push.target < first_seq
            case Deleted():
                self._open.pop(push.target, None)
            case Reset():
                self._open.clear()
                self._first_seq = None
        return True

    def newest(self, count: int) -> list[GrowingLine]:
        """Return the newest that grow, in the order in which they began."""
        return list(self._open.values())[-count:]
