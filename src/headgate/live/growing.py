"""The texts of a room's growing messages, for those who watch it in this process.

A text only ever gets longer. What is heard of it says from which offset on it is so,
and so may overlap, come twice, or come late. Those who watch are told what is new, and
whoever begins to watch is told all of it, once.
"""

from __future__ import annotations

from collections import deque

from headgate.protocol.pushes import Partial

__all__ = ["MOST_CHARACTERS", "MOST_TEXTS", "QUIET_SECONDS", "GrowingTexts"]

# Of one room; past it people see what is saved when they read it, and the end.
MOST_TEXTS = 32
MOST_CHARACTERS = 256 * 1024
# One of which nothing was heard for so long is forgotten; what comes then is read anew.
QUIET_SECONDS = 60.0
_MOST_ENDED = 64  # that are remembered, as something of them may still be on its way


class _Text:
    """One message: what it is by now, and how much of it has been sent."""

    __slots__ = ("heard_at", "room", "sent", "text")

    def __init__(self, room: str, text: str) -> None:
        self.room = room
        self.text = text
        self.sent = 0  # code points
        self.heard_at = 0.0


class GrowingTexts:
    """The growing messages of one room, by their seqs."""

    __slots__ = ("_characters", "_ended", "_texts")

    def __init__(self) -> None:
        self._texts: dict[int, _Text] = {}
        self._characters = 0
        self._ended: deque[int] = deque(maxlen=_MOST_ENDED)

    def take(self, partial: Partial, now: float) -> bool:
        """Take what a text is from an offset on; False where a part before is missing.

        What would be too much is left out.
        """
        seq, at = partial.seq, partial.at
        if seq in self._ended:
            return True
        known = self._texts.get(seq)
        had = 0 if known is None else len(known.text)
        if at > had:
            return False
        more = at + len(partial.text) - had
        if known is not None:
            known.heard_at = now
        if known is not None and more <= 0:
            return True  # it came late, or twice
        if self._characters + more > MOST_CHARACTERS:
            return True
        if known is None:
            if len(self._texts) >= MOST_TEXTS:
                return True
            known = self._texts[seq] = _Text(partial.room, "")
            known.heard_at = now
        known.text = known.text[:at] + partial.text
        self._characters += more
        return True

    def end(self, seq: int) -> None:
        """Forget a message that has ended; what still comes of it is nothing."""
        self._ended.append(seq)
        self._forget(seq)

    def forget_quiet(self, now: float) -> None:
        """Forget those of which nothing was heard for long."""
        for seq, known in list(self._texts.items()):
            if now - known.heard_at > QUIET_SECONDS:
                self._forget(seq)

    def text(self, seq: int) -> str | None:
        """Return what a message is by now, as far as is known here."""
        known = self._texts.get(seq)
        return None if known is None else known.text

    def is_due(self, to: int) -> bool:
        """Return whether something new is to be told of messages up to a seq."""
        return any(
            seq <= to and known.sent < len(known.text)
            for seq, known in self._texts.items()
        )

    def take_due(self, to: int) -> list[Partial]:
        """Return what is new of messages up to a seq, and count it as sent."""
        due = []
        for seq, known in self._texts.items():
            if seq <= to and known.sent < len(known.text):
                due.append(_partial(seq, known, known.sent))
                known.sent = len(known.text)
        return due

    def whole(self, first: int, to: int) -> list[Partial]:
        """Return all that is known of messages from one seq up to another."""
        return [
            _partial(seq, known, 0)
            for seq, known in self._texts.items()
            if first <= seq <= to and known.text
        ]

    def _forget(self, seq: int) -> None:
        known = self._texts.pop(seq, None)
        if known is not None:
            self._characters -= len(known.text)


def _partial(seq: int, known: _Text, at: int) -> Partial:
    return Partial(room=known.room, seq=seq, at=at, text=known.text[at:])
