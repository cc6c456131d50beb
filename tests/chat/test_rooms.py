from __future__ import annotations

import threading

import pytest
from django.contrib.auth.models import User
from django.db import connection
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.models import Room
from headgate.chat.people import actor_for, new_guest
from headgate.chat.permissions import Deny, Rights
from headgate.chat.rooms import enter
from headgate.protocol.codes import Code

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

GUS = new_guest("Gus")


def test_entering_tells_rights_and_standing(room: Room, ada: User) -> None:
    actions.add_member(room, ada)

    rights = enter(actor_for(ada), "general")

    assert isinstance(rights, Rights)
    assert (rights.room_id, rights.slug, rights.title) == (
        room.pk,
        "general",
        "General",
    )
    assert (rights.kind, rights.visible_from, rights.read_seq) == ("public", 1, 0)
    assert rights.denial("send") is None


def test_a_missing_room_is_not_made_by_looking() -> None:
    assert enter(GUS, "nowhere") == Deny(Code.NOT_FOUND)
    assert not Room.objects.exists()


def test_rooms_are_made_where_that_may_be_up_to_a_limit(settings: Settings) -> None:
    settings.HEADGATE = {"MAKE_ROOMS": True, "MAX_MADE_ROOMS": 2}

    assert isinstance(enter(GUS, "a"), Rights)
    assert isinstance(enter(GUS, "b"), Rights)
    assert enter(GUS, "c") == Deny(Code.NOT_FOUND)
    assert isinstance(enter(GUS, "a"), Rights)
    assert enter(GUS, "../a") == Deny(Code.NOT_FOUND)
    made = Room.objects.order_by("slug").values_list("slug", "title", "kind")
    assert list(made) == [("a", "a", "public"), ("b", "b", "public")]


def test_several_who_make_a_room_at_once_make_one(settings: Settings) -> None:
    settings.HEADGATE = {"MAKE_ROOMS": True}
    together = threading.Barrier(4)
    found: list[Rights | Deny] = []

    def come() -> None:
        together.wait(10)
        found.append(enter(GUS, "new"))
        connection.close()

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert Room.objects.count() == 1
    ids = {rights.room_id for rights in found if isinstance(rights, Rights)}
    assert ids == {Room.objects.get().pk}
    assert len(found) == 4
