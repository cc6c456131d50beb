"""The rooms of the project's things."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import IntegrityError, close_old_connections, connection, transaction
from django.utils import timezone

import headgate
from headgate.chat import actions
from headgate.chat.models import Event, Member, Room
from headgate.chat.people import new_guest
from headgate.protocol.codec import is_room_slug

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def team() -> Group:
    """A thing of a project: what is at hand has to do."""
    return Group.objects.create(name="Team")


def session(key: str) -> Session:
    return Session.objects.create(session_key=key, expire_date=timezone.now())


class Crew(Group):
    """The same things by another name."""

    class Meta:
        """No table of its own."""

        proxy = True
        app_label = "tests"


def _with_a_long_key() -> Session:
    """An object as a table with longer keys would have it."""
    found = Session("x" * 65, "", timezone.now())
    found._state.adding = False
    return found


def members(room: Room) -> set[str]:
    return set(Member.objects.filter(room=room).values_list("author_key", flat=True))


def test_a_thing_has_one_room(team: Group) -> None:
    room = headgate.room_for(team)

    assert (room.slug, room.title, room.kind) == (
        f"group-{team.pk}",
        f"Group {team.pk}",
        "public",
    )
    assert (room.subject_type, room.subject_id) == ("auth.group", str(team.pk))
    assert headgate.room_for(team) == room
    assert headgate.room_for(Crew.objects.get(pk=team.pk)) == room
    assert Room.objects.count() == 1


def test_with_members_it_is_a_group(team: Group, ada: User, grace: User) -> None:
    gus = new_guest("Gus")
    room = headgate.room_for(team, members=[ada, gus, ada], title="The team")

    assert (room.kind, room.title) == ("group", "The team")
    assert members(room) == {f"u:{ada.pk}", gus.key}
    # Again, with another one: who is there is not told a second time.
    assert headgate.room_for(team, members=[ada, grace]) == room
    assert members(room) == {f"u:{ada.pk}", f"u:{grace.pk}", gus.key}
    assert Event.objects.filter(kind="membership").count() == 3
    headgate.send_message(headgate.room_for(team), ada, "hi")


def test_without_anybody_it_is_a_group_too(team: Group) -> None:
    assert headgate.room_for(team, members=[]).kind == "group"


@pytest.mark.parametrize("kind", ["public", "group", "direct"])
def test_the_kind_may_be_said(team: Group, ada: User, kind: str) -> None:
    room = headgate.room_for(team, members=[ada], kind=kind)

    assert (room.kind, members(room)) == (kind, {f"u:{ada.pk}"})


def test_a_room_that_is_there_keeps_its_kind_and_title(team: Group, ada: User) -> None:
    room = headgate.room_for(team, title="First")
    assert headgate.room_for(team, title="Second").title == "First"

    # Or whoever asks first would decide whether all may read.
    with pytest.raises(ValueError, match=r"is public, not group: pass kind='public'"):
        headgate.room_for(team, members=[ada])
    assert members(room) == set()
    assert headgate.room_for(team, members=[ada], kind="public") == room


def test_who_was_banned_stays_so(team: Group, ada: User) -> None:
    room = headgate.room_for(team, members=[ada])
    actions.ban(room, ada)
    headgate.room_for(team, members=[ada])

    assert Member.objects.get().banned


@pytest.mark.parametrize(
    ("wrong", "error", "what"),
    [
        (5, TypeError, "no object of a model"),
        (Group(name="x"), ValueError, "is not saved"),
        (Group, TypeError, "no object of a model"),
    ],
)
def test_what_is_no_saved_object_has_no_room(
    db: None, wrong: Any, error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        headgate.room_for(wrong)


def test_other_mistakes(team: Group, ada: User) -> None:
    with pytest.raises(ValueError, match="'open' is no kind of room: public, group"):
        headgate.room_for(team, kind="open")
    with pytest.raises(TypeError, match="saved user"):
        headgate.room_for(team, members=[None])
    with pytest.raises(ValueError, match="has 65 characters; rooms take 64"):
        headgate.room_for(_with_a_long_key())
    assert Room.objects.count() == 0


@pytest.mark.parametrize(
    ("key", "begins"),
    [("a/b c", "session-a-b-c-"), ("é" * 40, "session-"), ("x" * 40, "session-xxx")],
)
def test_a_key_that_can_name_no_room(key: str, begins: str) -> None:
    first = headgate.room_for(session(key))
    second = headgate.room_for(session(key[:-1]))

    assert first.slug.startswith(begins)
    assert is_room_slug(first.slug)
    assert len({first.slug, second.slug}) == 2
    assert headgate.room_for(Session.objects.get(session_key=key)) == first


def test_a_long_key_makes_no_long_slug() -> None:
    room = headgate.room_for(session("/" + "x" * 39))
    long = headgate.room_for(ContentType.objects.create(app_label="a", model="b"))
    assert len(room.slug) <= 64
    assert long.slug.startswith("contenttype-")


def test_a_slug_that_is_taken(team: Group, ada: User) -> None:
    """A room of the same name is not the thing's: anybody may have made it."""
    squatted = Room.objects.create(slug=f"group-{team.pk}")
    room = headgate.room_for(team, members=[ada])

    assert room != squatted
    assert room.slug.startswith(f"group-{team.pk}-")
    assert room.kind == "group"
    # Another thing whose every name is taken by chance or by somebody.
    other = Group.objects.create(name="Other")
    again = headgate.room_for(other)
    Room.objects.filter(pk=again.pk).update(subject_type="", subject_id="")
    marked = headgate.room_for(other)
    Room.objects.filter(pk=marked.pk).update(subject_type="", subject_id="")
    assert headgate.room_for(other).slug not in {again.slug, marked.slug}


