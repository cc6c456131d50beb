"""What a project decides anew holds on open connections within two seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from pytest_django import Settings

import headgate
from headgate.chat.access import access_changed
from headgate.chat.engine import Engine
from headgate.chat.models import Message, Room
from headgate.chat.people import Actor, new_guest
from headgate.chat.permissions import Allow, Deny, Permissions
from headgate.protocol.codes import Close
from tests.chat.access_ends import (  # noqa: F401 - fixtures are found by name
    SEEN_SECONDS,
    changes_followed,
    process_fixture,
    still_there,
)
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    guests_fixture,
    in_thread,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests"),
]


class ByList(Permissions):
    """A project's own rules, by what it has at hand."""

    away: ClassVar[set[str]] = set()
    mute: ClassVar[set[str]] = set()

    def can(
        self,
        actor: Actor,
        operation: str,
        room: Room,
        message: Message | None = None,
    ) -> Allow | Deny:
        """Keep people out of all rooms, or let them only read."""
        if actor.key in self.away:
            return Deny(text="Not today.")
        if operation == "send" and actor.key in self.mute:
            return Deny(text="You only listen.")
        return super().can(actor, operation, room, message)


@pytest.fixture
def by_list(settings: Settings, guests: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's own rules are in force."""
    monkeypatch.setattr(ByList, "away", set())
    monkeypatch.setattr(ByList, "mute", set())
    rules = f"{__name__}.{ByList.__name__}"
    settings.HEADGATE = {"GUESTS": True, "PERMISSIONS": rules}


def in_room(user: User, room: Room) -> None:
    access_changed(room=room)


def by_slug(user: User, room: Room) -> None:
    access_changed(room=room.slug)


def of_user(user: User, room: Room) -> None:
    access_changed(user=user)


def of_user_in_room(user: User, room: Room) -> None:
    access_changed(user, room)


def of_all(user: User, room: Room) -> None:
    headgate.access_changed()


@pytest.mark.usefixtures("by_list")
@pytest.mark.parametrize("say", [in_room, by_slug, of_user, of_user_in_room, of_all])
async def test_what_a_project_decides_anew_holds_on_open_connections(
    talk: Talkers,
    room: Room,
    ada: User,
    grace: User,
    say: Callable[[User, Room], None],
    process: str,
) -> None:
    gone, plain = await talk(ada), await talk.plain(ada)
    stays = await talk(grace)
    ByList.away.add(f"u:{ada.pk}")

    await in_thread(say, ada, room)

    async with asyncio.timeout(SEEN_SECONDS):
        assert (await gone.push("rooms"))["left"] == ["general"]
        said = await plain.hear()
    assert (said["error"], said["text"]) == ("forbidden", "Not today.")
    assert (await plain.closed()).code == Close.ACCESS_REVOKED
    await stays.ask("send", room="general", text="after")
    assert await gone.all() == []
    assert await gone.refusal("send", room="general", text="a") == "forbidden"


@pytest.mark.usefixtures("by_list")
async def test_only_what_was_said_to_have_changed_is_decided_anew(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
    grace: User,
) -> None:
    other = await in_thread(Room.objects.create, slug="other")
    talkers = [await talk(ada), await talk(grace), await talk(ada, room="other")]
    ByList.away.update((f"u:{ada.pk}", f"u:{grace.pk}"))

    await in_thread(access_changed, ada, other)
    assert (await talkers[2].push("rooms"))["left"] == ["other"]
    await changes_followed(chat)
    assert await talkers[0].all() == await talkers[1].all() == []

    await in_thread(access_changed, ada)
    assert (await talkers[0].push("rooms"))["left"] == ["general"]
    await changes_followed(chat, 2)
    assert await talkers[1].all() == []


@pytest.mark.usefixtures("by_list")
async def test_a_right_is_taken_and_given_without_a_cut(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
) -> None:
    talker = await talk(ada)
    ByList.mute.add(f"u:{ada.pk}")
    await in_thread(access_changed, room=room)
    await changes_followed(chat)
    assert await talker.refusal("send", room="general", text="a") == "forbidden"

    ByList.mute.clear()
    await in_thread(access_changed, room=room)
    await changes_followed(chat, 2)
    assert (await talker.ask("send", room="general", text="a"))["seq"] == 1


@pytest.mark.usefixtures("by_list")
async def test_guests_are_under_the_rules_as_well(talk: Talkers, room: Room) -> None:
    gone, stays = await talk(), await talk()
    key = gone.welcome["user"]["id"]
    ByList.away.add(key)

    await in_thread(access_changed, Actor(key, "Gus"))

    assert (await gone.push("rooms"))["left"] == ["general"]
    await still_there(stays)


@pytest.mark.usefixtures("by_list")
async def test_nothing_follows_from_what_is_rolled_back(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
) -> None:
    talker = await talk(ada)
    ByList.away.add(f"u:{ada.pk}")

    def in_vain() -> None:
        with transaction.atomic():
            access_changed(ada, room)
            transaction.set_rollback(True)

    await in_thread(in_vain)
    await in_thread(access_changed, new_guest("Nobody"))  # goes out behind it

    await changes_followed(chat)
    assert await talker.all() == []


@pytest.mark.usefixtures("by_list")
async def test_nobody_slips_in_while_access_changes(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Let in by the database; then the rules change, before the watch begins."""
    from headgate.chat import entrance

    late = await talk(ada, room=None)
    real = entrance._look_in

    def look_in(*asked: Any, **more: Any) -> Any:
        found = real(*asked, **more)
        ByList.away.add(f"u:{ada.pk}")
        access_changed(room=room)
        until = time.monotonic() + SEEN_SECONDS
        while not chat.standing.changes and time.monotonic() < until:
            time.sleep(0.001)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(entrance, "_look_in", look_in)
        await late.ask("join", room="general")

    async with asyncio.timeout(SEEN_SECONDS):
        assert (await late.push("rooms"))["left"] == ["general"]


async def test_permissions_of_the_project_are_read_afresh(
    talk: Talkers,
    chat: Engine,
    room: Room,
    ada: User,
) -> None:
    """Django keeps them on the user object, which lives as long as the connection."""

    def moderators() -> Group:
        group = Group.objects.create(name="moderators")
        group.permissions.add(Permission.objects.get(codename="delete_message"))
        ada.groups.add(group)
        return group

    group = await in_thread(moderators)
    talker, other = await talk(ada), await talk()
    for text in "ab":
        await other.ask("send", room="general", text=text)
    assert "error" not in await talker.ask("delete", room="general", target=1)

    await in_thread(group.user_set.clear)
    await in_thread(access_changed, ada)
    await changes_followed(chat)

    assert await talker.refusal("delete", room="general", target=2) == "forbidden"


@pytest.mark.parametrize("room", ["missing", Room(slug="unsaved")])
def test_a_room_that_is_not_there_is_an_error(room: Room | str) -> None:
    with pytest.raises(ValueError, match="There is no room"):
        access_changed(room=room)


def test_somebody_who_is_nobody_is_an_error(db: None) -> None:
    with pytest.raises(TypeError, match="pass a saved user"):
        access_changed(user="ada")
