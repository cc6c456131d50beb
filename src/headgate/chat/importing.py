"""Writing a project's table into the log: in order, each row once, in batches.

The rows' order is looked up first and kept in a file, so that no read is open while
something is written: on SQLite a reader could not begin to write once somebody else
has written. What was imported before is looked up in the same way. On top of that
the log's own rule holds, one message for each client_id of an author in a room.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from django.db import DataError, IntegrityError, connections, router, transaction
from django.utils import timezone

from headgate.chat.append import append
from headgate.chat.engine import hint
from headgate.chat.entries import Draft, Known, MemberChange, Refused, Written
from headgate.chat.import_notes import Notes
from headgate.chat.models import Event, Member, Room
from headgate.chat.people import SYSTEM
from headgate.chat.source_table import SourceRoom, SourceRow, SourceTable
from headgate.chat.source_values import IMPORTED

__all__ = ["Counts", "import_rows"]

BATCH = 500  # rows in one transaction


@dataclass(slots=True)
class Counts:
    """What became of the rows so far; `rows` is how many there are."""

    rows: int = 0
    read: int = 0
    added: int = 0
    known: int = 0
    refused: int = 0
    rooms: int = 0
    members: int = 0


def import_rows(
    table: SourceTable,
    *,
    room: str | None = None,
    kind: str = Room.Kind.PUBLIC,
    dry_run: bool = False,
    tell: Callable[[str], None],
) -> Iterator[Counts]:
    """Import a table, yielding what was done after each batch; the same object.

    A batch that was counted is committed. Ended early and called again, it goes on.

    Args:
        table: Where the messages come from.
        room: The slug of the room for all of them, where the table has no rooms.
        kind: Of rooms that are made. A group's members are the users who wrote there.
        dry_run: Look at every row, and write nothing.
        tell: Called with a line for each row that is refused.

    Raises:
        ValueError: Neither or both of the table and `room` say which room.
    """
    if table.has_rooms == (room is not None):
        raise ValueError("either the table has rooms, or one is given for all rows")
    with contextlib.closing(Notes()) as notes:
        yield from _Import(table, notes, room, kind, tell, dry_run=dry_run).run()


class _Import:
    """One run."""

    def __init__(
        self,
        table: SourceTable,
        notes: Notes,
        room: str | None,
        kind: str,
        tell: Callable[[str], None],
        *,
        dry_run: bool,
    ) -> None:
        self.table = table
        self.notes = notes
        self.room = SourceRoom(("", ""), room or "", room or "", None)
        self.kind = kind
        self.tell = tell
        self.dry_run = dry_run
        self.counts = Counts()
        self.now = timezone.now()
        self.using: str = router.db_for_write(Event)

    def run(self) -> Iterator[Counts]:
        """Look up what there is and what is known, then write batch by batch."""
        self.counts.rows = self.notes.keep_keys(self.table.keys())
        self.notes.keep_known(self._imported())
        yield self.counts
        for keys in self.notes.keys(BATCH):
            self._batch(self.table.rows([self.table.key(key) for key in keys]))
            yield self.counts

    def _imported(self) -> Iterator[tuple[str, str, str]]:
        events = Event.objects.filter(client_id__startswith=IMPORTED)
        rows = events.values_list("client_id", "author_key", "at")
        for client_id, author, at in rows.iterator(chunk_size=2000):
            yield str(client_id), author, _moment(at)

    def _batch(self, rows: Sequence[SourceRow]) -> None:
        drafts: list[tuple[SourceRow, Draft]] = []
        counts = self.counts
        for row in rows:
            counts.read += 1
            if row.problem is not None:
                self._refuse(row, row.problem)
            elif self._is_known(row):
                counts.known += 1
            else:
                room_id = self._room_id(row.room or self.room)
                at = row.at or self.now
                draft = Draft(room_id, row.author, row.text, row.client_id, at=at)
                drafts.append((row, draft))
        if self.dry_run:
            counts.added += len(drafts)
        elif drafts:
            self._write(drafts)

    def _is_known(self, row: SourceRow) -> bool:
        """Return whether a row was imported before, by whomever it is now.

        Its author may have changed: a user was deleted, another field was named.
        Anybody may choose any client_id over the wire, but not the time or the
        author that an import gives.
        """
        at = None if row.at is None else _moment(row.at)
        for author, kept_at in self.notes.known(row.client_id):
            if author == row.author.key or author.startswith(_ONLY_IMPORTED):
                return True
            if at == kept_at:
                return True
        return False

    def _refuse(self, row: SourceRow, why: str) -> None:
        self.counts.refused += 1
        self.tell(f"{self.table.label} {row.pk}: {why}.")

    # --- writing ---

    def _write(self, drafts: Sequence[tuple[SourceRow, Draft]]) -> None:
        """Write drafts in one transaction; on a bad one, find it by halving."""
        try:
            with transaction.atomic(using=self.using):
                verdicts = append(
                    connections[self.using], [draft for _, draft in drafts]
                )
        except (DataError, IntegrityError) as exc:
            if len(drafts) > 1:
                half = len(drafts) // 2
                self._write(drafts[:half])
                self._write(drafts[half:])
                return
            self._refuse(drafts[0][0], f"the database does not take it: {exc}")
            return
        heads: dict[int, int] = {}
        for (row, draft), verdict in zip(drafts, verdicts, strict=True):
            if isinstance(verdict, Written):
                self.counts.added += 1
                heads[draft.room_id] = verdict.push.seq
            elif isinstance(verdict, Known):
                self.counts.known += 1
            elif isinstance(verdict, Refused):
                self._refuse(row, verdict.error.text.rstrip("."))
        for room_id, head in heads.items():
            transaction.on_commit(partial(hint, room_id, head), using=self.using)

    # --- rooms ---

    def _room_id(self, source: SourceRoom) -> int:
        """Return a room's id, and make it where it is missing; 0 in a dry run."""
        room_id = self.notes.room(source)
        if room_id is None:
            found = self._find(source)
            room_id = self._made(source) if found is None else found.pk
            self.notes.keep_room(source, room_id)
        return room_id

    def _made(self, source: SourceRoom) -> int:
        room_id = members = 0
        if not self.dry_run:
            try:
                room_id, members = self._make(source)
            except IntegrityError:
                found = self._find(source)
                if found is None:
                    raise
                return found.pk  # somebody was faster
        self.counts.rooms += 1
        self.counts.members += members
        return room_id

    def _find(self, source: SourceRoom) -> Room | None:
        """Return the room of the same origin, or one of that name with no origin."""
        rooms = Room.objects.using(self.using)
        kind, name = source.subject
        if not kind:
            return rooms.filter(slug=source.slug).first()
        return (
            rooms.filter(subject_type=kind, subject_id=name).first()
            or rooms.filter(slug=source.slug, subject_type="").first()
        )

    def _make(self, source: SourceRoom) -> tuple[int, int]:
        """Make a room with its members; return its id and how many these are.

        All or nothing: a later run adds none.
        """
        rooms = Room.objects.using(self.using)
        taken = rooms.filter(slug=source.slug).exists()
        with transaction.atomic(using=self.using):
            room = rooms.create(
                slug=source.other_slug if taken else source.slug,
                title=source.title,
                kind=self.kind,
                subject_type=source.subject[0],
                subject_id=source.subject[1],
            )
            group = self.kind == Room.Kind.GROUP
            return room.pk, self._add_members(room, source) if group else 0

    def _add_members(self, room: Room, source: SourceRoom) -> int:
        """Let in who wrote there, before their messages: so they see all of them."""
        users = self.table.users_in(None if source is self.room else source)
        changes = (
            MemberChange(room.pk, SYSTEM, user, "added", role=Member.Role.MEMBER.value)
            for user in users
        )
        added = 0
        while some := list(islice(changes, BATCH)):
            append(connections[self.using], some)
            added += len(some)
        return added


# Authors whom only an import can have: no client speaks as one of them.
_ONLY_IMPORTED = ("d:", "s:", "g:import-")


def _moment(at: datetime) -> str:
    """Return a time as something that is equal when the times are."""
    return at.astimezone(UTC).isoformat()
