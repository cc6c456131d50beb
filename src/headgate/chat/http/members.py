"""The people of a room as its moderators see them over HTTP, and what they do to them.

Each function is one look at the database, but for who is there now, which the running
engine knows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

from django.db import router, transaction
from django.db.models import Q
from django.utils import timezone
from msgspec import UNSET

from headgate.chat import storage
from headgate.chat.engine import started_engine
from headgate.chat.entries import MemberChange as Change
from headgate.chat.entries import Refused, Written
from headgate.chat.http.problems import Refusal
from headgate.chat.http.reading import rights_of
from headgate.chat.http.schemas import (
    MemberChange,
    MemberChanged,
    MemberShown,
    MembersShown,
    Role,
)
from headgate.chat.models import Event, Member, Room
from headgate.chat.moderation import known_person, may_moderate
from headgate.chat.people import Actor, actor_for, author
from headgate.chat.permissions import Deny, can
from headgate.chat.profiles import profiles_of
from headgate.chat.rows import timestamp
from headgate.chat.visitor import denied
from headgate.protocol.codec import error, is_author_id
from headgate.protocol.codes import Code
from headgate.protocol.pushes import Author, LogEvent

__all__ = ["change_member", "find_present", "members_shown", "room_to_moderate"]

_MODERATORS = [Member.Role.OWNER, Member.Role.MODERATOR]


def room_to_moderate(actor: Actor, slug: str) -> int:
    """Return the id of a room that somebody moderates.

    Raises:
        Refusal: They do not moderate it, or it is not there for them.
    """
    rights = rights_of(actor, slug)
    if not rights.moderates:
        decision = can(actor, "moderate", Room.objects.get(pk=rights.room_id))
        raise Refusal(denied(decision if isinstance(decision, Deny) else Deny()))
    return rights.room_id


def members_shown(
    actor: Actor, slug: str, *, after: str | None, limit: int
) -> MembersShown:
    """Return a page of those who stand out in a room; raises as `room_to_moderate`."""
    room = Room.objects.get(pk=room_to_moderate(actor, slug))
    members = Member.objects.filter(room=room).select_related("user")
    if room.kind == Room.Kind.PUBLIC:
        # Most rows there do no more than keep a read mark.
        members = members.filter(
            Q(role__in=_MODERATORS) | Q(banned=True) | Q(muted_until__gt=timezone.now())
        )
    if after is not None:
        members = members.filter(author_key__gt=after)
    found = list(members.order_by("author_key")[: limit + 1])
    page = found[:limit]
    profiles_of(each.author_key for each in page)  # in one batch
    return MembersShown(
        members=[_shown(_author(each), each, room) for each in page],
        next=page[-1].author_key if len(found) > limit else None,
    )


def find_present(room_id: int, key: str) -> Author | None:
    """Return somebody who is in a room now, as far as this process knows."""
    running = started_engine()
    return None if running is None else running.attendance.find(room_id, key)


def change_member(
    actor: Actor, room_id: int, key: str, wanted: MemberChange, here: Author | None
) -> MemberChanged:
    """Mute or ban somebody, or let them go, and return how they stand then.

    Args:
        actor: Who does it.
        room_id: Where; a room that they moderate.
        key: To whom: the id of an author.
        wanted: What is to become of them.
        here: Them, if they are there now.

    Raises:
        Refusal: There is no such person, or it may not be done to them.
    """
    room = Room.objects.get(pk=room_id)
    person = known_person(room_id, key, here) if is_author_id(key) else None
    if person is None:
        raise Refusal(error(Code.NOT_FOUND))
    denial = may_moderate(actor, person, room)
    if denial is not None:
        raise Refusal(denied(denial))
    events = _write(_changes(actor, room, person, wanted))
    row = Member.objects.filter(room=room, author_key=key).first()
    shown = _shown(person.author, row, room)
    last = events[-1] if events else None
    return MemberChanged(
        member=shown.member,
        role=shown.role,
        muted_until=shown.muted_until,
        banned=shown.banned,
        seq=None if last is None else last.seq,
        at=None if last is None else last.at,
    )


def _changes(
    actor: Actor, room: Room, person: Actor, wanted: MemberChange
) -> list[Change]:
    found = []
    if wanted.mute_ms is not UNSET:
        until: datetime | None = None
        if wanted.mute_ms:
            until = timezone.now() + timedelta(milliseconds=wanted.mute_ms)
        change = "unmuted" if until is None else "muted"
        found.append(Change(room.pk, actor, person, change, until=until))
    if wanted.banned is not UNSET:
        change = "banned" if wanted.banned else "unbanned"
        found.append(Change(room.pk, actor, person, change))
    return found


def _write(changes: list[Change]) -> list[LogEvent]:
    """Write all of them or none; return the events of those that changed something."""
    events = []
    with transaction.atomic(using=router.db_for_write(Event)):
        for change in changes:
            verdict = storage.write_here(change)
            if isinstance(verdict, Refused):
                raise Refusal(verdict.error)
            if isinstance(verdict, Written):
                events.append(verdict.push)
    return events


def _author(member: Member) -> Author:
    """Return a member as they are shown now; who has no account, as they were then."""
    if member.user is None:
        return author(member.author_key, member.name)
    return actor_for(member.user).author


def _shown(who: Author, row: Member | None, room: Room) -> MemberShown:
    if row is None:
        return MemberShown(member=who)
    until = row.muted_until
    muted = until is not None and until > timezone.now()
    # In a public room everybody is a member, with a row or without.
    has_role = row.role in _MODERATORS or room.kind != Room.Kind.PUBLIC
    return MemberShown(
        member=who,
        role=cast("Role", row.role) if has_role else None,
        muted_until=timestamp(until) if until is not None and muted else None,
        banned=row.banned,
    )
