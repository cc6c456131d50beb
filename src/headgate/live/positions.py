"""Where a client is in each of its rooms, in one short text.

An event stream has one id for all of its rooms, which a client that comes back
presents: `9f2c01ab-1041.00ff00ff-7`. Each place is a room's epoch, which belongs to
that room alone, and the seq that the client has reached in it.
"""

from __future__ import annotations

import re

from headgate.protocol.commands import Position
from headgate.protocol.fields import MAX_INTEGER, MAX_ROOMS

__all__ = ["Positions", "positions_in"]

_SEPARATOR = "."
_place = re.compile(r"([0-9A-Za-z]{1,16})-([0-9]{1,16})").fullmatch

# 100 places of 16 characters, a dash, 16 digits and a dot.
MAX_LENGTH = MAX_ROOMS * 34


def positions_in(text: str) -> list[Position]:
    """Return the places that a text names, in its order.

    Raises:
        ValueError: It is no text that `Positions` has made, or could have.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it is longer than {MAX_LENGTH} characters")
    places = text.split(_SEPARATOR)
    if len(places) > MAX_ROOMS:
        raise ValueError(f"it names more than {MAX_ROOMS} places")
    found = []
    for place in places:
        parts = _place(place)
        if parts is None or int(parts[2]) > MAX_INTEGER:
            raise ValueError("a place is a room's epoch, '-' and a seq")
        found.append(Position(int(parts[2]), parts[1]))
    return found


class Positions:
    """One client's places, by the names of the rooms."""

    __slots__ = ("_epochs", "_places")

    def __init__(self) -> None:
        self._epochs: dict[str, str] = {}
        self._places: dict[str, str] = {}

    def move(self, room: str, seq: int, epoch: str | None = None) -> None:
        """Note a place in a room; an `epoch` is given where it is a new one."""
        if epoch is None:
            epoch = self._epochs.get(room, "")
        else:
            self._epochs[room] = epoch
        if epoch:
            self._places[room] = f"{epoch}-{seq}"

    def __str__(self) -> str:
        """Return all places as one text; empty where there are none."""
        return _SEPARATOR.join(self._places.values())
