"""Muting and banning over HTTP: what is asked, what comes of it, and the list."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.history import events_page
from headgate.chat.models import Member, Room
from headgate.chat.people import Actor, actor_for, guest_token, new_guest
from headgate.testing.limits_clock import LimitsClock
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.http.moderating import (
    MEMBERS,
    change,
    events,
    key,
    moderator,
    row,
    writes,
)
from tests.chat.talker import Talkers, guests_fixture, in_thread, talk_fixture  # noqa: F401

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests"),
]

MOST_MS = 30 * 24 * 3600 * 1000

# --- what it does -----------------------------------------------------------------


async def test_a_mute(
    talk: Talkers, browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    talker = await talk(ada)
    await talker.ask("send", room="general", text="one")
    browser = await moderator(browse, grace)
    before = timezone.now()

    answer = await change(browser, key(ada), mute_ms=600_000)

    assert answer.status_code == 200, answer.text
    said = answer.json()
    until = datetime.fromisoformat(said["muted_until"])
    assert timedelta() <= until - before - timedelta(minutes=10) < timedelta(minutes=1)
    assert (said["member"]["id"], said["member"]["name"]) == (key(ada), "Ada Lovelace")
    assert said["seq"] == 3
    assert set(said) == {"member", "muted_until", "seq", "at"}
    pushes = [await talker.push("membership") for _ in range(2)]  # Grace's role, too
    assert pushes[-1] == {
        "push": "membership",
        "room": "general",
        "seq": 3,
        "member": said["member"],
        "change": "muted",
        "until": said["muted_until"],
        "author": {"id": key(grace), "kind": "user", "name": "Grace"},
        "at": said["at"],
    }
    assert await talker.refusal("send", room="general", text="two") == "muted"

    over = await change(browser, key(ada), mute_ms=0)

    assert (over.status_code, over.json()["seq"]) == (200, 4)
    assert "muted_until" not in over.json()
    assert "seq" in await talker.ask("send", room="general", text="two")


async def test_a_ban(
    talk: Talkers, browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    await in_thread(writes, room, ada)
    talker = await talk(ada)
    browser = await moderator(browse, grace)

    answer = await change(browser, key(ada), banned=True)

    said = answer.json()
    assert (answer.status_code, said["banned"], said["seq"]) == (200, True, 3)
    assert (await talker.push("rooms"))["left"] == ["general"]
    assert await talker.refusal("send", room="general", text="again") == "banned"

    again = await change(browser, key(ada), banned=True)
    assert again.json() == {"member": said["member"], "banned": True}  # no event

    over = await change(browser, key(ada), banned=False)
    assert (over.json()["seq"], "banned" in over.json()) == (4, False)
    assert "seq" in await talker.ask("send", room="general", text="again")


async def test_both_at_once_are_written_together_or_not(
    browse: Browsers,
    room: Room,
    ada: User,
    grace: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from headgate.chat import storage

    await in_thread(writes, room, ada)
    browser = await moderator(browse, grace)
    real = storage.write_here

    def fails_at_a_ban(entry: Any, **more: Any) -> Any:
        if entry.change == "banned":
            raise RuntimeError("no ban today")
        return real(entry, **more)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "write_here", fails_at_a_ban)
        failed = await change(browser, key(ada), mute_ms=5000, banned=True)
    assert problem_of(failed) == (500, "internal")
    assert await in_thread(row, key(ada)) is None
    assert ("muted", key(ada)) not in await in_thread(events)

    answer = await change(browser, key(ada), mute_ms=5000, banned=True)
    assert answer.json()["seq"] == 4
    assert answer.json()["banned"] is True
    assert "muted_until" in answer.json()
    assert (await in_thread(events))[1:] == [("muted", key(ada)), ("banned", key(ada))]


@pytest.mark.parametrize("wanted", [{"mute_ms": 0}, {"banned": False}])
async def test_whoever_is_not_held_is_not_let_go(
    browse: Browsers, room: Room, ada: User, grace: User, wanted: dict[str, Any]
) -> None:
    """Nothing is written: no event, and no row."""
    await in_thread(writes, room, ada)
    browser = await moderator(browse, grace)

    answer = await change(browser, key(ada), **wanted)

    assert (answer.status_code, set(answer.json())) == (200, {"member"})
    assert await in_thread(row, key(ada)) is None
    assert await in_thread(events) == [("added", key(grace))]


# --- guests -----------------------------------------------------------------------


async def test_a_guest_who_wrote(
    browse: Browsers, talk: Talkers, room: Room, grace: User
) -> None:
    """Banned they are for as long as they are that guest, and no longer."""
    guest = new_guest("Gus")
    await in_thread(writes, room, guest)
    browser = await moderator(browse, grace)

    answer = await change(browser, guest.key, banned=True)

    assert answer.json()["member"] == {"id": guest.key, "kind": "guest", "name": "Gus"}
    same = await talk(None, guest=guest_token(guest))
    assert same.welcome["rooms"]["general"]["error"]["code"] == "banned"
    new = await talk(None)
    assert "error" not in new.welcome["rooms"]["general"]


@pytest.mark.parametrize("user", [True, False])
async def test_somebody_who_is_there_and_never_wrote(
    browse: Browsers,
    talk: Talkers,
    room: Room,
    ada: User,
    grace: User,
    user: bool,  # noqa: FBT001 - a case
) -> None:
    talker = await (talk(ada) if user else talk(None, name="Zoë"))
    who = talker.welcome["user"]
    browser = await moderator(browse, grace)

    answer = await change(browser, who["id"], banned=True)

    assert answer.status_code == 200, answer.text
    assert answer.json()["member"] == who
    assert (await talker.push("rooms"))["left"] == ["general"]
    assert await in_thread(row, who["id"]) is not None


async def test_a_guest_has_the_last_name_that_they_wrote_with(
    browse: Browsers, room: Room, grace: User
) -> None:
    guest = new_guest("Zed")
    for name in ("Zed", "Abe", "Lou"):
        await in_thread(writes, room, Actor(guest.key, name), name)
    browser = await moderator(browse, grace)

    answer = await change(browser, guest.key, mute_ms=1000)

    assert answer.json()["member"]["name"] == "Lou"


# --- what is asked ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, None),
        ({"muted": True}, None),
        ([], None),
        ({"mute_ms": None}, "mute_ms"),
        ({"mute_ms": -1}, "mute_ms"),
        ({"mute_ms": 1}, "mute_ms"),
        ({"mute_ms": 999}, "mute_ms"),
        ({"mute_ms": MOST_MS + 1}, "mute_ms"),
        ({"mute_ms": 1000.5}, "mute_ms"),
        ({"mute_ms": "1000"}, "mute_ms"),
        ({"mute_ms": True}, "mute_ms"),
        ({"banned": None}, "banned"),
        ({"banned": 1}, "banned"),
        ({"banned": "yes", "mute_ms": 0}, "banned"),
    ],
)
async def test_what_is_no_change(
    browse: Browsers, room: Room, ada: User, grace: User, body: Any, field: str | None
) -> None:
    await in_thread(writes, room, ada)
    browser = await moderator(browse, grace)

    refused = await browser.patch(f"{MEMBERS}/{key(ada)}", json=body)

    assert problem_of(refused) == (400, "bad_command")
    assert refused.json().get("field") == field
    assert await in_thread(row, key(ada)) is None


@pytest.mark.parametrize("mute_ms", [1000, MOST_MS])
async def test_the_shortest_and_the_longest_mute(
    browse: Browsers, room: Room, ada: User, grace: User, mute_ms: int
) -> None:
    await in_thread(writes, room, ada)
    browser = await moderator(browse, grace)

    answer = await change(browser, key(ada), mute_ms=mute_ms)

    assert answer.status_code == 200, answer.text
    until = (await in_thread(row, key(ada))).muted_until
    left = until - timezone.now()
    assert timedelta(milliseconds=mute_ms) - left < timedelta(seconds=30)


@pytest.mark.parametrize("text", ["", "{", "{} {}", "[" * 5000])
async def test_what_is_no_json(
    browse: Browsers, room: Room, ada: User, grace: User, text: str
) -> None:
    browser = await moderator(browse, grace)
    refused = await browser.patch(
        f"{MEMBERS}/{key(ada)}",
        content=text,
        headers={"Content-Type": "application/json"},
    )
    assert problem_of(refused) == (400, "bad_command")


async def test_it_takes_the_csrf_token(
    browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    await in_thread(writes, room, ada)
    await in_thread(actions.add_member, "general", grace, role="owner")
    browser = await browse(grace, csrf=False)

    refused = await change(browser, key(ada), banned=True)

    assert problem_of(refused) == (403, "csrf_failed")
    assert await in_thread(row, key(ada)) is None


@pytest.mark.limits
async def test_it_counts_as_a_command(
    browse: Browsers,
    room: Room,
    ada: User,
    grace: User,
    settings: Settings,
    limits_clock: LimitsClock,
) -> None:
    settings.HEADGATE = {"LIMITS": {"command": "2/min:2"}}
    await in_thread(writes, room, ada)
    browser = await moderator(browse, grace)

    answers = [await change(browser, key(ada), banned=bool(n % 2)) for n in range(2)]
    refused = await change(browser, key(ada), mute_ms=1000)
    listed = await browser.get(MEMBERS)

    assert [each.status_code for each in answers] == [200, 200]
    assert problem_of(refused) == (429, "rate_limited")
    assert refused.json()["policy"] == "command"
    assert problem_of(listed) == (429, "rate_limited")


# --- the list ---------------------------------------------------------------------


async def test_those_who_stand_out_are_listed(
    browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    guest, before = new_guest("Gus"), new_guest("Bea")
    soon = timezone.now() + timedelta(hours=1)

    def stand() -> None:
        actions.add_member(room, grace, role="moderator")
        actions.ban(room, ada)
        actions.mute(room, guest, soon)
        actions.mute(room, before, timezone.now() - timedelta(seconds=1))
        # Of most there is a row that keeps a read mark, and no more.
        reader = User.objects.create_user("reader")
        Member.objects.create(
            room=room, author_key=key(reader), user=reader, read_seq=1
        )

    await in_thread(stand)
    browser = await browse(grace)
    answer = await browser.get(MEMBERS)

    # In the order of their ids: a guest's, and those of users who were made in turn.
    (muted, banned, own) = answer.json()["members"]
    assert answer.json().keys() == {"members"}
    assert muted["member"] == {"id": guest.key, "kind": "guest", "name": "Gus"}
    assert set(muted) == {"member", "muted_until"}
    assert banned == {
        "member": {"id": key(ada), "kind": "user", "name": "Ada Lovelace"},
        "banned": True,
    }
    assert own == {
        "member": {"id": key(grace), "kind": "user", "name": "Grace"},
        "role": "moderator",
    }


async def test_it_comes_in_pages(
    browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    def hold() -> None:
        for number in range(5):
            actions.ban(room, Actor(f"g:{number}", f"Guest {number}"))

    await in_thread(hold)
    browser = await moderator(browse, grace)
    found, after = [], ""
    for _ in range(4):
        answer = await browser.get(f"{MEMBERS}?limit=2{after}")
        assert len(answer.json()["members"]) <= 2
        found += [each["member"]["id"] for each in answer.json()["members"]]
        if "next" not in answer.json():
            break
        after = f"&after={answer.json()['next']}"

    assert found == [*(f"g:{number}" for number in range(5)), key(grace)]
    assert "next" not in answer.json()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=", "after"),
        ("after=nobody", "after"),
        ("after=u:%00", "after"),
        (f"after=u:{'1' * 63}", "after"),
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
    ],
)
async def test_what_is_no_page(
    browse: Browsers, room: Room, grace: User, query: str, field: str
) -> None:
    browser = await moderator(browse, grace)
    refused = await browser.get(f"{MEMBERS}?{query}")

    assert problem_of(refused) == (400, "bad_command")
    assert refused.json()["field"] == field


async def test_the_list_is_for_moderators(
    browse: Browsers, room: Room, ada: User
) -> None:
    await in_thread(actions.add_member, room, ada)
    for user in (ada, None):
        browser = await browse(user)
        assert problem_of(await browser.get(MEMBERS)) == (403, "forbidden")


async def test_the_log_names_who_did_it(
    browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    await in_thread(writes, room, ada)
    browser = await moderator(browse, grace)
    await change(browser, key(ada), banned=True)

    page = await in_thread(
        lambda: events_page(room.pk, after=0, to=None, limit=10).entries
    )
    assert page[-1].author == actor_for(grace).author
