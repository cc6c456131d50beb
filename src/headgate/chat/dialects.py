"""The SQL of a batch, in SQLite's and in PostgreSQL's words.

Each function is one statement, or one prepared statement run over rows, for a whole
batch: a query per message would cost more than everything else together.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol, cast

from msgspec.json import Decoder
from msgspec.structs import astuple

from headgate.chat.models import Event, Member, Room
from headgate.chat.rows import COLUMNS, EventRow, LockedRoom
from headgate.protocol.codec import encode

__all__ = ["Dialect", "dialect_of"]

ROOM = Room._meta.db_table  # noqa: SLF001 - Django's public _meta
MEMBER = Member._meta.db_table  # noqa: SLF001 - Django's public _meta
EVENT = Event._meta.db_table  # noqa: SLF001 - Django's public _meta
_EVENT_COLUMNS = ", ".join(COLUMNS)
_GUARDED = (
    f"EXISTS (SELECT 1 FROM {MEMBER} AS member "  # noqa: S608
    f"WHERE member.room_id = {ROOM}.id AND (banned OR muted_until IS NOT NULL))"
)


# SQLite says true and false as 1 and 0.
_locked_rooms = Decoder(list[LockedRoom], strict=False).decode


class Dialect(Protocol):
    """What `append` asks of a database."""

    def lock_rooms(self, counts: dict[int, int], *, wait: bool) -> list[LockedRoom]:
        """Lock rooms in id order and advance each head by its count, in one go.

        Without `wait`, rooms that are held elsewhere are left out.
        """

    def set_heads(self, heads: dict[int, int]) -> None:
        """Write the heads of rooms where it came otherwise than counted."""

    def insert_events(self, rows: Sequence[EventRow]) -> None:
        """Insert events."""

    def find_client_ids(
        self,
        keys: Sequence[tuple[int, str, str]],
    ) -> Iterable[tuple[int, str, str, int, datetime, bytes]]:
        """Return (room_id, author_key, client_id, seq, at, digest) of those known."""

    def find_held(
        self,
        keys: Sequence[tuple[int, str]],
        now: datetime,
    ) -> Iterable[tuple[int, str, bool, datetime | None]]:
        """Return (room_id, author_key, banned, muted_until) of those held back."""


def dialect_of(connection: Any) -> Dialect:
    """Return the dialect of a Django connection."""
    if connection.vendor == "sqlite":
        return SQLite(connection)
    return PostgreSQL(connection)


def _json(details: dict[str, Any] | None) -> str | None:
    return None if details is None else json.dumps(details)


# Rows in one INSERT of SQLite: a power of two, so that few statements are prepared.
_INSERT_ROWS = 64


# What a new event has; `edited_seq` and `deleted_seq` come later.
_NEW_COLUMNS = COLUMNS[:-2]
# sqlite3 looks for adapters of None and of bytes, for each value anew, and that costs
# more than all else about binding it. So no value is either: an empty one stands for
# NULL, where an empty one is impossible, and a bytearray for bytes.
_VALUES = ", ".join(
    {
        "client_id": "NULLIF(?, '')",
        "digest": "NULLIF(?, X'')",
        "details": "NULLIF(?, '')",
        "target": "NULLIF(?, 0)",
    }.get(column, "?")
    for column in _NEW_COLUMNS
)


def _insert(rows: int) -> str:
    return (
        f"INSERT INTO {EVENT} ({', '.join(_NEW_COLUMNS)}) VALUES "  # noqa: S608
        + ", ".join([f"({_VALUES})"] * rows)
    )


_INSERTS = {2**power: _insert(2**power) for power in range(_INSERT_ROWS.bit_length())}


class SQLite:
    """SQLite: one writer, so locking a room is holding the database.

    Few statements for many rows, past Django's cursor: Python's sqlite3 lets go of
    the GIL for each row that it steps over, and gets it back when the event loop
    is done with it. A batch of keys travels as one JSON parameter, so that the
    statement stays prepared; CROSS JOIN keeps the planner from scanning the table.
    """

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def lock_rooms(self, counts: dict[int, int], *, wait: bool) -> list[LockedRoom]:
        """Lock by writing: also right where a project's transaction is deferred."""
        del wait  # the busy timeout of the connection decides
        wanted = [encode(counts).decode()]
        self._run(
            f"UPDATE {ROOM} SET head = head + wanted.value "  # noqa: S608
            "FROM json_each(?) AS wanted "
            f"WHERE {ROOM}.id = CAST(wanted.key AS INTEGER)",
            wanted,
        )
        # In one row, for the GIL; RETURNING takes twice as long as both statements.
        [(found,)] = self._run(
            "SELECT json_group_array(json_array("  # noqa: S608
            f"{ROOM}.id, slug, kind, head - wanted.value, {_GUARDED})) "
            f"FROM json_each(?) AS wanted CROSS JOIN {ROOM} "
            f"WHERE {ROOM}.id = CAST(wanted.key AS INTEGER)",
            wanted,
        )
        return _locked_rooms(found)

    def set_heads(self, heads: dict[int, int]) -> None:
        """Write the heads of rooms where it came otherwise than counted."""
        self._run(
            f"UPDATE {ROOM} SET head = new.value "  # noqa: S608
            "FROM json_each(?) AS new "
            f"WHERE {ROOM}.id = CAST(new.key AS INTEGER)",
            [encode(heads).decode()],
        )

    def insert_events(self, rows: Sequence[EventRow]) -> None:
        """Insert events, many to a statement."""
        at = lru_cache(maxsize=1)(self.connection.ops.adapt_datetimefield_value)
        begin = 0
        while begin < len(rows):
            left = min(len(rows) - begin, _INSERT_ROWS)
            size = 1 << (left.bit_length() - 1)  # the largest power of two that fits
            values: list[Any] = []
            for row in rows[begin : begin + size]:
                values += (
                    row.room_id,
                    row.seq,
                    row.kind,
                    row.author_key,
                    row.author_name,
                    row.client_id or "",
                    bytearray(row.digest or b""),
                    row.text,
                    _json(row.details) or "",
                    row.target or 0,
                    at(row.at),
                )
            self._run(_INSERTS[size], values)
            begin += size

    def find_client_ids(
        self,
        keys: Sequence[tuple[int, str, str]],
    ) -> Iterable[tuple[int, str, str, int, datetime, bytes]]:
        """Look all up in the unique index at once."""
        found = self._run(
            "SELECT event.room_id, event.author_key, event.client_id, "  # noqa: S608
            f"seq, at, digest FROM json_each(?) AS wanted CROSS JOIN {EVENT} AS event "
            "ON event.room_id = wanted.value ->> 0 "
            "AND event.author_key = wanted.value ->> 1 "
            "AND event.client_id = wanted.value ->> 2",
            [json.dumps(keys)],
        )
        return [(r, key, c, seq, _utc(at), dig) for r, key, c, seq, at, dig in found]

    def find_held(
        self,
        keys: Sequence[tuple[int, str]],
        now: datetime,
    ) -> Iterable[tuple[int, str, bool, datetime | None]]:
        """Return who is banned or still muted."""
        found = self._run(
            "SELECT member.room_id, member.author_key, banned, "  # noqa: S608
            f"muted_until FROM json_each(?) AS wanted CROSS JOIN {MEMBER} AS member "
            "ON member.room_id = wanted.value ->> 0 "
            "AND member.author_key = wanted.value ->> 1 "
            "WHERE banned OR muted_until IS NOT NULL",
            [json.dumps(keys)],
        )
        held = [(r, key, bool(banned), _utc(until)) for r, key, banned, until in found]
        return [row for row in held if row[2] or (row[3] and row[3] > now)]

    def _run(self, sql: str, values: Sequence[Any]) -> list[Any]:
        with self.connection.wrap_database_errors:
            return cast(
                "list[Any]", self.connection.connection.execute(sql, values).fetchall()
            )


