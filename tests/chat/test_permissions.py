"""Who may do what: a row for every operation, for everybody, in every kind of room."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from django.contrib.auth.models import Permission, User
from pytest_django import DjangoAssertNumQueries, Settings

from headgate.chat import actions
from headgate.chat.models import Member, Message, Room
from headgate.chat.people import SYSTEM, Actor, actor_for, new_guest
from headgate.chat.permissions import (
    MESSAGE_OPERATIONS,
    MODERATION_OPERATIONS,
    ROOM_OPERATIONS,
    Allow,
    Deny,
    Permissions,
    can,
    permissions,
    rights_in,
)
from headgate.chat.rooms import enter
from headgate.protocol.codes import Code

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

YES = None
NO, HIDDEN, BANNED = Code.FORBIDDEN, Code.NOT_FOUND, Code.BANNED

# By role: what a public room answers, and what a group or a direct room does.
STANDINGS = {
    "guest": (YES, HIDDEN),
    "stranger": (YES, HIDDEN),
    "staff": (YES, HIDDEN),
    "removed": (YES, HIDDEN),
    "member": (YES, YES),
    "moderator": (YES, YES),
    "owner": (YES, YES),
    "banned": (BANNED, BANNED),
    "system": (YES, YES),
}
EVERYBODY = dict.fromkeys(STANDINGS, YES)
# By operation and role: what somebody who may be there may do.
ROOM_ROWS = {
    "watch": EVERYBODY,
    "history": EVERYBODY,
    "send": EVERYBODY,
    "typing": EVERYBODY,
    "read": EVERYBODY,
    "moderate": {
        **dict.fromkeys(STANDINGS, NO),
        "staff": YES,
        "moderator": YES,
        "owner": YES,
        "system": YES,
    },
    "manage": {**dict.fromkeys(STANDINGS, NO), "owner": YES, "system": YES},
}
# The same for a message of somebody else.
MESSAGE_ROWS = {
    "edit": {**dict.fromkeys(STANDINGS, NO), "system": YES},
    "cancel": {
        **dict.fromkeys(STANDINGS, NO),
        "staff": YES,
        "moderator": YES,
        "owner": YES,
        "system": YES,
    },
    "delete": {
        **dict.fromkeys(STANDINGS, NO),
        "staff": YES,
        "moderator": YES,
        "owner": YES,
        "system": YES,
    },
}


def test_every_operation_has_its_row() -> None:
    assert set(ROOM_ROWS) == {*ROOM_OPERATIONS, *MODERATION_OPERATIONS}
    assert set(MESSAGE_ROWS) == set(MESSAGE_OPERATIONS)


def somebody(role: str, room: Room) -> Actor:
    """Return an actor with a standing in a room."""
    if role == "system":
        return SYSTEM
    if role == "guest":
        return new_guest("Gus")
    user = User.objects.create_user(role)
    if role == "staff":
        may = Permission.objects.get(
            content_type__app_label="headgate_chat",
            codename="delete_message",
        )
        user.user_permissions.add(may)
    elif role in Member.Role.values:
        actions.add_member(room, user, role=role)
    elif role in {"removed", "banned"}:
        actions.add_member(room, user)
        (actions.ban if role == "banned" else actions.remove_member)(room, user)
    return actor_for(User.objects.get(pk=user.pk))


def code(decision: Allow | Deny) -> Code | None:
    return decision.code if isinstance(decision, Deny) else None


@pytest.mark.parametrize(("kind", "role"), [*product(Room.Kind.values, STANDINGS)])
def test_the_matrix(kind: str, role: str, grace: User) -> None:
    room = Room.objects.create(slug="room", kind=kind)
    actions.add_member(room, grace)
    seq = actions.send_message(room, grace, "hers").seq
    actor = somebody(role, room)
    standing = STANDINGS[role][kind != Room.Kind.PUBLIC]

    for operation, row in ROOM_ROWS.items():
        fresh = Room.objects.get(pk=room.pk)
        assert code(can(actor, operation, fresh)) == (standing or row[role]), operation
    message = Message.objects.get(seq=seq)
    for operation, row in MESSAGE_ROWS.items():
        fresh = Room.objects.get(pk=room.pk)
        decision = can(actor, operation, fresh, message)
        assert code(decision) == (standing or row[role]), operation


def test_whom_a_message_answers_may_cancel_it_and_no_more(
    ada: User, grace: User
) -> None:
    room = Room.objects.create(slug="room")
    asked = actions.send_message(room, ada, "why?").seq
    seq = actions.send_message(room, SYSTEM, "because", reply_to=asked).seq
    answer = Message.objects.get(seq=seq)

    for operation in MESSAGE_OPERATIONS:
        may = YES if operation == "cancel" else NO
        assert code(can(actor_for(ada), operation, room, answer)) == may
        assert code(can(actor_for(grace), operation, room, answer)) == NO


@pytest.mark.parametrize("operation", MESSAGE_OPERATIONS)
def test_ones_own_message_is_ones_own_while_one_is_there(
    operation: str,
    ada: User,
) -> None:
    room = Room.objects.create(slug="room", kind=Room.Kind.GROUP)
    actions.add_member(room, ada)
    seq = actions.send_message(room, ada, "mine").seq
    message, actor = Message.objects.get(seq=seq), actor_for(ada)
    assert can(actor, operation, room, message) == Allow()

    actions.remove_member(room, ada)

    left = Room.objects.get(pk=room.pk)
    assert code(can(actor, operation, left, message)) == HIDDEN


def test_an_operation_that_is_none_is_a_mistake(room: Room, ada: User) -> None:
    seq = actions.send_message(room, ada, "a").seq
    message = Message.objects.get(seq=seq)

    for operation in ("fly", *MESSAGE_OPERATIONS):
        with pytest.raises(ValueError, match=operation):
            can(actor_for(ada), operation, room)
    for operation in ("fly", *ROOM_OPERATIONS):
        with pytest.raises(ValueError, match=operation):
            can(SYSTEM, operation, room, message)


def test_the_list_of_rooms_is_what_one_may_watch(ada: User, grace: User) -> None:
    made = {
        (kind, standing): Room.objects.create(slug=f"{kind}-{standing}", kind=kind)
        for kind, standing in product(Room.Kind.values, ["in", "out", "banned"])
    }
    for (_, standing), room in made.items():
        actions.add_member(room, grace)
        if standing == "in":
            actions.add_member(room, ada)
        elif standing == "banned":
            actions.ban(room, ada)
    actor = actor_for(ada)

    listed = set(permissions().rooms(actor))

    assert listed == {r for r in made.values() if can(actor, "watch", r) == Allow()}
    assert {room.slug for room in listed} == {
        "public-in",
        "public-out",
        "group-in",
        "direct-in",
    }
    guests = set(permissions().rooms(new_guest("Gus")))
    assert guests == {r for r in made.values() if r.kind == Room.Kind.PUBLIC}


# --- a project's own rules --------------------------------------------------------


class ReadOnly(Permissions):
    """Nobody writes, and rooms called secret-… are not there."""

    def can(
        self,
        actor: Actor,
        operation: str,
        room: Room,
        message: Message | None = None,
    ) -> Allow | Deny:
        """Decide."""
        if room.slug.startswith("secret-"):
            return Deny(Code.NOT_FOUND)
        if operation in {"send", "edit", "delete"}:
            return Deny(text="Closed for today.")
        return super().can(actor, operation, room, message)


def use(settings: Settings, rules: type) -> None:
    settings.HEADGATE = {"PERMISSIONS": f"{__name__}.{rules.__name__}"}


def test_a_projects_rules_take_the_place_of_the_default(
    settings: Settings,
    room: Room,
    ada: User,
) -> None:
    seq = actions.send_message(room, ada, "a").seq
    secret = Room.objects.create(slug="secret-1")
    use(settings, ReadOnly)

    rights = rights_in(actor_for(ada), room)
    assert rights.denial("send") == Deny(text="Closed for today.")
    assert rights.denial("watch") is None
    assert enter(actor_for(ada), secret.slug) == Deny(Code.NOT_FOUND)
    acts: list[Callable[[], actions.Sent]] = [
        lambda: actions.send_message(room, ada, "b"),
        lambda: actions.edit_message(room, seq, "b", by=ada),
        lambda: actions.delete_message(room, seq, by=ada),
    ]
    for act in acts:
        with pytest.raises(actions.NotSent, match="Closed for today") as refused:
            act()
        assert refused.value.code == Code.FORBIDDEN
    assert actions.send_message(room, SYSTEM, "still").seq == seq + 1


class NoRules:
    """Forgot to subclass."""


def test_rules_that_are_none_are_a_mistake(settings: Settings, room: Room) -> None:
    use(settings, NoRules)

    with pytest.raises(TypeError, match="not a subclass"):
        can(new_guest("Gus"), "watch", room)


def test_rights_ask_the_database_for_each_thing_once(
    room: Room,
    ada: User,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    actor = actor_for(ada)
    with django_assert_num_queries(2):  # their row here, and their permission
        rights = rights_in(actor, room)

    assert set(rights.decisions) == set(ROOM_OPERATIONS)
