"""What is read through the HTTP door, each in one look at the database.

Rights first: a room that is not for somebody is answered like one that is not there.
Nothing is written, so a room that joining would make is not there either.
"""

from __future__ import annotations

from django.db.models import (
    BigIntegerField,
    F,
    IntegerField,
    OuterRef,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce, Greatest

from headgate.chat.history import events_page, messages_of, messages_page
from headgate.chat.http.problems import Refusal
from headgate.chat.http.schemas import EventsRead, MessagesRead, RoomShown, RoomsShown
from headgate.chat.models import Event, Member, Room
from headgate.chat.people import Actor
from headgate.chat.permissions import Deny, Permissions, Rights, can, permissions
from headgate.chat.room_limits import RoomLimits
from headgate.chat.rooms import enter, would_make
from headgate.chat.visitor import denied
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.commands import History
from headgate.protocol.fields import UNREAD_CAP

__all__ = [
    "check_may_join",
    "events_read",
    "messages_read",
    "rights_of",
    "room_shown",
    "rooms_shown",
]

_SEQ = BigIntegerField()


def room_shown(actor: Actor, slug: str) -> RoomShown:
    """Return a room as it stands for somebody; raises `Refusal`."""
    rights = rights_of(actor, slug)
    found = _shown(Room.objects.filter(pk=rights.room_id), actor)
    if not found:  # deleted in between
        raise Refusal(error(Code.NOT_FOUND))
    (shown,) = found
    shown.moderates = rights.moderates
    shown.read_only = rights.read_only
    return shown


def rooms_shown(actor: Actor, *, after: str | None, limit: int) -> RoomsShown:
    """Return a page of the rooms that somebody may see in a list.

    Those of them that they may not watch are left out.
    """
    rules = permissions()
    rooms = rules.rooms(actor).order_by("slug")
    if after is not None:
        rooms = rooms.filter(slug__gt=after)
    found = list(rooms[: limit + 1])
    page = found[:limit]
    # The default rules list nothing that they forbid; a project's may have
    # forgotten one of the two.
    if type(rules) is not Permissions:
        page = [
            each for each in page if not isinstance(can(actor, "watch", each), Deny)
        ]
    rows = Room.objects.filter(pk__in=[each.pk for each in page]).order_by("slug")
    return RoomsShown(
        rooms=_shown(rows, actor),
        next=found[limit - 1].slug if len(found) > limit else None,
    )


def messages_read(actor: Actor, command: History) -> MessagesRead:
    """Return a page of messages; raises `Refusal`."""
    rights = rights_of(actor, command.room, "history")
    page = messages_page(
        rights.room_id,
        before=command.before,
        after=command.after,
        visible_from=rights.visible_from,
        limit=command.limit,
    )
    return MessagesRead(
        room=command.room,
        messages=messages_of(page),
        head=page.head,
        epoch=page.epoch,
        more=page.more,
    )


def events_read(actor: Actor, command: History) -> EventsRead:
    """Return a page of events; raises `Refusal`."""
    rights = rights_of(actor, command.room, "history")
    page = events_page(
        rights.room_id,
        after=max(command.after or 0, rights.visible_from - 1),
        to=command.to,
        limit=command.limit,
    )
    return EventsRead(
        room=command.room,
        events=page.entries,
        head=page.head,
        epoch=page.epoch,
        more=page.more,
    )


def check_may_join(actor: Actor, slug: str) -> None:
    """Raise `Refusal` unless somebody may join a room, or joining would make it."""
    found = enter(actor, slug, make=False)
    missing = isinstance(found, Deny) and not Room.objects.filter(slug=slug).exists()
    if isinstance(found, Deny) and not (missing and would_make(slug)):
        raise Refusal(denied(found))


def rights_of(actor: Actor, slug: str, operation: str = "watch") -> Rights:
    """Return somebody's rights in a room, among them to do this; raises `Refusal`."""
    found = enter(actor, slug, make=False)
    denial = found if isinstance(found, Deny) else found.denial(operation)
    if isinstance(found, Deny) or denial is not None:
        raise Refusal(denied(denial or Deny()))
    return found


class _Counted(Subquery):
    """How many rows a query has."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) counted)"
    output_field = IntegerField()


def _shown(rooms: QuerySet[Room], actor: Actor) -> list[RoomShown]:
    """Return rooms as they stand for somebody, in one query for all of them."""
    own = Member.objects.filter(room_id=OuterRef("pk"), author_key=actor.key)
    seen = own.annotate(seen=Greatest("read_seq", F("visible_from_seq") - 1))
    unread = Event.objects.filter(
        room_id=OuterRef("pk"),
        kind=Event.Kind.MESSAGE,
        seq__gt=OuterRef("seen"),
        deleted_seq=None,
    )
    found = rooms.annotate(
        read=Coalesce(Subquery(own.values("read_seq")), 0, output_field=_SEQ),
        seen=Coalesce(Subquery(seen.values("seen")), 0, output_field=_SEQ),
        unread=_Counted(unread.values("seq")[:UNREAD_CAP]),
        role=Subquery(own.values("role")),
    )
    columns = ("title", "kind", "head", "epoch", "read", "unread", "role")
    rows = list(found.values("slug", "settings", *columns))
    for row in rows:
        limits = RoomLimits.of(row.pop("settings"))
        row["slow_mode_ms"] = round(limits.slow_mode_seconds * 1000) or None
    return [RoomShown(room=row.pop("slug"), **row) for row in rows]
