"""The rooms of the HTTP API: lists, and one room as it stands."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.entries import ReadMark
from headgate.chat.models import Member, Room
from headgate.chat.people import SYSTEM, Actor, actor_for
from headgate.chat.permissions import Allow, Deny, Permissions
from headgate.chat.storage import write_here
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.scenes import group, write
from tests.chat.talker import Talkers, guests_fixture, in_thread, talk_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ROOMS = "/api/v1/rooms"


class OnlyKnown(Permissions):
    """A project that hides a room from guests, and forgets its list."""

    def can(self, actor: Actor, operation: str, room: Room, message: Any = None) -> Any:
        if room.slug == "hidden" and actor.user is None:
            return Deny()
        return Allow()


async def test_a_room_as_it_stands(browse: Browsers, room: Room, ada: User) -> None:
    await in_thread(write, 5)
    browser = await browse(ada)

    shown = (await browser.get(f"{ROOMS}/general")).json()

    assert shown == {
        "room": "general",
        "title": "General",
        "kind": "public",
        "head": 5,
        "epoch": room.epoch,
        "read": 0,
        "unread": 5,
    }


async def test_a_member_sees_role_and_read_mark(browse: Browsers, ada: User) -> None:
    made = await in_thread(group, ada)
    await in_thread(actions.set_role, made, ada, "moderator")
    await in_thread(write, 4, "group")
    await in_thread(write_here, ReadMark(made.pk, actor_for(ada), 4))
    browser = await browse(ada)

    shown = (await browser.get(f"{ROOMS}/group")).json()

    found = {name: shown[name] for name in ("kind", "role", "read", "unread", "head")}
    assert found == {
        "kind": "group",
        "role": "moderator",
        "read": 4,
        "unread": 2,  # 1 and 2 are her being added and her role; 5 and 6 are unread
        "head": 6,
    }


@pytest.mark.parametrize(("messages", "read"), [(0, 0), (7, 0), (7, 4), (120, 1)])
async def test_it_is_what_joining_says(
    browse: Browsers, talk: Talkers, ada: User, messages: int, read: int
) -> None:
    made = await in_thread(group, ada)
    await in_thread(write, messages, "group")
    if messages:
        await in_thread(actions.delete_message, made, 6, by=SYSTEM)
    await in_thread(write_here, ReadMark(made.pk, actor_for(ada), read))
    browser = await browse(ada)
    talker = await talk(ada, room="group")

    shown = (await browser.get(f"{ROOMS}/group")).json()
    (listed,) = (await browser.get(ROOMS)).json()["rooms"]

    joined = talker.welcome["rooms"]["group"]
    assert {name: shown[name] for name in joined if name != "title"} == {
        name: joined[name] for name in joined if name != "title"
    }
    assert listed == shown


async def test_no_room_is_made_by_looking(
    browse: Browsers, settings: Settings, room: Room
) -> None:
    settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True}
    browser = await browse()

    for path in ("", "/messages", "/events"):
        assert problem_of(await browser.get(f"{ROOMS}/new{path}")) == (404, "not_found")

    assert await Room.objects.acount() == 1


@pytest.mark.parametrize("name", ["a b", "-a", "a" * 65, "ä", "a\x00b", "a\n"])
async def test_a_name_that_names_no_room(
    browse: Browsers, guests: None, name: str
) -> None:
    browser = await browse()

    refused = await browser.get(f"{ROOMS}/{quote(name)}")

    assert problem_of(refused) == (400, "bad_command")
    assert refused.json()["field"] == "room"


async def test_a_room_may_be_named_by_digits(browse: Browsers, guests: None) -> None:
    await Room.objects.acreate(slug="123")
    browser = await browse()

    assert (await browser.get(f"{ROOMS}/123")).json()["room"] == "123"
    posted = await browser.post(f"{ROOMS}/123/messages", json={"text": "hi"})
    assert posted.status_code == 201


async def test_the_list_has_what_one_may_see(
    browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    await in_thread(group, ada)
    await in_thread(write, 2)
    await Room.objects.acreate(slug="banned")
    await in_thread(actions.ban, "banned", ada)

    async def rooms(user: User) -> list[tuple[str, int, str | None]]:
        browser = await browse(user)
        page = (await browser.get(ROOMS)).json()
        assert "next" not in page
        return [(r["room"], r["unread"], r.get("role")) for r in page["rooms"]]

    assert await rooms(ada) == [("general", 2, None), ("group", 0, "member")]
    assert await rooms(grace) == [("banned", 0, None), ("general", 2, None)]


async def test_the_list_comes_in_pages(browse: Browsers, guests: None) -> None:
    for number in range(7):
        await Room.objects.acreate(slug=f"room-{number}")
    browser = await browse()
    seen: list[str] = []
    sizes = []
    after: str | None = None
    while True:
        params = {"limit": "3"} | ({} if after is None else {"after": after})
        page = (await browser.get(ROOMS, params=params)).json()
        seen += [room["room"] for room in page["rooms"]]
        sizes.append(len(page["rooms"]))
        after = page.get("next")
        if after is None:
            break

    assert seen == [f"room-{number}" for number in range(7)]
    assert sizes == [3, 3, 1]


async def test_a_room_that_one_may_not_watch_is_not_listed(
    browse: Browsers, settings: Settings, room: Room, ada: User
) -> None:
    settings.HEADGATE = {
        "GUESTS": True,
        "PERMISSIONS": f"{__name__}.{OnlyKnown.__name__}",
    }
    await Room.objects.acreate(slug="hidden")

    async def listed(user: User | None) -> list[str]:
        page = (await (await browse(user)).get(ROOMS)).json()
        return [room["room"] for room in page["rooms"]]

    assert await listed(None) == ["general"]
    assert await listed(ada) == ["general", "hidden"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1.0", "limit"),
        (f"limit={'9' * 100}", "limit"),
        (f"limit=-{'9' * 100}", "limit"),
        ("limit=²", "limit"),  # a digit to Python, and no number
        ("after=a b", "after"),
        ("after=%00", "after"),
        ("after=", "after"),
    ],
)
async def test_bad_pages(
    browse: Browsers, guests: None, query: str, field: str
) -> None:
    refused = await (await browse()).get(f"{ROOMS}?{query}")

    assert problem_of(refused) == (400, "bad_command")
    assert refused.json()["field"] == field


async def test_limits_are_none_yet(browse: Browsers, guests: None) -> None:
    answer = await (await browse()).get("/api/v1/limits")

    assert (answer.status_code, answer.json()) == (200, {"limits": []})


async def test_reading_moves_no_read_mark(
    browse: Browsers, room: Room, ada: User
) -> None:
    await in_thread(actions.send_message, "general", SYSTEM, "hi", kind="system")
    browser = await browse(ada)

    await browser.get(f"{ROOMS}/general/messages")
    await browser.get(f"{ROOMS}/general")

    assert await Member.objects.acount() == 0
