"""What one client hears, held to the promises of delivery.

In every room, from where it was told that it begins, what arrives is a run of the log
without a hole or a double; what was left out is told, and only to who has a pace.
Besides pushes it hears marks, which the world puts among them: where a watch begins
and ends, and what pace is in force from there on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from headgate.limits.rates import Rate
from headgate.live.frames import Frame

__all__ = ["GONE", "Broken", "Listener", "mark", "version"]

GONE = 1000  # the version of a text that was deleted


class Broken(AssertionError):  # noqa: N818 - as in a broken promise
    """A promise of delivery was broken."""


def mark(**said: Any) -> Frame:
    """Return a frame that only a `Listener` understands."""
    return Frame(msgspec.json.encode(said))


def version(text: str) -> int:
    """Return which version a text is: it begins with the number."""
    return int(text.split(maxsplit=1)[0]) if text else GONE


@dataclass
class _Place:
    """Where somebody is in one room, and by what rules."""

    seq: int
    watch: int  # its number
    pace: Rate | None = None
    since: float = 0.0  # when that pace was put in force, in the loop's time
    count: int = 0  # of events since


@dataclass
class Listener:
    """Attributes.

    seen: The last seq of each room, from whatever watch.
    due: By a watch's number, the oldest version of each event's text it may have.
    """

    seen: dict[int, int] = field(default_factory=dict)
    places: dict[int, _Place] = field(default_factory=dict)
    due: dict[int, dict[int, int]] = field(default_factory=dict)

    def hear(self, said: dict[str, Any], now: float) -> None:
        """Take what came; raises `Broken`."""
        if "joined" in said:
            self.places[said["joined"]] = _Place(said["at"], said["watch"])
            self.seen[said["joined"]] = said["at"]
        elif "paced" in said:
            self._paced(said, now)
        elif "left" in said:
            self._left(said)
        elif said["push"] == "gap":
            self._gap(said)
        elif said["push"] != "typing":
            self._event(said, now)

    def _paced(self, said: dict[str, Any], now: float) -> None:
        place = self.places[said["paced"]]
        rate = said["rate"]
        place.pace = None if rate is None else Rate.parse(rate)
        place.since, place.count = said["since"], 0

    def _left(self, said: dict[str, Any]) -> None:
        place = self.places.pop(said["left"])
        last = said["last"]  # the seq of the event that ended the watch, if one did
        if last is not None and place.seq >= last:
            raise Broken(f"{place.seq} of room {said['left']}, removed with {last}")
        if said["whole"] and place.seq != last - 1:
            raise Broken(f"removed with {last}, and {place.seq} was the last that came")

    def _place(self, said: dict[str, Any]) -> tuple[int, _Place]:
        room_id = int(said["room"].removeprefix("room-"))
        if room_id not in self.places:
            raise Broken(f"{said} of a room that it is not in")
        return room_id, self.places[room_id]

    def _gap(self, said: dict[str, Any]) -> None:
        room_id, place = self._place(said)
        if place.pace is None:
            raise Broken(f"a gap for somebody who has no pace: {said}")
        if said["from"] != place.seq + 1 or said["to"] < said["from"]:
            raise Broken(f"{said} at {place.seq}")
        place.seq = self.seen[room_id] = said["to"]

    def _event(self, said: dict[str, Any], now: float) -> None:
        room_id, place = self._place(said)
        seq = said["seq"]
        if seq != place.seq + 1:
            raise Broken(f"{seq} after {place.seq} of room {room_id}")
        due = self.due.get(place.watch, {}).get(seq, 0)
        if version(said.get("text", "")) < due:
            raise Broken(f"{said}, which had been changed before: version {due}")
        place.seq = self.seen[room_id] = seq
        place.count += 1
        if place.pace is not None:
            rate = place.pace.count / place.pace.period_seconds
            most = place.pace.burst + rate * (now - place.since)
            if place.count > most + 1e-5:
                raise Broken(f"{place.count} events at a pace of {place.pace}")
