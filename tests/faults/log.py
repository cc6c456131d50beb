"""A room's log read past the server, straight from the database, and judged."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

import psycopg

from headgate.client import Client
from headgate.protocol.pushes import LogEvent
from tests.servers import HeadgateServer

__all__ = ["LogReader", "Row", "events_of", "log_reader"]

_QUERY = (
    "SELECT seq, text, client_id FROM headgate_chat_event AS event "
    "JOIN headgate_chat_room AS room ON room.id = event.room_id "
    "WHERE room.slug = {0} AND seq > {0} ORDER BY seq"
)


class Row(NamedTuple):
    """An event as it is stored."""

    seq: int
    text: str
    client_id: str | None


class LogReader:
    """Reads what is committed, on a connection of its own."""

    def __init__(self, connection: Any, query: str) -> None:
        self._connection = connection
        self._query = query

    def after(self, room: str, seq: int) -> list[Row]:
        """Return the events that are there now, as a poller would ask for them."""
        rows = self._connection.execute(self._query, (room, seq)).fetchall()
        return [Row(*row) for row in rows]


@contextlib.contextmanager
def log_reader(server: HeadgateServer) -> Iterator[LogReader]:
    """Open a server's database; to be used in one thread."""
    connection: Any
    if server.database_url is None:
        connection = sqlite3.connect(server.sqlite_file, timeout=10)
        query = _QUERY.format("?")
    else:
        connection = psycopg.connect(server.database_url, autocommit=True)
        query = _QUERY.format("%s")
    with contextlib.closing(connection):
        yield LogReader(connection, query)


async def events_of(client: Client, room: str) -> list[LogEvent]:
    """Read a room's whole log back with the history command."""
    events: list[LogEvent] = []
    more = True
    while more:
        after = events[-1].seq if events else 0
        page = await client.history(room, of="events", after=after, limit=200)
        events += page.events
        more = page.more
    return events
