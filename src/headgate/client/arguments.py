"""What calls may be given, where the server is not asked first."""

from __future__ import annotations

from headgate.protocol.codec import is_room_slug
from headgate.protocol.fields import MAX_INTEGER, ROOM_RULE

__all__ = ["valid_room", "valid_seq"]


def valid_room(room: str) -> str:
    """Return the name of a room; raises `ValueError` for what names none."""
    if not is_room_slug(room):
        raise ValueError(f"{room!r} names no room: {ROOM_RULE}")
    return room


def valid_seq(seq: int) -> int:
    """Return a place in a log; raises `ValueError` for what is none."""
    if not 0 <= seq <= MAX_INTEGER:
        raise ValueError(f"{seq!r} is no seq")
    return seq
