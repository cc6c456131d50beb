from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from headgate.chat import actions
from headgate.chat.models import Event, Member, Message, Room
from headgate.chat.people import SYSTEM, new_guest

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


def test_an_event_is_not_saved_and_not_deleted(room: Room) -> None:
    actions.send_message(room, SYSTEM, "hi", kind="system")
    for row in (Event.objects.get(), Message.objects.get()):
        with pytest.raises(TypeError, match="send_message"):
            row.save()
        with pytest.raises(TypeError, match="delete_message"):
            row.delete()
    with pytest.raises(TypeError, match="send_message"):
        Event.objects.create(room=room, seq=2, kind="message", author_key="x")

    assert Event.objects.count() == 1


def test_saving_a_room_does_not_put_the_head_back(room: Room) -> None:
    """The object is as old as a form that somebody fills in for a minute."""
    old = Room.objects.get(pk=room.pk)
    for _ in range(3):
        actions.send_message(room, SYSTEM, "hi", kind="system")

    old.title, old.epoch, old.head = "New", "forged", 99
    old.save()

    old.refresh_from_db()
    assert (old.title, old.head, old.epoch) == ("New", 3, room.epoch)
    assert actions.send_message(old, SYSTEM, "hi", kind="system").seq == 4


def test_saving_some_fields_saves_those(room: Room) -> None:
    room.title, room.data = "New", {"a": 1}
    room.save(update_fields=["data"])

    room.refresh_from_db()
    assert (room.title, room.data) == ("General", {"a": 1})


def test_a_room_begins_at_0_with_a_life_of_its_own() -> None:
    first, second = Room.objects.create(slug="a"), Room.objects.create(slug="b")

    assert (first.head, first.kind, first.data) == (0, "public", {})
    assert first.epoch != second.epoch


@pytest.mark.parametrize("slug", ["", "-a", "a b", "a/b", "é", "a\n", ".a", "a" * 65])
def test_a_slug_that_the_wire_does_not_take_is_refused(slug: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Room(slug=slug).full_clean()

    assert "slug" in refused.value.message_dict


@pytest.mark.parametrize("slug", ["a", "A.b_c-9", "9", "a" * 64])
def test_a_slug_that_the_wire_takes_is_taken(slug: str) -> None:
    Room(slug=slug).full_clean()


def test_one_person_is_one_member(room: Room) -> None:
    Member.objects.create(room=room, author_key="g:1")

    with pytest.raises(IntegrityError):
        Member.objects.create(room=room, author_key="g:1")


def test_a_room_goes_with_all_that_is_in_it(room: Room) -> None:
    actions.send_message(room, SYSTEM, "hi", kind="system")
    actions.add_member(room, new_guest("Gus"))

    room.delete()

    assert not Event.objects.exists()
    assert not Member.objects.exists()


def test_names_for_people(room: Room) -> None:
    actions.send_message(room, SYSTEM, "hi", kind="system")
    actions.add_member(room, new_guest("Gus"))

    assert str(room) == "General"
    assert str(Room(slug="a")) == "a"
    assert str(Message.objects.get()) == "message 1"
    assert str(Member.objects.get()) == "Gus"
    assert str(Member(author_key="g:1")) == "g:1"


def test_messages_are_the_events_that_are_messages(room: Room) -> None:
    actions.send_message(room, SYSTEM, "hi", kind="system")
    actions.edit_message(room, 1, "ho", by=SYSTEM)
    actions.send_message(room, SYSTEM, "hi", kind="system")
    actions.delete_message(room, 1, by=SYSTEM)

    seqs = Message.objects.order_by("seq").values_list("seq", flat=True)
    assert list(seqs) == [1, 3]