def _utc(stored: datetime | None) -> Any:
    """Return a time as SQLite stores it through Django: UTC without saying so."""
    return None if stored is None else stored.replace(tzinfo=UTC)


class PostgreSQL:
    """PostgreSQL: rows are locked, and arrays carry a whole batch."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def lock_rooms(self, counts: dict[int, int], *, wait: bool) -> list[LockedRoom]:
        """Lock in id order, so that two batches never wait for each other."""
        # NO KEY: foreign keys of events, which take KEY SHARE, stay possible.
        skip = "" if wait else " SKIP LOCKED"
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"WITH locked AS (SELECT id FROM {ROOM} "  # noqa: S608
                f"WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE{skip}) "
                f"UPDATE {ROOM} SET head = head + wanted.count "
                "FROM locked JOIN unnest(%s::bigint[], %s::bigint[]) "
                "AS wanted (id, count) USING (id) "
                f"WHERE {ROOM}.id = locked.id "
                f"RETURNING {ROOM}.id, slug, kind, head - wanted.count, {_GUARDED}",
                [list(counts), list(counts), list(counts.values())],
            )
            return [LockedRoom(*row) for row in cursor.fetchall()]

    def set_heads(self, heads: dict[int, int]) -> None:
        """Write the heads of rooms where it came otherwise than counted."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {ROOM} AS room SET head = new.head "  # noqa: S608
                "FROM unnest(%s::bigint[], %s::bigint[]) AS new (id, head) "
                "WHERE room.id = new.id",
                [list(heads), list(heads.values())],
            )

    def insert_events(self, rows: Sequence[EventRow]) -> None:
        """Insert events from one array a column."""
        columns = [list(column) for column in zip(*map(astuple, rows), strict=True)]
        columns[8] = [_json(details) for details in columns[8]]
        with self.connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {EVENT} ({_EVENT_COLUMNS}) SELECT "  # noqa: S608
                "room_id, seq, kind, author_key, author_name, client_id, digest, text, "
                "details::jsonb, target, at, edited_seq, deleted_seq "
                "FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], "
                "%s::text[], %s::text[], %s::bytea[], %s::text[], %s::text[], "
                "%s::bigint[], %s::timestamptz[], %s::bigint[], %s::bigint[]) "
                f"AS new ({_EVENT_COLUMNS})",
                columns,
            )

    def find_client_ids(
        self,
        keys: Sequence[tuple[int, str, str]],
    ) -> Iterable[tuple[int, str, str, int, datetime, bytes]]:
        """Look all up in the unique index at once."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT room_id, author_key, client_id, seq, at, digest "  # noqa: S608
                f"FROM {EVENT} JOIN unnest(%s::bigint[], %s::text[], %s::text[]) "
                "AS wanted (room_id, author_key, client_id) "
                "USING (room_id, author_key, client_id)",
                [list(column) for column in zip(*keys, strict=True)],
            )
            return cast("list[Any]", cursor.fetchall())

    def find_held(
        self,
        keys: Sequence[tuple[int, str]],
        now: datetime,
    ) -> Iterable[tuple[int, str, bool, datetime | None]]:
        """Return who is banned or still muted."""
        rooms, people = ([*column] for column in zip(*keys, strict=True))
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT room_id, author_key, banned, muted_until "  # noqa: S608
                f"FROM {MEMBER} JOIN unnest(%s::bigint[], %s::text[]) "
                "AS wanted (room_id, author_key) USING (room_id, author_key) "
                "WHERE banned OR muted_until > %s",
                [rooms, people, now],
            )
            return cast("list[Any]", cursor.fetchall())
