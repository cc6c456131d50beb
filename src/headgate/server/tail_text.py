"""What strangers wrote, made harmless for a terminal, and pushes told in words.

A text may hold whatever its author likes. On a terminal some of it would be obeyed:
escape sequences that move the cursor, rename the window or answer in the user's name,
and marks that turn the direction of what follows. Those are shown as what they are.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from headgate.client import Push, RoomLost, State, Status
from headgate.limits.spans import in_words
from headgate.protocol.pushes import (
    Author,
    Deleted,
    Edited,
    Membership,
    Message,
    Reset,
    RoomChanged,
)

__all__ = [
    "Line",
    "harmless",
    "in_short",
    "line_of",
    "notice_of",
    "state_in_words",
    "wait_in_words",
]

# Cc: controls, C1 among them; Cs: half of a pair; Zl, Zp: ends of lines for some.
_OBEYED = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e") | frozenset(
    "\u2066\u2067\u2068\u2069"
)
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SHORT_CHARACTERS = 40
_POLICIES = {
    "send": "the limit of this room",
    "send.all": "the limit of all rooms",
    "slow_mode": "slow mode",
    "command": "the limit of commands",
}


@dataclass(frozen=True, slots=True)
class Line:
    """What a push says to somebody who reads along; the texts are not harmless yet.

    `what` stands before the text where it is no plain message: `edited 12`.
    """

    at: str
    author: Author
    what: str
    text: str


def line_of(push: Push) -> Line | None:
    """Return what a push of the log says; None for what is no line of a chat."""
    match push:
        case Message(deleted=True):
            return Line(push.at, push.author, f"wrote {push.seq}, which is deleted", "")
        case Message():
            what = "" if push.state is None else f"{push.state} {push.seq}"
            return Line(push.at, push.author, what, push.text)
        case Edited(deleted=False):  # else the deletion says it
            how = push.state or "edited"
            what = "" if how == "done" else f"{how} {push.target}"
            return Line(push.at, push.author, what, push.text)
        case Deleted():
            return Line(push.at, push.author, f"deleted {push.target}", "")
        case Membership():
            change = push.change if push.role is None else f"{push.change} {push.role}"
            until = "" if push.until is None else f" until {push.until}"
            what = f"{change} {push.member.name}{until}"
            return Line(push.at, push.author, what, "")
        case _:
            return None


def notice_of(push: Push) -> str | None:
    """Return what a push says of the room itself, or None."""
    match push:
        case RoomChanged(slow_mode_ms=0):
            return "no slow mode"
        case RoomChanged(exempt=True):
            return None
        case RoomChanged():
            return f"slow mode: a message every {in_words(push.slow_mode_ms / 1000)}"
        case Reset():
            return "the room begins anew from here"
        case RoomLost():
            return f"no longer in the room: {push.error.text}"
        case _:
            return None


def harmless(text: str, *, keep: str = "") -> str:
    """Return a text in which nothing is obeyed by a terminal.

    Args:
        text: Whatever somebody wrote.
        keep: Characters that whoever prints it knows how to print.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each if each in keep or not _is_obeyed(each) else _shown(each) for each in text
    )


def in_short(text: str) -> str:
    """Return the beginning of a text, in one harmless line."""
    found = harmless(" ".join(text.split()))
    if len(found) <= _SHORT_CHARACTERS:
        return found
    return f"{found[: _SHORT_CHARACTERS - 1]}…"


def state_in_words(state: State, now: float) -> str:
    """Return what the client is doing about its connection, and not why."""
    match state.status:
        case Status.CONNECTING:
            return "connecting"
        case Status.ONLINE:
            return "online"
        case Status.WAITING:
            left = max((state.next_try_at or now) - now, 0.0)
            return f"no connection, next try in {in_words(left)}"
        case Status.CLOSED:
            return "ended"


def wait_in_words(seconds: float, policy: str | None) -> str:
    """Return how long a message waits, and for what."""
    what = "the server is busy" if policy is None else _POLICIES.get(policy, policy)
    return f"waits {in_words(max(seconds, 0.0))}: {harmless(what)}"


def _is_obeyed(character: str) -> bool:
    return character in _TURNS or unicodedata.category(character) in _OBEYED


def _shown(character: str) -> str:
    number = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"  # noqa: PLR2004
