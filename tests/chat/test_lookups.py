from __future__ import annotations

import pickle

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from headgate.chat import actions
from headgate.chat.actions import send_message
from headgate.chat.lookups import Lookups
from headgate.chat.models import Member, Room
from headgate.chat.people import actor_for, new_guest
from headgate.chat.permissions import (
    Allow,
    Deny,
    Permissions,
    Rights,
    can,
    rights_in,
)
from headgate.chat.rooms import enter
from headgate.protocol.codes import Code

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def everything(thing: Room | Member) -> dict[str, object]:
    """Return all that the ORM read, whatever may have been deferred."""
    assert not thing.get_deferred_fields()
    return {name: value for name, value in vars(thing).items() if name[0] != "_"}


def test_a_room_is_what_the_orm_has() -> None:
    Room.objects.create(
        slug="order-7",
        title='Order "7" %s',
        kind=Room.Kind.GROUP,
        subject_type="shop.order",
        subject_id="7",
        data={"weight": 1.5, "to": ["Ada", None], "100%": True},
        settings={"slow_mode_seconds": 5},
    )

    found = Lookups().room("order-7")

    assert found is not None
    assert everything(found) == everything(Room.objects.get())
    assert not found._state.adding
    assert found._state.db == "default"
    found.title = "Order 7"
    found.save()
    assert Room.objects.get().title == "Order 7"


def test_a_member_is_what_the_orm_has(room: Room, ada: User) -> None:
    actions.add_member(room, ada, role=Member.Role.MODERATOR)
    actions.mute(room, ada, until=timezone.now() + timezone.timedelta(hours=1))
    actions.ban(room, ada)

    found = Lookups().member(room, f"u:{ada.pk}")

    assert found is not None
    assert found.banned is True
    assert everything(found) == everything(Member.objects.get())


def test_nothing_is_found_where_nothing_is(room: Room) -> None:
    lookups = Lookups()

    assert lookups.room("nowhere") is None
    assert lookups.member(room, "u:5") is None


def test_each_who_asks_has_objects_of_their_own(room: Room, ada: User) -> None:
    """A project's rules may do with them as they like."""
    actions.add_member(room, ada)
    lookups = Lookups()
    first, key = lookups.room("general"), f"u:{ada.pk}"
    assert first is not None
    first.data["seen"] = True

    second = lookups.room("general")

    assert second is not None
    assert second.data == {}
    assert lookups.member(first, key) is not lookups.member(second, key)


def test_all_who_are_expected_cost_what_one_costs(
    room: Room,
    ada: User,
    grace: User,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    actions.add_member(room, grace, role=Member.Role.OWNER)
    send_message(room, ada, "a")
    people = [actor_for(ada), actor_for(grace), *(new_guest(None) for _ in range(5))]
    lookups = Lookups({"general": {each.key for each in people}})

    # The room, the members, what is unread; and whether Ada moderates all rooms, which
    # nobody asks of an owner or a guest.
    with django_assert_num_queries(4):
        for person in people:
            assert isinstance(enter(person, "general", lookups=lookups), Rights)
            assert lookups.unread(room.pk, 0) == 1

    owner = lookups.member(room, f"u:{grace.pk}")
    assert owner is not None
    assert owner.role == Member.Role.OWNER
    assert lookups.member(room, f"u:{ada.pk}") is None


def test_who_moderates_all_rooms_is_asked_of_each_person_once(
    room: Room,
    ada: User,
    grace: User,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    right = Permission.objects.get(
        content_type__app_label="headgate_chat", codename="delete_message"
    )
    grace.user_permissions.add(right)
    others = [Room.objects.create(slug=f"room-{number}") for number in range(3)]
    people = [actor_for(ada), actor_for(grace)]
    lookups = Lookups({"general": {each.key for each in people}})

    with django_assert_num_queries(1 + 3 * 2 + 2):  # rows of members, and these two
        for each in (room, *others):
            found = [rights_in(person, each, lookups).moderates for person in people]
            assert found == [False, True]


def test_who_was_not_expected_is_asked_about(room: Room, ada: User) -> None:
    actions.ban(room, ada)
    lookups = Lookups({"general": {"g:1"}})
    assert lookups.member(room, "g:1") is None

    assert enter(actor_for(ada), "general", lookups=lookups) == Deny(Code.BANNED)


def test_people_are_held_to_their_own_rows_in_each_room(room: Room, ada: User) -> None:
    other = Room.objects.create(slug="other")
    actions.ban(other, ada)
    key = f"u:{ada.pk}"
    lookups = Lookups({"general": {key}, "other": {key}})

    assert enter(actor_for(ada), "other", lookups=lookups) == Deny(Code.BANNED)
    assert isinstance(enter(actor_for(ada), "general", lookups=lookups), Rights)


def test_a_room_is_crowded_past_the_most_members(settings: Settings, ada: User) -> None:
    settings.HEADGATE = {"TYPING_MAX_MEMBERS": 2}
    room = Room.objects.create(slug="group", kind=Room.Kind.GROUP)
    Member.objects.create(room=room, author_key="g:1")
    Member.objects.create(room=room, author_key="g:2", banned=True)
    Member.objects.create(room=room, author_key="g:3")
    assert not Lookups().is_crowded(room.pk)

    actions.add_member(room, ada)

    assert Lookups().is_crowded(room.pk)


class Anybody(Permissions):
    """Rules that know members from elsewhere."""

    def member(self, actor: object, room: Room) -> Member | None:
        del actor
        return Member(room=room, visible_from_seq=7, banned=False)


class NoGuests(Permissions):
    def can(self, actor: object, *asked: object, **more: object) -> Allow | Deny:
        if getattr(actor, "user", None) is None:
            return Deny(text="Sign in.")
        return Allow()


def test_a_project_that_knows_members_itself_is_asked(
    room: Room,
    ada: User,
    settings: Settings,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    actions.ban(room, ada)
    settings.HEADGATE = {"PERMISSIONS": f"{__name__}.Anybody"}

    with django_assert_num_queries(1):  # whether they moderate all rooms
        rights = rights_in(actor_for(ada), room, Lookups())

    assert rights.visible_from == 7
    assert rights.denial("watch") is None


def test_a_room_can_be_pickled_whatever_was_decided(room: Room, ada: User) -> None:
    lookups = Lookups({"general": {"g:1"}})
    actions.add_member(room, ada)
    kept = lookups.room("general")
    assert kept is not None
    rights_in(actor_for(ada), kept, lookups)

    assert everything(pickle.loads(pickle.dumps(kept))) == everything(kept)


def test_whoever_keeps_a_room_is_told_of_later_changes(room: Room, ada: User) -> None:
    kept = Lookups().room("general")
    assert kept is not None
    assert rights_in(actor_for(ada), kept, Lookups()).denial("send") is None

    actions.ban(room, ada)

    assert can(actor_for(ada), "send", kept) == Deny(Code.BANNED)
    assert rights_in(actor_for(ada), kept).denial("send") == Deny(Code.BANNED)


def test_what_is_read_together_is_decided_for_each(
    room: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {"PERMISSIONS": f"{__name__}.NoGuests"}
    person, stranger = actor_for(ada), new_guest(None)
    lookups = Lookups({"general": {person.key, stranger.key}})

    assert isinstance(enter(person, "general", lookups=lookups), Rights)
    assert enter(stranger, "general", lookups=lookups) == Deny(text="Sign in.")
    assert isinstance(enter(person, "general", lookups=lookups), Rights)
