"""Who may do what: one `can()` for every door.

A project subclasses `Permissions` and names the class in `HEADGATE["PERMISSIONS"]`.
Decisions are made off the event loop and may use the ORM. Those about a room are
made when somebody comes in, and again when their standing changes; those about one
message are made each time. Mutes are not decided here but by the journal, under
the room's lock, at the moment of writing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from django.db.models import Q, QuerySet
from django.utils.module_loading import import_string

from headgate.chat.conf import conf
from headgate.chat.lookups import Lookups
from headgate.chat.models import Member, Message, Room
from headgate.chat.people import SYSTEM, Actor
from headgate.chat.room_limits import RoomLimits
from headgate.protocol.codes import Code

__all__ = [
    "MANAGES_ALL",
    "MESSAGE_OPERATIONS",
    "MODERATES_ALL",
    "MODERATION_OPERATIONS",
    "ROOM_OPERATIONS",
    "Allow",
    "Deny",
    "Permissions",
    "Rights",
    "can",
    "rights_in",
]

# Decided once for a room; for each message.
ROOM_OPERATIONS = ("watch", "history", "send", "typing", "read")
MESSAGE_OPERATIONS = ("edit", "delete", "cancel")
# Decided when it is asked for.
MODERATION_OPERATIONS = ("moderate", "manage")

# The permissions of Django's own that make somebody a moderator of all rooms, and let
# them say which services are told of any.
MODERATES_ALL = "headgate_chat.delete_message"
MANAGES_ALL = "headgate_outbound.change_destination"
_MODERATORS = frozenset({Member.Role.OWNER, Member.Role.MODERATOR})


@dataclass(frozen=True, slots=True)
class Allow:
    """It may be done."""


ALLOWED = Allow()


@dataclass(frozen=True, slots=True)
class Deny:
    """It may not; `code` and an optional `text` go to whoever asked."""

    code: Code = Code.FORBIDDEN
    text: str | None = None


class Permissions:
    """The default rules; override what differs in your project."""

    def can(
        self,
        actor: Actor,
        operation: str,
        room: Room,
        message: Message | None = None,
    ) -> Allow | Deny:
        """Decide one of the operations that are listed above.

        `moderate` is to set the room's slow mode and not to be held to it, and to mute
        and ban those who do not moderate it.
        `manage` is to say which services are told of the room, and which may post.
        `cancel` is to end a message that grows; whom it answers may do that, too.
        `message` is given for operations on a message. What is forbidden to see is
        denied as `not_found`, like what is missing, so that names cannot be guessed.
        """
        member = self.member(actor, room)
        if member is not None and member.banned:
            return Deny(Code.BANNED)
        if room.kind != Room.Kind.PUBLIC and member is None:
            return Deny(Code.NOT_FOUND)
        own = message is not None and message.author_key == actor.key
        if own or (message is None and operation not in MODERATION_OPERATIONS):
            return ALLOWED
        manages = operation == "manage" and (
            (member is not None and member.role == Member.Role.OWNER)
            or _lookups(room).is_granted(actor, MANAGES_ALL)
        )
        moderates = operation in {"delete", "cancel", "moderate"} and (
            (member is not None and member.role in _MODERATORS)
            or _lookups(room).is_granted(actor, MODERATES_ALL)
        )
        answered = operation == "cancel" and _is_answered(actor, room, message)
        may = manages or moderates or answered
        return ALLOWED if may else Deny(Code.FORBIDDEN)

    def rooms(self, actor: Actor) -> QuerySet[Room]:
        """Return the rooms that an actor may see in a list."""
        own = Member.objects.filter(author_key=actor.key)
        return Room.objects.filter(
            Q(kind=Room.Kind.PUBLIC) | Q(pk__in=own.values("room_id")),
        ).exclude(pk__in=own.filter(banned=True).values("room_id"))

    def member(self, actor: Actor, room: Room) -> Member | None:
        """Return an actor's row in a room; asked once for all of one decision."""
        kept: dict[str, Member | None] = room.__dict__.setdefault("_standing", {})
        if actor.key not in kept:
            kept[actor.key] = _lookups(room).member(room, actor.key)
        return kept[actor.key]