def test_things_of_different_models_have_rooms_apart(team: Group, ada: User) -> None:
    permission = Permission.objects.first()
    rooms = {headgate.room_for(each).slug for each in (team, ada, permission)}
    assert len(rooms) == 3
    assert headgate.room_for(ada).title == f"User {ada.pk}"  # no name of theirs


def test_a_deleted_thing_leaves_its_room(team: Group) -> None:
    room = headgate.room_for(team)
    headgate.send_message(room, new_guest("Gus"), "hi")
    team.delete()

    assert Event.objects.filter(room=room).count() == 1


def test_rolled_back_is_never_made(team: Group, ada: User) -> None:
    with transaction.atomic():
        headgate.room_for(team, members=[ada])
        transaction.set_rollback(True)
    assert Room.objects.count() == 0


def test_many_who_ask_at_once_get_one_room(team: Group, ada: User, grace: User) -> None:
    together, found, failed = threading.Barrier(8), [], []

    def ask() -> None:
        try:
            together.wait()
            found.append(headgate.room_for(team, members=[ada, grace]).pk)
        except Exception as exc:  # noqa: BLE001 - shown by the test
            failed.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close_old_connections()

    assert failed == []
    assert len(found) == 8
    assert set(found) == {Room.objects.get().pk}
    assert members(Room.objects.get()) == {f"u:{ada.pk}", f"u:{grace.pk}"}
    assert Event.objects.filter(kind="membership").count() == 2


def test_the_database_keeps_it_at_one(team: Group) -> None:
    room = headgate.room_for(team)
    second = Room(
        slug="second", subject_type=room.subject_type, subject_id=room.subject_id
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        second.save()
    Room.objects.create(slug="third")  # rooms of nothing may be many
    Room.objects.create(slug="fourth")


async def test_from_async_code(team: Group, ada: User) -> None:
    room = await headgate.aroom_for(team, members=[ada], title="The team")
    assert await headgate.aroom_for(team) == room
    assert (room.kind, room.title) == ("group", "The team")
