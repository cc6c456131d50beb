"""Destinations as what they want to be told: read as rows, and made ready to be asked.

Making them ready is most of the work, as patterns are compiled and rooms matched with
them. So it is done for rows that have changed, and all else stays as it was made.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from headgate.outbound.models import Destination
from headgate.protocol.pushes import LogEvent

__all__ = ["Known", "Row", "Wanting", "Wants", "known_of", "read_rows"]

MAX_ROOMS = 10_000  # of which is remembered who wants what
_BOTS_TO = frozenset({"bot", "system"})  # whose events no bot is told of

# Whether a destination that code has declared is owed an event.
Wants = Callable[[LogEvent], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanting:
    """A destination, and what it wants to be told."""

    id: int
    events: frozenset[str]
    matches: Callable[[str], object]
    room_id: int | None
    is_bot: bool
    is_ordered: bool
    importance: int
    useful_seconds: float | None
    wants: Wants | None


@dataclass(frozen=True, slots=True)
class Known:
    """All destinations that are enabled."""

    wanting: tuple[Wanting, ...]
    _by_room: dict[tuple[str, int, str, bool], tuple[Wanting, ...]] = field(
        default_factory=dict
    )

    def who_wants(
        self, event: str, room_id: int, slug: str, author_kind: str
    ) -> tuple[Wanting, ...]:
        """Return who is to be told of an event of a room, by an author of that kind."""
        by_bot = author_kind in _BOTS_TO
        key = (event, room_id, slug, by_bot)
        found = self._by_room.get(key)
        if found is None:
            if len(self._by_room) >= MAX_ROOMS:
                self._by_room.clear()
            found = self._by_room[key] = tuple(
                each
                for each in self.wanting
                if event in each.events
                and not (by_bot and each.is_bot)
                and (
                    each.matches(slug)
                    if each.room_id is None
                    else each.room_id == room_id
                )
            )
        return found

    def who_lists(self, event: str) -> list[Wanting]:
        """Return who lists an event by name."""
        return [each for each in self.wanting if event in each.events]


class Row(NamedTuple):
    """What is read of a destination; its lists are JSON's text."""

    id: int
    kind: str
    handler: str
    room_id: int | None
    enabled: bool
    ordering: str
    importance: int
    useful_seconds: float | None
    events: str
    rooms: str
    rate: str
    concurrency: int
    timeout_seconds: float


_TABLE = Destination._meta.db_table  # noqa: SLF001 - Django's public _meta
_SELECT = f"SELECT {', '.join(Row._fields)} FROM {_TABLE} ORDER BY id"  # noqa: S608

_Made = dict[int, tuple[Row, Wanting]]
_made: dict[str, tuple[_Made, Known]] = {}  # last, by database


def read_rows(connection: Any) -> list[Row]:
    """Return all destinations, as they are now for this connection."""
    with connection.cursor() as cursor:
        cursor.execute(_SELECT)
        return [Row(*row) for row in cursor.fetchall()]


def known_of(
    using: str, rows: Sequence[Row], wants: Callable[[str], Wants | None]
) -> Known:
    """Return what is known by rows; where none has changed, the same as the last time.

    Args:
        using: The alias of their database.
        rows: All of them.
        wants: Returns what a handler's declaration says of it.
    """
    before, last = _made.get(using, ({}, Known(())))
    made: _Made = {}
    for row in rows:
        old = before.get(row.id)
        if old is None or old[0] != row or old[1].wants is not wants(row.handler):
            old = row, _wanting(row, wants(row.handler))
        made[row.id] = old
    wanting = tuple(each for row, each in made.values() if row.enabled)
    found = last if wanting == last.wanting else Known(wanting)
    _made[using] = made, found
    return found


def _listed(text: str) -> list[str]:
    """Return the texts of a column; code may have put one there that is no list."""
    found = json.loads(text)
    listed = found if isinstance(found, list) else [found]
    return [each for each in listed if isinstance(each, str)]


def _wanting(row: Row, wants: Wants | None) -> Wanting:
    patterns = _listed(row.rooms)
    return Wanting(
        id=row.id,
        events=frozenset(_listed(row.events)),
        matches=re.compile("|".join(map(fnmatch.translate, patterns)) or "(?!)").match,
        room_id=row.room_id,
        is_bot=row.handler.startswith("bot:"),
        is_ordered=row.ordering == Destination.Ordering.ROOM,
        importance=row.importance,
        useful_seconds=row.useful_seconds,
        wants=wants,
    )
