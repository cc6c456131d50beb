"""Names and avatars as the project gives them, live, on pages and in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, transaction
from django.test import AsyncClient
from pytest_django import Settings

import headgate
from headgate.chat import actions, profiles
from headgate.chat.models import Event, Room
from headgate.chat.path_checks import check_paths
from headgate.chat.people import actor_for, new_guest
from headgate.chat.profiles import Profile, profiles_of
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    in_thread,
    talk_fixture,
)

pytestmark = pytest.mark.django_db(transaction=True)

OWN = "tests.chat.test_profiles"
AVATAR = "https://shop.example/ada.png"

# --- the project ------------------------------------------------------------------

shown: dict[str, Any] = {}  # by primary keys
asked: list[list[str]] = []
faults: list[Exception] = []


def show(ids: list[str]) -> dict[str, Any]:
    asked.append(sorted(ids))
    if faults:
        raise faults[0]
    return {each: shown[each] for each in ids if each in shown}


async def show_async(ids: list[str]) -> dict[int, Any]:
    """Take the keys as the database has them."""
    users = User.objects.filter(pk__in=ids)
    return {user.pk: shown[str(user.pk)] async for user in users}


@pytest.fixture(autouse=True)
def project(settings: Settings, ada: User) -> Iterator[None]:
    settings.HEADGATE = {"PROFILES": f"{OWN}.show"}
    shown[str(ada.pk)] = Profile("Countess", AVATAR)
    yield
    shown.clear()
    asked.clear()
    faults.clear()


def author_of(user: User, **more: Any) -> dict[str, Any]:
    author = {"id": f"u:{user.pk}", "kind": "user", "name": "Countess"}
    return author | {"avatar_url": AVATAR} | more


async def page(user: User) -> list[dict[str, Any]]:
    client = AsyncClient()
    await in_thread(client.force_login, user)
    answer = await client.get("/api/v1/rooms/general/messages")
    messages: list[dict[str, Any]] = answer.json()["messages"]
    return messages


# --- over the wire ----------------------------------------------------------------


@pytest.mark.parametrize("function", ["show", "show_async"])
async def test_people_are_shown_as_the_project_says(
    talk: Talkers, settings: Settings, room: Room, ada: User, grace: User, function: str
) -> None:
    settings.HEADGATE = {"PROFILES": f"{OWN}.{function}"}
    shown[str(grace.pk)] = Profile("Admiral")
    talker, other = await talk(ada), await talk(grace)
    assert talker.welcome["user"] == author_of(ada)
    assert other.welcome["user"]["name"] == "Admiral"
    assert "avatar_url" not in other.welcome["user"]

    await talker.ask("typing", room="general")
    assert (await other.push("typing"))["author"] == author_of(ada)
    await talker.ask("send", room="general", text="hi")
    live = await other.push("message")
    assert live["author"] == author_of(ada)
    assert await page(ada) == [live]
    resumed = await talk(grace, resume={"general": 0})
    assert await resumed.push("message") == live


async def test_every_kind_of_event_shows_the_avatar(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    shown[str(grace.pk)] = Profile("Admiral", "/media/grace.png")
    watching = await talk(grace)
    await in_thread(actions.add_member, room, grace, by=ada)
    await in_thread(actions.set_role, room, grace, "moderator", by=ada)
    talker = await talk(ada)
    seq = (await talker.ask("send", room="general", text="hi"))["seq"]
    await talker.ask("edit", room="general", target=seq, text="hello")
    await talker.ask("delete", room="general", target=seq)
    head = (await talker.ask("join", room="general"))["head"]

    live = await watching.until("general", head)
    events = [said for said in live if said.get("seq")]
    assert [said["push"] for said in events] == [
        "membership",
        "membership",
        "message",
        "edited",
        "deleted",
    ]
    assert [said["author"] for said in events] == [author_of(ada)] * 5
    assert events[0]["member"]["avatar_url"] == "/media/grace.png"
    reply = await talker.ask("history", room="general", of="events")
    # Deleted meanwhile, as whoever loads afresh sees it.
    blank = {"text": "", "deleted": True}
    events[2:4] = [events[2] | blank | {"edited": events[3]["seq"]}, events[3] | blank]
    assert reply["events"] == events


async def test_plain_mode_has_the_name(talk: Talkers, room: Room, ada: User) -> None:
    talker = await talk.plain(ada)
    await talker.say({"message": "hi"})
    await talker.hear()
    assert (await talker.hear())["author"] == "Countess"


async def test_somebody_whom_the_project_leaves_out_has_no_other_name(
    talk: Talkers, room: Room, grace: User
) -> None:
    talker = await talk(grace)
    assert talker.welcome["user"]["name"] == f"User {grace.pk}"

    await talker.ask("send", room="general", text="hi")
    (message,) = await page(grace)
    assert message["author"]["name"] == f"User {grace.pk}"
    assert "Grace" not in str(message)


async def test_the_log_keeps_the_name_and_shows_the_avatar_of_now(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk(ada)
    await talker.ask("send", room="general", text="hi")
    shown[str(ada.pk)] = Profile("Baroness", "https://shop.example/new.png")
    await in_thread(headgate.access_changed, ada)

    (message,) = await page(ada)
    new = {"name": "Countess", "avatar_url": "https://shop.example/new.png"}
    assert message["author"] == author_of(ada, **new)


async def test_a_connection_that_is_open_takes_the_new_name(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk(ada)
    shown[str(ada.pk)] = Profile("Baroness", AVATAR)
    await in_thread(ada.save)  # as a project does that keeps the name in its users

    async with asyncio.timeout(60):
        while True:
            seq = (await talker.ask("send", room="general", text="hi"))["seq"]
            live = (await talker.until("general", seq))[-1]
            if live["author"]["name"] == "Baroness":
                break
            talker.pushes.clear()
    assert live["author"] == author_of(ada, name="Baroness")


async def test_a_page_asks_once_for_all(talk: Talkers, room: Room, ada: User) -> None:
    @transaction.atomic  # so that nobody is known from writing
    def write() -> list[str]:
        users = [User.objects.create_user(f"u{n}") for n in range(30)]
        for user in users:
            actions.send_message(room, user, "hi")
            shown[str(user.pk)] = Profile(user.username, f"/{user.pk}.png")
        return sorted(str(user.pk) for user in users)

    ids = await in_thread(write)
    reader = await talk(ada)  # who is known from here on
    asked.clear()
    first = await reader.ask("history", room="general")
    assert len(first["messages"]) == 30
    assert all(m["author"]["avatar_url"] for m in first["messages"])
    assert asked == [ids]

    asked.clear()
    assert (await reader.ask("history", room="general"))["messages"] == (
        first["messages"]
    )
    assert asked == []


async def test_no_question_for_a_message(talk: Talkers, room: Room, ada: User) -> None:
    talker = await talk(ada)
    asked.clear()
    for n in range(20):
        await talker.ask("send", room="general", text=f"m{n}")
    assert asked == []


async def test_guests_are_not_asked_for(
    talk: Talkers, settings: Settings, room: Room
) -> None:
    settings.HEADGATE = {"PROFILES": f"{OWN}.show", "GUESTS": True}
    talker = await talk(name="Gus")
    seq = (await talker.ask("send", room="general", text="hi"))["seq"]
    live = (await talker.until("general", seq))[-1]

    assert live["author"]["name"] == "Gus"
    assert asked == []


# --- when it fails ----------------------------------------------------------------


async def test_where_it_fails_people_are_without_a_name_and_come_back(
    talk: Talkers,
    room: Room,
    ada: User,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.WARNING, "headgate.profiles")
    faults.append(ZeroDivisionError())
    first, second = await talk(ada), await talk(ada)
    assert first.welcome["user"] == second.welcome["user"]
    assert first.welcome["user"]["name"] == f"User {ada.pk}"
    assert caplog.text.count("profiles_failed") == 1
    assert len(asked) == 1  # nobody waits for it again so soon
    talk.faults.clear()

    faults.clear()
    monkeypatch.setattr(profiles, "RETRY_SECONDS", 0.0)
    third = await talk(ada)
    assert third.welcome["user"] == author_of(ada)
    assert caplog.text.count("profiles_back") == 1


async def test_where_it_fails_what_was_known_is_shown(
    talk: Talkers, room: Room, ada: User
) -> None:
    await talk(ada)
    faults.append(ZeroDivisionError())
    await in_thread(headgate.access_changed)

    assert (await talk(ada)).welcome["user"] == author_of(ada)
    talk.faults.clear()


@pytest.mark.parametrize(
    "wrong",
    ["a name", {"name": "Ada"}, Profile(5), Profile("Ada", 5)],  # type: ignore[arg-type]
)
def test_what_is_no_profile_is_a_fault(
    ada: User, wrong: object, caplog: pytest.LogCaptureFixture
) -> None:
    shown[str(ada.pk)] = wrong

    assert actor_for(ada).name == f"User {ada.pk}"
    assert "profiles_failed" in caplog.text


def test_a_long_url_costs_its_owner_the_avatar_alone(ada: User, grace: User) -> None:
    shown[str(ada.pk)] = Profile("Countess", "data:" + "x" * 2000)
    shown[str(grace.pk)] = Profile("Admiral", AVATAR)

    assert profiles_of([f"u:{ada.pk}", f"u:{grace.pk}"]) == {
        f"u:{ada.pk}": Profile("Countess"),
        f"u:{grace.pk}": Profile("Admiral", AVATAR),
    }


@pytest.mark.parametrize(
    ("given", "shown_as"),
    [("A\u202eda \x00", "Ada"), ("x" * 200, "x" * 150), ("Ada  L\n", "Ada L")],
)
def test_names_are_cleaned(ada: User, given: str, shown_as: str) -> None:
    shown[str(ada.pk)] = Profile(given)
    assert actor_for(ada).name == shown_as


def test_an_empty_name_is_none(ada: User) -> None:
    shown[str(ada.pk)] = Profile(" \u200b", AVATAR)
    actor = actor_for(ada)
    assert (actor.name, actor.avatar_url) == (f"User {ada.pk}", AVATAR)


async def test_on_an_event_loop_it_says_what_to_do(ada: User) -> None:
    with pytest.raises(SynchronousOnlyOperation, match="sync_to_async"):
        actor_for(ada)
    assert await headgate.asend_message(
        await in_thread(Room.objects.create, slug="r"), ada, "hi"
    )


# --- what is kept -----------------------------------------------------------------


def test_people_are_kept_for_a_minute(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(profiles.time, "monotonic", lambda: now[0])
    key = f"u:{ada.pk}"
    for _ in range(3):
        profiles_of([key])
    now[0] += 60
    profiles_of([key])
    assert len(asked) == 1

    now[0] += 1
    profiles_of([key])
    assert len(asked) == 2


def test_those_without_a_profile_are_kept_too(grace: User) -> None:
    for _ in range(3):
        assert profiles_of([f"u:{grace.pk}"]) == {}
    assert len(asked) == 1


def test_those_are_forgotten_who_were_not_asked_for_the_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(profiles, "KEPT", 3)
    shown.update({str(n): Profile(f"N{n}") for n in range(5)})
    for n in (0, 1, 2, 0, 3):
        profiles_of([f"u:{n}"])
    asked.clear()

    profiles_of(["u:0", "u:2", "u:3"])
    assert asked == []
    profiles_of(["u:1"])
    assert asked == [["1"]]


def test_many_are_asked_for_in_parts() -> None:
    profiles_of([f"u:{n}" for n in range(1201)] + ["g:a", "s:", "d:5"])

    assert sorted(map(len, asked)) == [201, 500, 500]
    assert len({each for part in asked for each in part}) == 1201


def test_what_may_be_rolled_back_is_not_kept(ada: User) -> None:
    with transaction.atomic():
        shown[str(ada.pk)] = Profile("Uncommitted")
        assert actor_for(ada).name == "Uncommitted"
        transaction.set_rollback(True)
    shown[str(ada.pk)] = Profile("Countess")

    assert actor_for(ada).name == "Countess"


def test_a_database_error_in_a_transaction_is_the_callers(ada: User) -> None:
    faults.append(DatabaseError("broken"))
    with pytest.raises(DatabaseError), transaction.atomic():
        actor_for(ada)
    assert actor_for(ada).name == f"User {ada.pk}"


def test_who_was_saved_is_asked_for_again(ada: User) -> None:
    """In a process without connections, too, which reads no notices."""
    assert actor_for(ada).name == "Countess"
    shown[str(ada.pk)] = Profile("Baroness")
    ada.save()

    assert actor_for(ada).name == "Baroness"


def test_project_code_writes_under_the_name(room: Room, ada: User) -> None:
    headgate.send_message(room, ada, "hi")
    assert Event.objects.get().author_name == "Countess"


def test_an_actor_is_shown_as_it_is(ada: User) -> None:
    gus = new_guest("Gus")
    assert actor_for(gus) is gus
    assert asked == []


# --- mistakes ---------------------------------------------------------------------


@pytest.mark.parametrize("path", ["no.such.module", f"{OWN}.Profile", f"{OWN}.AVATAR"])
def test_a_path_to_no_function_is_an_error(settings: Settings, path: str) -> None:
    settings.HEADGATE = {"PROFILES": path}
    (mistake,) = check_paths()

    assert mistake.id == "headgate.E003"
    assert path in mistake.msg