def _is_answered(actor: Actor, room: Room, message: Message | None) -> bool:
    """Return whether a message is an answer to one of somebody's own."""
    answered = None if message is None else (message.details or {}).get("reply_to")
    if answered is None:
        return False
    own = Message.objects.filter(room_id=room.pk, author_key=actor.key)
    return own.filter(seq=answered).exists()


def _lookups(room: Room) -> Lookups:
    found: Lookups | None = room.__dict__.get("_lookups")
    return Lookups() if found is None else found


def permissions() -> Permissions:
    """Return the project's rules."""
    rules = import_string(conf().PERMISSIONS)()
    if not isinstance(rules, Permissions):
        raise TypeError(f"{conf().PERMISSIONS} is not a subclass of Permissions")
    return rules


def can(
    actor: Actor,
    operation: str,
    room: Room,
    message: Message | None = None,
) -> Allow | Deny:
    """Decide one operation: the one function that every door goes through.

    Raises:
        ValueError: For an operation that is in no list.
    """
    of_room = (*ROOM_OPERATIONS, *MODERATION_OPERATIONS)
    if operation not in (MESSAGE_OPERATIONS if message else of_room):
        raise ValueError(f"there is no operation {operation!r} here")
    _forget_standings(room)
    return _decided(permissions(), actor, operation, room, message)


def _forget_standings(room: Room) -> None:
    """Have `Permissions.member` look again: project code keeps room objects long."""
    room.__dict__.pop("_standing", None)
    room.__dict__.pop("_lookups", None)


def _decided(
    rules: Permissions,
    actor: Actor,
    operation: str,
    room: Room,
    message: Message | None = None,
) -> Allow | Deny:
    if actor is SYSTEM:
        return ALLOWED
    return rules.can(actor, operation, room, message)


@dataclass(frozen=True, slots=True)
class Rights:
    """What was decided for an actor in a room, and where they stand.

    Every change of standing up to the event `decided_at` is in it.
    """

    room_id: int
    decided_at: int
    slug: str
    title: str
    kind: str
    decisions: Mapping[str, Allow | Deny]
    visible_from: int
    read_seq: int
    limits: RoomLimits
    # Whether there are too many members to tell them who is typing, as it was when
    # they came in.
    crowded: bool = False
    # Whether they may `moderate`, and so need not wait in slow mode.
    moderates: bool = False

    def denial(self, operation: str) -> Deny | None:
        """Return why an operation may not be done, or None where it may."""
        decision = self.decisions[operation]
        return decision if isinstance(decision, Deny) else None

    @property
    def read_only(self) -> bool:
        """Whether they may watch, but not write."""
        return self.denial("send") is not None


# One for all who may do everything: most of a busy server's connections.
_ALL_ALLOWED: Mapping[str, Allow | Deny] = MappingProxyType(
    dict.fromkeys(ROOM_OPERATIONS, ALLOWED)
)


def rights_in(actor: Actor, room: Room, lookups: Lookups | None = None) -> Rights:
    """Return an actor's rights in a room.

    `lookups` are begun for whoever has just asked, and may know of others, too.
    """
    rules = permissions()
    _forget_standings(room)
    if lookups is not None:
        room.__dict__["_lookups"] = lookups  # for `Permissions.member`
    member = rules.member(actor, room)
    decisions: Mapping[str, Allow | Deny] = {
        name: _decided(rules, actor, name, room) for name in ROOM_OPERATIONS
    }
    return Rights(
        room_id=room.pk,
        decided_at=room.head,
        slug=room.slug,
        title=room.title,
        kind=room.kind,
        decisions=_ALL_ALLOWED if decisions == _ALL_ALLOWED else decisions,
        visible_from=1 if member is None else member.visible_from_seq,
        read_seq=0 if member is None else member.read_seq,
        limits=RoomLimits.of(room.settings),
        moderates=isinstance(_decided(rules, actor, "moderate", room), Allow),
    )
