"""From a message to the notice of those who have not read it and are not there.

In two steps, each a delivery, so that nothing is lost with a process. A message is owed
to the handler as any event is; its call owes a notice to each person concerned, to be
made when they have had time to read. One that waits already is enough: when it is made,
all is told that is unread by then. What somebody was told is kept, and not told again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import F, Q, QuerySet
from django.db.models.expressions import RawSQL

from headgate.chat import storage
from headgate.chat.hooks import RoomEvent, room_event
from headgate.chat.models import Event, Member, Room
from headgate.chat.people import Actor, actor_for
from headgate.chat.permissions import rights_in
from headgate.chat.rows import COLUMNS, EventRow, as_push
from headgate.chat.whereabouts import is_connected
from headgate.outbound.absent import Absence, AbsentHandler
from headgate.outbound.calls import Told
from headgate.outbound.models import AbsentMark, Delivery
from headgate.protocol.fields import UNREAD_CAP
from headgate.protocol.pushes import Message

__all__ = ["NOTICE", "call_absent"]

NOTICE = "absent"  # the event of a delivery that is a person's
_CHUNK = 500  # people of one query
_OF_MEMBERS = (Room.Kind.GROUP, Room.Kind.DIRECT)
# SQLite takes the index of the keys only where its condition is there, word for word.
_KEYED = ~Q(order_key=RawSQL("''", ())) & Q(state=RawSQL("'due'", ()))

Run = Callable[..., Awaitable[None]]


async def call_absent(
    handler: AbsentHandler, destination_id: int, told: Told, run: Run
) -> None:
    """Owe the notices of a message, or make one that is due.

    Raises:
        LogUnavailable: The database is away.
    """
    if told.event != NOTICE:
        await storage.change(_owe_notices, handler, destination_id, told)
        return
    key = str((told.payload or {}).get("person", ""))
    if await is_connected(key):
        return
    found = await storage.read(_missed, handler, destination_id, told.id, key)
    if found is not None:
        await run(handler.function, found.absence)
        await storage.change(_keep_marks, handler.name, key, found.marks)


# --- a message ---


def _owe_notices(handler: AbsentHandler, destination_id: int, told: Told) -> None:
    push, room_id = told.push, told.room_id
    if not isinstance(push, Message) or push.deleted or room_id is None:
        return
    room = Room.objects.filter(pk=room_id).first()
    if room is None:
        return
    mentioned = _mentioned(push)
    if room.kind in _OF_MEMBERS:
        rows = Member.objects.filter(
            room=room,
            user__isnull=False,
            banned=False,
            read_seq__lt=push.seq,
            visible_from_seq__lte=push.seq,
        )
        concerned = set(rows.values_list("author_key", flat=True))
        mentioned &= concerned
    else:
        concerned = set(mentioned)
    concerned.discard(push.author.id)
    due_at = told.at + handler.after_seconds
    people = sorted(concerned)
    for begin in range(0, len(people), _CHUNK):
        keys = people[begin : begin + _CHUNK]
        waiting = set(_waiting(destination_id, keys))
        Delivery.objects.bulk_create(
            Delivery(
                destination_id=destination_id,
                event=NOTICE,
                payload={"person": key, **_mention(key in mentioned, room, push)},
                order_key=key,
                due_at=due_at,
                created_at=time.time(),
            )
            for key in keys
            # A mention is known by its own row alone.
            if key in mentioned or key not in waiting
        )


def _mentioned(push: Message) -> set[str]:
    """Return the keys of those whom a message mentions and who have an account.

    Its author may have written anything there: what is no key is nobody's.
    """
    given = (push.data or {}).get("mentions")
    listed = given if isinstance(given, list) else []
    keys = {key for key in listed if isinstance(key, str) and key.startswith("u:")}
    users = get_user_model()
    field = users._meta.pk  # noqa: SLF001 - Django's public _meta
    found = set()
    for key in keys:
        if "\0" not in key:  # which PostgreSQL does not take
            with contextlib.suppress(ValidationError):
                found.add(field.clean(key.removeprefix("u:"), None))
    rows = users._default_manager.filter(pk__in=found)  # noqa: SLF001 - documented
    # `u:05` is no key, though 05 is a number.
    return keys & {f"u:{pk}" for pk in rows.values_list("pk", flat=True)}


def _mention(is_one: bool, room: Room, push: Message) -> dict[str, Any]:  # noqa: FBT001
    return {"mention": [room.pk, push.seq]} if is_one else {}


def _waiting(destination_id: int, keys: Iterable[str]) -> QuerySet[Delivery, str]:
    """Return those who have a notice that is not being made yet."""
    return Delivery.objects.filter(
        _KEYED,
        destination_id=destination_id,
        lease="",
        order_key__in=list(keys),
    ).values_list("order_key", flat=True)


# --- a notice ---


@dataclass(frozen=True, slots=True)
class _Missed:
    """What somebody misses, and up to where that is told in each room, by its row."""

    absence: Absence
    marks: dict[int, int]


@dataclass(frozen=True, slots=True)
class _Unread:
    """What is unread in a room."""

    slug: str
    count: int
    last: RoomEvent


def _missed(
    handler: AbsentHandler, destination_id: int, delivery_id: str, key: str
) -> _Missed | None:
    """Return what somebody misses, or None where there is nothing new in it."""
    pk = key.removeprefix("u:")
    users = get_user_model()._default_manager  # noqa: SLF001 - Django's documented name
    user: Any = users.filter(pk=pk).first()
    if user is None or not user.is_active:
        return None
    actor = actor_for(user)
    members = _unread_of_members(actor)
    mentions = _mentions(destination_id, actor)
    marks = {room_id: each.last.seq for room_id, each in members.items()}
    for room_id, events in mentions.items():
        marks[room_id] = max(marks.get(room_id, 0), events[-1].seq)
    known = dict(
        AbsentMark.objects.filter(
            handler=handler.name, person=key, room__in=marks
        ).values_list("room_id", "seq"),
    )
    if all(seq <= known.get(room_id, 0) for room_id, seq in marks.items()):
        return None
    marks = {room_id: max(seq, known.get(room_id, 0)) for room_id, seq in marks.items()}
    listed = [each for events in mentions.values() for each in events]
    last = [*(each.last for each in members.values()), *listed]
    absence = Absence(
        id=delivery_id,
        user=user,
        rooms={each.slug: each.count for each in members.values()},
        mentioned=[(each.room, each.seq) for each in listed],
        last=max(last, key=lambda event: event.at),
    )
    return _Missed(absence, marks)


def _unread_of_members(actor: Actor) -> dict[int, _Unread]:
    """Return what somebody has not read in rooms for members, by the rooms' rows."""
    rows = Member.objects.filter(
        author_key=actor.key,
        banned=False,
        room__kind__in=_OF_MEMBERS,
        read_seq__lt=F("room__head"),
    ).select_related("room")
    found = {}
    for row in rows:
        if not _may_watch(actor, row.room):
            continue
        after = max(row.read_seq, row.visible_from_seq - 1)
        unread = _messages(row.room_id, after).exclude(author_key=actor.key)
        last = _event(unread.order_by("-seq"), row.room)
        if last is not None:
            count = unread.order_by("seq").values("pk")[:UNREAD_CAP].count()
            found[row.room_id] = _Unread(row.room.slug, count, last)
    return found


