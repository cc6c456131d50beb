"""What moderators may do to people: who is known in a room, and who outranks whom.

That somebody moderates a room is one of the operations of `can()`. To whom they may do
something follows from how both stand: an owner, and whoever moderates without a role
in the room, is above its moderators, and these are above all others. Nobody may do
anything to those beside or above them, or to themselves.
"""

from __future__ import annotations

from enum import IntEnum

from django.contrib.auth import get_user_model

from headgate.chat.granted import is_granted
from headgate.chat.models import Event, Member, Room
from headgate.chat.people import Actor, actor_for, author
from headgate.chat.permissions import MODERATES_ALL, Deny, can, permissions
from headgate.protocol.pushes import Author

__all__ = ["known_person", "may_moderate"]

_SELF = Deny(text="Nobody mutes or bans themselves.")
_AS_HIGH = Deny(text="They stand as high in this room as you do, or higher.")
_HELD = frozenset({"user", "guest", "bot"})  # kinds of authors who may be held


class _Rank(IntEnum):
    """How high somebody stands in a room."""

    OTHER = 0
    MODERATOR = 1
    OWNER = 2


def may_moderate(actor: Actor, person: Actor, room: Room) -> Deny | None:
    """Return why somebody may not mute or ban a person in a room, or None.

    Asks the database.
    """
    decision = can(actor, "moderate", room)
    if isinstance(decision, Deny):
        return decision
    if actor.key == person.key:
        return _SELF
    return None if _rank(person, room) < _rank(actor, room) else _AS_HIGH


def _rank(actor: Actor, room: Room) -> _Rank:
    """Return how high somebody stands; a ban takes no role from anybody."""
    moderates = not isinstance(can(actor, "moderate", room), Deny)
    member = permissions().member(actor, room)
    role = None if member is None else member.role
    if role == Member.Role.OWNER or is_granted(actor.user, MODERATES_ALL):
        return _Rank.OWNER
    if role == Member.Role.MODERATOR:
        return _Rank.MODERATOR
    return _Rank.OWNER if moderates else _Rank.OTHER


def _name_in(room_id: int, key: str) -> str | None:
    """Return by what name somebody is known in a room, the latest first."""
    # From the end of the log back, until one is theirs: they wrote lately, mostly.
    own = Event.objects.filter(room_id=room_id, author_key=key).order_by("-seq")
    wrote = own.values_list("author_name", flat=True).first()
    if wrote is not None:
        return wrote
    row = Member.objects.filter(room_id=room_id, author_key=key).first()
    return None if row is None else row.name


def known_person(room_id: int, key: str, here: Author | None = None) -> Actor | None:
    """Return whose author id it is, if they are known in a room, or None.

    Known are those who have a row there, or wrote something, or are `here` now: so
    nobody learns by trying ids who else has an account. Asks the database.
    """
    if author(key, "").kind not in _HELD:
        return None
    name = _name_in(room_id, key) if here is None else here.name
    if name is None:
        return None
    if author(key, "").kind != "user":
        return Actor(key, name)
    users = get_user_model()._default_manager  # noqa: SLF001 - Django's documented name
    user = users.filter(pk=key.removeprefix("u:")).first()
    return None if user is None else actor_for(user)
