"""Muting and banning over HTTP: by whom and to whom."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone

from headgate.chat import actions
from headgate.chat.models import Room
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.http.moderating import (
    change,
    events,
    key,
    moderator,
    row,
    writes,
)
from tests.chat.scenes import group
from tests.chat.talker import Talkers, guests_fixture, in_thread, talk_fixture  # noqa: F401

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests"),
]


def _granted(user: User) -> None:
    right = Permission.objects.get(
        content_type__app_label="headgate_chat", codename="delete_message"
    )
    user.user_permissions.add(right)


STANDINGS: dict[str, Callable[[User], Any]] = {
    "nobody": lambda user: writes("general", user),
    "member": lambda user: actions.add_member("general", user),
    "moderator": lambda user: actions.add_member("general", user, role="moderator"),
    "owner": lambda user: actions.add_member("general", user, role="owner"),
    "staff": lambda user: (writes("general", user), _granted(user)),
    "staff moderator": lambda user: (STANDINGS["moderator"](user), _granted(user)),
    "banned owner": lambda user: (
        STANDINGS["owner"](user),
        actions.ban("general", user),
    ),
}
# Who may do something to whom.
ABOVE = {
    "moderator": {"nobody", "member"},
    "owner": {"nobody", "member", "moderator"},
    "staff": {"nobody", "member", "moderator"},
    "staff moderator": {"nobody", "member", "moderator"},
}
ALLOWED = [
    (who, whom, whom in ABOVE.get(who, ()))
    for who in STANDINGS
    for whom in STANDINGS
    if who != "banned owner"
]


@pytest.mark.parametrize(("who", "whom", "allowed"), ALLOWED)
async def test_nobody_holds_those_beside_or_above_them(
    browse: Browsers,
    room: Room,
    ada: User,
    grace: User,
    who: str,
    whom: str,
    allowed: bool,  # noqa: FBT001 - a case
) -> None:
    await in_thread(STANDINGS[who], grace)
    await in_thread(STANDINGS[whom], ada)
    browser = await browse(grace)
    before = await in_thread(events)

    for wanted in ({"banned": True}, {"mute_ms": 1000}, {"banned": False}):
        answer = await change(browser, key(ada), **wanted)
        if allowed:
            assert answer.status_code == 200, answer.text
        else:
            assert problem_of(answer) == (403, "forbidden")

    assert (await in_thread(events) == before) is not allowed


@pytest.mark.parametrize("role", ["moderator", "owner"])
async def test_nobody_holds_themselves(
    browse: Browsers, room: Room, ada: User, role: str
) -> None:
    """Not even to let themselves write again."""
    browser = await moderator(browse, ada, role)
    until = timezone.now() + timedelta(hours=1)
    await in_thread(actions.mute, room, ada, until)

    for wanted in ({"banned": True}, {"mute_ms": 0}):
        refused = await change(browser, key(ada), **wanted)
        assert problem_of(refused) == (403, "forbidden")
        assert "themselves" in refused.json()["detail"]
    assert (await in_thread(row, key(ada))).muted_until is not None


@pytest.mark.parametrize(
    "who",
    [
        "g:0d1f2a3b4c5d6e7f",
        "u:99999",
        "u:999999999999999999999999",
        "u:ada",
        "s:",
        "s:x",
        "x:5",
        "nobody",
        "u:",
        "u:5%0A",
        "u:%00",
        f"g:{'0' * 70}",
    ],
)
async def test_unknown_ids(
    browse: Browsers, room: Room, ada: User, grace: User, who: str
) -> None:
    await in_thread(writes, room, actions.SYSTEM, "The room is open.")
    browser = await moderator(browse, grace)

    refused = await change(browser, who, banned=True)

    assert problem_of(refused) == (404, "not_found")
    assert await in_thread(events) == [("added", key(grace))]


async def test_whoever_never_was_in_the_room_is_unknown_there(
    browse: Browsers, talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    """So that ids cannot be tried for who has an account."""
    other = await in_thread(Room.objects.create, slug="other")
    await in_thread(writes, other, ada)
    await talk(ada, room="other")
    browser = await moderator(browse, grace)

    refused = await change(browser, key(ada), banned=True)

    assert problem_of(refused) == (404, "not_found")


async def test_an_account_that_is_gone(
    browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    who = key(ada)
    await in_thread(writes, room, ada)
    await in_thread(ada.delete)
    browser = await moderator(browse, grace)

    assert problem_of(await change(browser, who, banned=True)) == (404, "not_found")


async def test_in_a_group(browse: Browsers, ada: User, grace: User) -> None:
    """Let in again, they have to be added anew."""
    made = await in_thread(group, ada, grace)
    await in_thread(actions.set_role, made, grace, "owner")
    browser = await browse(grace)
    path = f"/api/v1/rooms/{made.slug}/members"

    listed = await browser.get(path)
    banned = await browser.patch(f"{path}/{key(ada)}", json={"banned": True})
    let_in = await browser.patch(f"{path}/{key(ada)}", json={"banned": False})

    assert [each.get("role") for each in listed.json()["members"]] == [
        "member",
        "owner",
    ]
    assert (banned.json()["role"], banned.json()["banned"]) == ("member", True)
    assert set(let_in.json()) == {"member", "seq", "at"}
    last = await browser.get(path)
    assert [each["member"]["id"] for each in last.json()["members"]] == [key(grace)]