def _mentions(destination_id: int, actor: Actor) -> dict[int, Sequence[RoomEvent]]:
    """Return the unread messages that mention somebody, by the rooms' rows."""
    owed = Delivery.objects.filter(
        _KEYED, destination_id=destination_id, order_key=actor.key
    )
    seqs: dict[int, set[int]] = {}
    for payload in owed.values_list("payload", flat=True):
        mention = (payload or {}).get("mention")
        if mention is not None:
            seqs.setdefault(mention[0], set()).add(mention[1])
    found: dict[int, Sequence[RoomEvent]] = {}
    for room in Room.objects.filter(pk__in=seqs):
        if not _may_watch(actor, room):
            continue
        member = Member.objects.filter(room=room, author_key=actor.key).first()
        rows = _messages(room.pk, 0 if member is None else member.read_seq)
        rows = rows.filter(seq__in=seqs[room.pk]).order_by("seq")
        events = [
            room_event(as_push(EventRow(*row), room.slug))
            for row in rows.values_list(*COLUMNS)
        ]
        if events:
            found[room.pk] = events
    return found


def _messages(room_id: int, after: int) -> QuerySet[Event]:
    return Event.objects.filter(
        room_id=room_id,
        kind=Event.Kind.MESSAGE,
        seq__gt=after,
        deleted_seq__isnull=True,
    )


def _event(rows: QuerySet[Event], room: Room) -> RoomEvent | None:
    row = rows.values_list(*COLUMNS).first()
    return None if row is None else room_event(as_push(EventRow(*row), room.slug))


def _may_watch(actor: Actor, room: Room) -> bool:
    return rights_in(actor, room).denial("watch") is None


def _keep_marks(handler: str, key: str, marks: dict[int, int]) -> None:
    """Keep up to where somebody was told."""
    AbsentMark.objects.bulk_create(
        [
            AbsentMark(handler=handler, person=key, room_id=room_id, seq=seq)
            for room_id, seq in marks.items()
        ],
        update_conflicts=True,
        unique_fields=["handler", "person", "room"],
        update_fields=["seq"],
    )
