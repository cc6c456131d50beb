"""What an import has to remember while it runs, in a file that goes with it.

A file of SQLite's own making, without a name: so memory is bounded, however many
rows there are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from headgate.chat.source_table import SourceRoom

__all__ = ["Notes"]


class Notes:
    """The notes of one run."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE wanted (place INTEGER PRIMARY KEY, key);"
            "CREATE TABLE known (id, author, at, PRIMARY KEY (id, author, at))"
            " WITHOUT ROWID;"
            "CREATE TABLE room (kind, name, slug, id, PRIMARY KEY (kind, name, slug))"
            " WITHOUT ROWID;"
            "BEGIN;",  # one for all: nobody else will ever read it
        )

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def keep_keys(self, keys: Iterator[Any]) -> int:
        """Remember primary keys in their order; return how many."""
        kept = ((key if isinstance(key, int) else str(key),) for key in keys)
        return self._file.executemany(
            "INSERT INTO wanted (key) VALUES (?)", kept
        ).rowcount

    def keys(self, size: int) -> Iterator[list[Any]]:
        """Yield primary keys in their order, `size` at a time."""
        last = 0
        while found := self._file.execute(
            "SELECT place, key FROM wanted WHERE place > ? ORDER BY place LIMIT ?",
            [last, size],
        ).fetchall():
            yield [key for _, key in found]
            last = found[-1][0]

    def keep_known(self, known: Iterator[tuple[str, str, str]]) -> None:
        """Remember the messages that were imported: client_id, author, time."""
        self._file.executemany("INSERT OR IGNORE INTO known VALUES (?, ?, ?)", known)

    def known(self, client_id: str) -> list[tuple[str, str]]:
        """Return author and time of the messages that have a client_id."""
        return self._file.execute(
            "SELECT author, at FROM known WHERE id = ?", [client_id]
        ).fetchall()

    def keep_room(self, source: SourceRoom, room_id: int) -> None:
        """Remember the id of a row's room."""
        values = [*source.subject, source.slug, room_id]
        self._file.execute("INSERT INTO room VALUES (?, ?, ?, ?)", values)

    def room(self, source: SourceRoom) -> int | None:
        """Return the id of a row's room if it was kept."""
        found = self._file.execute(
            "SELECT id FROM room WHERE kind = ? AND name = ? AND slug = ?",
            [*source.subject, source.slug],
        ).fetchone()
        return None if found is None else int(found[0])
