"""Every read of the log: for delivery, for `history`, for what is unread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, router
from django.db.models import QuerySet

from headgate.chat.models import Event, Room
from headgate.chat.models import Message as MessageRow
from headgate.chat.profiles import add_avatars
from headgate.chat.reader import Reader
from headgate.chat.rows import COLUMNS, EventRow, as_push
from headgate.live.ports import RoomHead
from headgate.protocol.codec import encode
from headgate.protocol.fields import UNREAD_CAP
from headgate.protocol.pushes import LogEvent, Message

__all__ = [
    "PAGE_MAX_BYTES",
    "DatabaseLog",
    "Page",
    "events_page",
    "known_message",
    "landed",
    "message_at",
    "messages_of",
    "messages_page",
    "unread_count",
]

# Of a reply to `history`; a longer page ends early. What one connection is owed at
# once must leave room for the rest of what it may cost (256 KiB in all).
PAGE_MAX_BYTES = 64 * 1024
# Asked for whoever comes in: to put a query of the ORM together would cost more.
_UNREAD = (
    "SELECT COUNT(*) FROM (SELECT 1 FROM "  # noqa: S608
    f"{Event._meta.db_table} "  # noqa: SLF001 - Django's public _meta
    "WHERE room_id = %s AND kind = %s AND seq > %s AND deleted_seq IS NULL "
    f"ORDER BY seq LIMIT {UNREAD_CAP}) AS unread"
)
_CHUNK = 64  # rows of which the texts are in memory before they are counted


@dataclass(frozen=True, slots=True)
class Page:
    """A page of events or messages, and the room as it stood when it was read."""

    entries: list[LogEvent]
    head: int
    epoch: str
    more: bool


class DatabaseLog:
    """The log as delivery wants it; implements `live.ports.Log`."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def head(self, room_id: int) -> RoomHead:
        """Return a room's head as committed; that of a room that is gone is 0."""
        return await self._reader.run(_head, room_id)

    async def events(
        self,
        room_id: int,
        after: int,
        to: int,
        limit: int,
        *,
        max_bytes: int,
    ) -> Sequence[LogEvent]:
        """Return events after one seq, up to and including another, ascending."""
        return await self._reader.run(_events, room_id, after, to, limit, max_bytes)


def _head(room_id: int) -> RoomHead:
    found = Room.objects.filter(pk=room_id).values_list("head", "epoch").first()
    return RoomHead(*(found or (0, "")))


def _events(
    room_id: int, after: int, to: int, limit: int, max_bytes: int = PAGE_MAX_BYTES
) -> list[LogEvent]:
    slug = Room.objects.values_list("slug", flat=True).filter(pk=room_id).first()
    if slug is None:
        return []  # the room is gone, and its log with it
    rows = Event.objects.filter(room_id=room_id, seq__gt=after, seq__lte=to)
    return _pushes(rows.order_by("seq")[:limit], slug, max_bytes)


def _pushes(rows: QuerySet[Event], slug: str, max_bytes: int) -> list[LogEvent]:
    """Return events, ending early with the one whose text reaches `max_bytes`."""
    found, size = [], 0
    for row in rows.values_list(*COLUMNS).iterator(chunk_size=_CHUNK):
        event = EventRow(*row)
        found.append(as_push(event, slug))
        size += len(event.text)
        if size >= max_bytes:
            break
    add_avatars(found)
    return found


def _bounded(entries: list[LogEvent]) -> list[LogEvent]:
    """Return the entries that fit into one reply; at least the first of them."""
    size = 0
    for count, entry in enumerate(entries):
        size += len(encode(entry))
        if size > PAGE_MAX_BYTES and count:
            return entries[:count]
    return entries


def events_page(
    room_id: int,
    *,
    after: int,
    to: int | None,
    limit: int,
) -> Page:
    """Return events as they happened, onward from `after`.

    Raises:
        Room.DoesNotExist: The room is gone, and its log with it.
    """
    room = Room.objects.get(pk=room_id)
    last = room.head if to is None else min(to, room.head)
    entries = _bounded(_events(room_id, after, last, limit))
    more = bool(entries) and entries[-1].seq < last
    return Page(entries, room.head, room.epoch, more)


def messages_page(
    room_id: int,
    *,
    before: int | None,
    after: int | None,
    visible_from: int,
    limit: int,
) -> Page:
    """Return messages as they are now, ascending.

    The last ones before a seq, or with `after` the first ones after it. The head is
    read first: whoever joins with `after=head` misses nothing, though an edit that
    came in between may be told twice.

    Raises:
        Room.DoesNotExist: The room is gone, and its log with it.
    """
    room = Room.objects.get(pk=room_id)
    rows = Event.objects.filter(
        room_id=room_id,
        kind=Event.Kind.MESSAGE,
        seq__gte=visible_from,
        seq__lte=room.head,
    )
    if before is not None:
        rows = rows.filter(seq__lt=before)
    if after is not None:
        rows = rows.filter(seq__gt=after)
    order = "-seq" if after is None else "seq"
    found = _pushes(rows.order_by(order)[: limit + 1], room.slug, PAGE_MAX_BYTES)
    entries = _bounded(found[:limit])
    more = len(found) > len(entries)
    if after is None:
        entries.reverse()
    return Page(entries, room.head, room.epoch, more)


def messages_of(page: Page) -> list[Message]:
    """Return a page's entries where all are messages."""
    return [entry for entry in page.entries if isinstance(entry, Message)]


def unread_count(room_id: int, read_seq: int) -> int:
    """Return how many messages came after a read mark; counting stops at 100."""
    connection = connections[router.db_for_read(Event)]
    with connection.cursor() as cursor:
        cursor.execute(_UNREAD, [room_id, Event.Kind.MESSAGE.value, read_seq])
        return int(cursor.fetchone()[0])


def landed(room_id: int, author_key: str, client_ids: Sequence[str]) -> dict[str, int]:
    """Return the seqs of those of an author's client_ids that are in the log."""
    rows = Event.objects.filter(
        room_id=room_id,
        author_key=author_key,
        client_id__in=client_ids,
    )
    return {
        str(client_id): seq for client_id, seq in rows.values_list("client_id", "seq")
    }


def known_message(
    room_id: int, author_key: str, client_id: str
) -> tuple[int, datetime] | None:
    """Return seq and time of an author's message by its client_id, if it is there."""
    rows = Event.objects.filter(
        room_id=room_id,
        author_key=author_key,
        client_id=client_id,
    )
    return rows.values_list("seq", "at").first()


def message_at(room_id: int, seq: int) -> MessageRow | None:
    """Return the message with a seq, or None where there is none."""
    return MessageRow.objects.filter(room_id=room_id, seq=seq).first()
