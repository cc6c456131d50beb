"""Every write to the log: number, check and insert a batch in one transaction.

`append` runs inside a transaction that its caller opened, on the caller's
connection: the journal's, for what comes over the wire, or project code's own. The
order is what makes a seq gapless and equal to commit order, on both databases:
lock the rooms, then look for what is known, then number only what is new.

Source of the rule: a sequence is taken outside the transaction, so 5 can be seen
before 4; a counter in the locked row cannot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, cast

import msgspec
from django.utils import timezone

from headgate.chat.dialects import Dialect, dialect_of
from headgate.chat.entries import (
    Change,
    Digests,
    Draft,
    Ended,
    Entry,
    Grown,
    Known,
    MemberChange,
    ReadMark,
    Refused,
    Verdict,
    Written,
)
from headgate.chat.growing_rows import GrowingRows
from headgate.chat.models import Event, Member, Room
from headgate.chat.owing import is_anything_owed, owe
from headgate.chat.people import SYSTEM
from headgate.chat.rows import EventRow, LockedRoom, as_push, timestamp
from headgate.protocol.codec import error
from headgate.protocol.codes import Code

__all__ = ["append"]

# What is in the log by (room_id, author_key, client_id): its seq, time and digest.
_Known = dict[tuple[int, str, str], tuple[int, datetime, bytes]]


def append(
    connection: Any,
    entries: Sequence[Entry],
    *,
    wait: bool = True,
    look: bool = True,
) -> list[Verdict | None]:
    """Write entries in their order and return a verdict for each.

    The caller holds a transaction on `connection` and commits it before telling
    anybody. None stands for an entry whose room another transaction holds, and
    comes only without `wait`: ask again, in the same order.

    Without `look` nobody looks which client_ids are known: most are new, and the
    unique index finds the others while it is written.

    Raises:
        IntegrityError: Without `look`, when one was known: roll back, ask again.
    """
    batch = _Batch(connection, wait=wait, look=look)
    if Grown not in set(map(type, entries)):
        return batch.write(entries)
    order = _saves_after_drafts(entries)
    verdicts: list[Verdict | None] = [None] * len(entries)
    written = batch.write([entries[place] for place in order])
    for place, verdict in zip(order, written, strict=True):
        verdicts[place] = verdict
    return verdicts


def _saves_after_drafts(entries: Sequence[Entry]) -> list[int]:
    """Return an order in which saves of growing texts don't stand between drafts.

    A save takes no seq and no draft changes its text, so these two may change places.
    Neither passes anything else.
    """
    keys: list[tuple[int, bool]] = []
    stretch = 0
    for entry in entries:
        if not isinstance(entry, Draft | Grown):
            stretch += 1
        keys.append((stretch, isinstance(entry, Grown)))
    return sorted(range(len(entries)), key=keys.__getitem__)


class _Batch:
    """One transaction's work: the locked rooms and what is numbered so far."""

    def __init__(self, connection: Any, *, wait: bool, look: bool) -> None:
        self.connection = connection
        self.using: str = connection.alias
        self.sql: Dialect = dialect_of(connection)
        self.wait = wait
        self.look = look
        self.now = timezone.now()
        self.digests = Digests()
        self.rooms: dict[int, LockedRoom] = {}
        self.heads: dict[int, int] = {}
        self.busy: set[int] = set()  # rooms that another transaction holds
        self.growing = GrowingRows(self.using, self.now)

    def write(self, entries: Sequence[Entry]) -> list[Verdict | None]:
        """Write runs of drafts by the set and all else one by one, in order."""
        # Most batches are drafts that are all new, so the heads are advanced by that
        # while the rooms are locked, and set again where it came otherwise.
        counts: dict[int, int] = {}
        for entry in entries:
            new = 1 if isinstance(entry, Draft) else 0
            counts[entry.room_id] = counts.get(entry.room_id, 0) + new
        counts = dict(sorted(counts.items()))
        for room in self.sql.lock_rooms(counts, wait=self.wait):
            self.rooms[room.id] = room
            self.heads[room.id] = room.head
        if not self.wait and len(self.rooms) < len(counts):
            self.busy = self._busy(counts.keys() - self.rooms.keys())
        counted = {i: head + counts[i] for i, head in self.heads.items()}
        verdicts: list[Verdict | None] = []
        for kind, run in groupby(entries, type):
            if kind is Draft:
                verdicts += self._drafts(cast("list[Draft]", list(run)))
            else:
                verdicts += [self._one(entry) for entry in run]
        otherwise = {i: h for i, h in self.heads.items() if h != counted[i]}
        if otherwise:
            self.sql.set_heads(otherwise)
        if is_anything_owed():
            self._owe(entries, verdicts)
        return verdicts

    def _owe(
        self, entries: Sequence[Entry], verdicts: Iterable[Verdict | None]
    ) -> None:
        """Have noted what is owed for what is new; not for what is brought over."""
        written = [
            (entry.room_id, verdict.push)
            for entry, verdict in zip(entries, verdicts, strict=True)
            if isinstance(verdict, Written)
            and not (isinstance(entry, Draft) and entry.at is not None)
        ]
        if written:
            owe(self.connection, written, ours=not self.wait)

    def _next(self, room_id: int) -> int:
        seq = self.heads[room_id] = self.heads[room_id] + 1
        return seq

    def _busy(self, room_ids: Collection[int]) -> set[int]:
        """Return those of the rooms that were not locked which are there."""
        # Looked for after the lock was tried: what is not there now is gone, where
        # what was left out of the lock may be held only.
        rooms = Room.objects.using(self.using).filter(pk__in=room_ids)
        return set(rooms.values_list("pk", flat=True))

    def _without_room(self, room_id: int) -> Verdict | None:
        """Return the verdict for an entry whose room is not locked."""
        return None if room_id in self.busy else Refused(error(Code.NOT_FOUND))

    # --- messages, by the set ---

    def _drafts(self, drafts: list[Draft]) -> list[Verdict | None]:
        """Number and insert messages."""
        known = self._known(drafts) if self.look else {}
        guarded = {room.id for room in self.rooms.values() if room.guarded}
        held = self._held(
            (draft.room_id, draft.actor.key)
            for draft in drafts
            if draft.room_id in guarded
        )
        if held and not self.look:
            # Whoever is refused inserts nothing, so the index cannot tell a retry.
            known = self._known(d for d in drafts if (d.room_id, d.actor.key) in held)
        rows: list[EventRow] = []
        verdicts: list[Verdict | None] = []
        for draft in drafts:
            if draft.room_id not in self.rooms:
                verdicts.append(self._without_room(draft.room_id))
                continue
            # What was written elsewhere and then is not stopped by a ban of today.
            is_judged = held and draft.at is None
            refused = held.get((draft.room_id, draft.actor.key)) if is_judged else None
            verdicts.append(self._draft(draft, known, refused, rows))
        if rows:
            self.sql.insert_events(rows)
            self.growing.opened(rows)
        return verdicts

    def _draft(
        self,
        draft: Draft,
        known: _Known,
        refused: Refused | None,
        rows: list[EventRow],
    ) -> Verdict:
        """Number one draft, unless it is known in table or batch, or refused.

        What is known comes first: the retry of a message that was saved before its
        author was muted still learns its seq.
        """
        digest = None
        if draft.client_id is not None:
            key = (draft.room_id, draft.actor.key, draft.client_id)
            if key in known:
                seq, at, first = known[key]
                if self.digests.match(draft, bytes(first)):
                    return Known(seq, at)
                return Refused(error(Code.ID_CONFLICT, client_id=draft.client_id))
        if refused is not None:
            about = msgspec.structs.replace(refused.error, client_id=draft.client_id)
            return Refused(about)
        if draft.client_id is not None:
            digest = self.digests.newest(draft)
        row = EventRow(
            draft.room_id,
            self._next(draft.room_id),
            "message",
            draft.actor.key,
            draft.actor.name,
            draft.client_id,
            digest,
            draft.text,
            draft.details,
            None,
            draft.at or self.now,
        )
        rows.append(row)
        if draft.client_id is not None and digest is not None:
            known[key] = (row.seq, row.at, digest)
        return Written(as_push(row, self.rooms[draft.room_id].slug))

    def _known(self, drafts: Iterable[Draft]) -> _Known:
        keys = {
            (draft.room_id, draft.actor.key, draft.client_id)
            for draft in drafts
            if draft.client_id is not None
        }
        if not keys:
            return {}
        found = self.sql.find_client_ids(sorted(keys))
        return {(r, k, c): (seq, at, digest) for r, k, c, seq, at, digest in found}

    def _held(
        self,
        pairs: Iterable[tuple[int, str]],
    ) -> dict[tuple[int, str], Refused]:
        """Return a refusal for each who is banned or muted, read under the lock."""
        keys = sorted(set(pairs))
        if not keys:
            return {}
        return {
            (room_id, key): self._refusal(banned=banned, until=until)
            for room_id, key, banned, until in self.sql.find_held(keys, self.now)
        }

    def _refusal(self, *, banned: bool, until: datetime | None) -> Refused:
        if banned or until is None:
            return Refused(error(Code.BANNED))
        left_ms = int((until - self.now).total_seconds() * 1000) + 1
        return Refused(error(Code.MUTED, retry_after_ms=left_ms))

    # --- all else, one by one ---

    def _one(self, entry: Entry) -> Verdict | None:
        if entry.room_id not in self.rooms:
            return self._without_room(entry.room_id)
        if isinstance(entry, Change):
            held = self._held([(entry.room_id, entry.actor.key)])
            return next(iter(held.values()), None) or self._change(entry)
        if isinstance(entry, Grown):
            return self._outside(entry) or self.growing.save(entry)
        if isinstance(entry, Ended):
            return self._end(entry)
        if isinstance(entry, MemberChange):
            return self._member_change(entry)
        if isinstance(entry, ReadMark):
            return self._read_mark(entry)
        raise TypeError(f"{entry!r} is no entry of the log")

    def _add(self, row: EventRow) -> Written:
        self.sql.insert_events([row])
        return Written(as_push(row, self.rooms[row.room_id].slug))

    def _row(
        self, entry: Change | Ended | MemberChange, kind: str, **more: Any
    ) -> EventRow:
        return EventRow(
            room_id=entry.room_id,
            seq=self._next(entry.room_id),
            kind=kind,
            author_key=entry.actor.key,
            author_name=entry.actor.name,
            client_id=None,
            at=self.now,
            **{"digest": None, "text": "", "details": None, "target": None} | more,
        )

    def _change(self, change: Change) -> Verdict:
        """Edit or delete a message; what changes nothing gives the earlier seq."""
        events = Event.objects.using(self.using).filter(room_id=change.room_id)
        message = events.filter(seq=change.target, kind=Event.Kind.MESSAGE).first()
        if message is None:
            return Refused(error(Code.NOT_FOUND))
        if message.deleted_seq is not None:
            if change.text is None:
                return Known(message.deleted_seq, self._at(events, message.deleted_seq))
            return Refused(error(Code.NOT_FOUND))
        if change.text is None:
            return self._deletion(change, events)
        return self._edit(change, change.text, message, events)

    def _edit(self, change: Change, text: str, message: Event, events: Any) -> Verdict:
        if message.details and message.details.get("open"):
            return Refused(error(Code.GROWING))
        kept = {
            key: value
            for key, value in (message.details or {}).items()
            if key not in {"format", "data"}
        }
        details = (kept | (change.details or {})) or None
        if (message.text, message.details) == (text, details):
            seq = message.edited_seq or message.seq
            return Known(seq, self._at(events, seq))
        new = {"text": text, "details": change.details}
        row = self._row(change, "edited", target=change.target, **new)
        current = {"text": text, "details": details, "edited_seq": row.seq}
        events.filter(seq=change.target).update(**current)
        return self._add(row)

    def _deletion(self, change: Change, events: Any) -> Verdict:
        """Blank a message's text and its edits', here and now."""
        row = self._row(change, "deleted", target=change.target)
        blank = {"text": "", "details": None, "deleted_seq": row.seq}
        events.filter(seq=change.target).update(**blank)
        events.filter(target=change.target, kind=Event.Kind.EDITED).update(**blank)
        self.growing.forget(change.room_id, change.target)
        return self._add(row)

    def _outside(self, entry: Grown | Ended) -> Refused | None:
        """Return why an author may not say more: banned, muted, or no member now."""
        room, key = self.rooms[entry.room_id], entry.actor.key
        if key == SYSTEM.key:
            return None
        held = self._held([(room.id, key)])
        if held or room.kind == Room.Kind.PUBLIC:
            return next(iter(held.values()), None)
        members = Member.objects.using(self.using).filter(room_id=room.id)
        is_member = members.filter(author_key=key).exists()
        is_out = not is_member and self._was_removed(entry)
        return Refused(error(Code.FORBIDDEN)) if is_out else None

    def _was_removed(self, entry: Grown | Ended) -> bool:
        """Return whether an author was removed since their message began.

        By a project's own rules somebody may write who is no member.
        """
        events = Event.objects.using(self.using).filter(room_id=entry.room_id)
        since: Any = events.filter(kind=Event.Kind.MEMBERSHIP, seq__gt=entry.seq)
        author_id = entry.actor.author.id
        return any(
            told["member"]["id"] == author_id
            and told["change"] in {"removed", "unbanned"}
            for told in since.values_list("details", flat=True)
        )

    def _end(self, ended: Ended) -> Verdict:
        """End a growing message; of those who do it at once the first one does."""
        message = self.growing.find(ended.room_id, ended.seq)
        if message is None:
            # An older version beside this one may have left the mark.
            self.growing.forget(ended.room_id, ended.seq)
            return Refused(error(Code.NOT_GROWING))
        mark = ended.alive_at
        if mark is not None and self.growing.is_marked_since(ended, mark):
            return Refused(error(Code.GROWING))
        text, state = ended.text, ended.state
        if state == "done" and self._outside(ended) is not None:
            # What came after they were is not said.
            is_longer = (text or "").startswith(message.text)
            text, state = message.text if is_longer else None, "cut"
        if not ended.replaces and len(text or "") < len(message.text):
            text = message.text
        details = self.growing.end(message, text or "", state)
        new: dict[str, Any] = {"text": text or "", "details": details}
        said = ended.said
        if said is not None and said != new["text"] and state == ended.state:
            new["digest"] = self.digests.newest_of_length(len(said))
        return self._add(self._row(ended, "edited", target=ended.seq, **new))

    def _at(self, events: Any, seq: int) -> datetime:
        at: datetime = events.values_list("at", flat=True).get(seq=seq)
        return at

    def _member_change(self, change: MemberChange) -> Verdict:
        """Change a standing and tell it; what changes nothing tells nothing."""
        if not self._stand(change):
            return Known(self.heads[change.room_id], self.now)
        author = change.member.author
        told: dict[str, Any] = {
            "member": {"id": author.id, "kind": author.kind, "name": author.name},
            "change": change.change,
        }
        if change.role is not None:
            told["role"] = change.role
        if change.until is not None:
            told["until"] = timestamp(change.until)
        return self._add(self._row(change, "membership", details=told))

    def _stand(self, change: MemberChange) -> bool:
        """Write or remove the member's row; return whether anything is different."""
        public = self.rooms[change.room_id].kind == Room.Kind.PUBLIC
        members = Member.objects.using(self.using).filter(room_id=change.room_id)
        member = members.filter(author_key=change.member.key).first()
        # Outside public rooms the row itself is the right to come in: whoever is no
        # longer banned must be added again, and a mute or a role adds nobody.
        gone = change.change == "removed" or (
            change.change == "unbanned" and not public
        )
        if gone:
            return member is not None and member.delete()[0] > 0
        wishes: dict[str, dict[str, Any]] = {
            "added": {},
            "role": {"role": change.role},
            "muted": {"muted_until": change.until},
            "unmuted": {"muted_until": None},
            "banned": {"banned": True},
            "unbanned": {"banned": False},
        }
        new = wishes[change.change]
        if member is not None:
            if all(getattr(member, name) == value for name, value in new.items()):
                return False
            return members.filter(pk=member.pk).update(**new) > 0
        if change.change in {"unmuted", "unbanned"}:
            return False  # who is not held is not let go
        if not public and change.change not in {"added", "banned"}:
            return False
        if change.change == "added" and change.role is not None:
            new["role"] = change.role
        head = self.heads[change.room_id]
        # In a group a newcomer sees from here on: what was said before is not theirs.
        since = {} if public else {"visible_from_seq": head + 1, "read_seq": head}
        members.create(
            room_id=change.room_id,
            author_key=change.member.key,
            user=change.member.user,
            name=change.member.name,
            **since,
            **new,
        )
        return True

    def _read_mark(self, mark: ReadMark) -> Verdict:
        """Move a read mark up, never past the head and never back."""
        seq = min(mark.seq, self.heads[mark.room_id])
        members = Member.objects.using(self.using).filter(room_id=mark.room_id)
        member = members.filter(author_key=mark.actor.key).first()
        if member is None:
            if self.rooms[mark.room_id].kind != Room.Kind.PUBLIC:
                return Refused(error(Code.NOT_FOUND))  # removed in the meantime
            members.create(
                room_id=mark.room_id,
                author_key=mark.actor.key,
                user=mark.actor.user,
                name=mark.actor.name,
                read_seq=seq,
            )
        elif member.read_seq < seq:
            members.filter(pk=member.pk, read_seq__lt=seq).update(read_seq=seq)
        else:
            seq = member.read_seq
        return Known(seq, self.now)
