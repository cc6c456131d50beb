"""What the database is asked for everybody who comes in, each thing once.

A storm of returns is as fast as these reads are. So their SQL is ready-made: to put a
query of the ORM together takes ten times as long as SQLite takes to answer it. What
comes of it are Django's own objects, whole, for the project's rules to look at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from django.db import connections, router
from django.db.models import Model

from headgate.chat.conf import conf
from headgate.chat.granted import is_granted
from headgate.chat.history import unread_count
from headgate.chat.models import Member, Room
from headgate.chat.people import Actor

__all__ = ["Lookups"]

M = TypeVar("M", bound=Model)

_MEMBER = Member._meta.db_table  # noqa: SLF001 - Django's public _meta
_NOBODY: Collection[str] = ()


class Lookups:
    """What was read in one go, for some who came in at the same time.

    Nothing in it is older than itself, so begin one for whoever has just asked. For use
    on one thread, off the event loop.

    Args:
        expected: By a room's slug, the keys of those who will be asked about.
    """

    def __init__(self, expected: Mapping[str, Collection[str]] | None = None) -> None:
        self._expected = expected or {}
        self._rooms: dict[str, _Row] = {}
        self._members: dict[int, dict[str, _Row]] = {}
        self._asked: dict[int, set[str]] = {}
        self._unread: dict[tuple[int, int], int] = {}
        self._crowded: dict[int, bool] = {}
        self._granted: dict[tuple[str, str], bool] = {}

    def __reduce__(self) -> tuple[type[Lookups], tuple[()]]:
        """Leave behind what was read: a project may pickle a room with us in it."""
        return Lookups, ()

    def room(self, slug: str) -> Room | None:
        """Return a room by its slug, an object of its own for each who asks."""
        row = self._rooms.get(slug)
        if row is None:
            rows = _select(Room, "slug = %s", [slug])
            if not rows:
                return None
            row = self._rooms[slug] = rows[0]
        return row.made(Room)

    def member(self, room: Room, key: str) -> Member | None:
        """Return somebody's row in a room, read after the room's own."""
        if key not in self._asked.get(room.pk, _NOBODY):
            keys = {key, *self._expected.get(room.slug, _NOBODY)}
            marks = ", ".join(["%s"] * len(keys))
            where = f"room_id = %s AND author_key IN ({marks})"
            rows = _select(Member, where, [room.pk, *keys])
            self._asked.setdefault(room.pk, set()).update(keys)
            found = {row.value("author_key"): row for row in rows}
            self._members.setdefault(room.pk, {}).update(found)
        row = self._members[room.pk].get(key)
        return None if row is None else row.made(Member)

    def unread(self, room_id: int, seen: int) -> int:
        """Return how many messages came after a seq; counting stops at 100."""
        place = room_id, seen
        if place not in self._unread:
            self._unread[place] = unread_count(room_id, seen)
        return self._unread[place]

    def is_granted(self, actor: Actor, permission: str) -> bool:
        """Return whether somebody has one of Django's own permissions."""
        place = actor.key, permission
        if place not in self._granted:
            self._granted[place] = is_granted(actor.user, permission)
        return self._granted[place]

    def is_crowded(self, room_id: int) -> bool:
        """Return whether a room has more members than are told who is typing."""
        if room_id not in self._crowded:
            most = conf().TYPING_MAX_MEMBERS
            connection = connections[router.db_for_read(Member)]
            with connection.cursor() as cursor:
                cursor.execute(
                    f"SELECT COUNT(*) FROM (SELECT 1 FROM {_MEMBER} "  # noqa: S608
                    "WHERE room_id = %s AND NOT banned LIMIT %s) AS members",
                    [room_id, most + 1],
                )
                self._crowded[room_id] = cursor.fetchone()[0] > most
        return self._crowded[room_id]


class _Row:
    """A row as the database gave it, from which objects are made."""

    __slots__ = ("_converters", "_names", "_using", "_values")

    def __init__(
        self,
        using: str,
        names: Sequence[str],
        values: Sequence[Any],
        converters: Sequence[tuple[int, Any, Sequence[Any]]],
    ) -> None:
        self._using = using
        self._names = names
        self._values = values
        self._converters = converters

    def value(self, name: str) -> Any:
        """Return a column that needs no conversion."""
        return self._values[self._names.index(name)]

    def made(self, model: type[M]) -> M:
        """Return an object that shares nothing with another one of the same row."""
        values = list(self._values)
        connection = connections[self._using]
        for place, column, converters in self._converters:
            for convert in converters:
                values[place] = convert(values[place], column, connection)
        return model.from_db(self._using, self._names, values)


def _select(model: type[Model], where: str, values: Sequence[Any]) -> list[_Row]:
    using = router.db_for_read(model)
    connection = connections[using]
    names, columns = _columns(model)
    with connection.cursor() as cursor:
        cursor.execute(f"{_beginning(model)} {where}", values)
        rows = cursor.fetchall()
    if not rows:
        return []
    # As Django's own compiler of queries has them.
    converters = []
    for place, column in enumerate(columns):
        own = column.get_db_converters(connection)
        found = [*connection.ops.get_db_converters(column), *own]
        if found:
            converters.append((place, column, found))
    return [_Row(using, names, row, converters) for row in rows]


@cache  # of the few models above
def _columns(model: type[Model]) -> tuple[list[str], list[Any]]:
    """Return a model's attributes, and its columns as parts of a query."""
    meta = model._meta  # noqa: SLF001 - Django's public _meta
    fields = meta.concrete_fields
    columns = [field.get_col(meta.db_table) for field in fields]
    return [field.attname for field in fields], columns


@cache
def _beginning(model: type[Model]) -> str:
    meta = model._meta  # noqa: SLF001 - Django's public _meta
    names = ", ".join(f'"{field.column}"' for field in meta.concrete_fields)
    return f'SELECT {names} FROM "{meta.db_table}" WHERE'  # noqa: S608
