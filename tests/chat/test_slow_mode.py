"""Slow mode: set by moderators, told to everybody, and not held to by them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.actions import NotSent
from headgate.chat.models import Room
from headgate.chat.room_limits import RoomLimits
from headgate.testing.limits_clock import LimitsClock
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.talker import Talkers, in_thread, talk_fixture  # noqa: F401

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.limits,
    pytest.mark.database,
]


@pytest.fixture(autouse=True)
def _limited(settings: Settings, limits_clock: LimitsClock) -> None:
    settings.HEADGATE = {"GUESTS": True}


async def slow(seconds: float) -> None:
    await in_thread(actions.set_slow_mode, "general", seconds)


async def test_one_message_in_so_many_seconds(
    talk: Talkers, room: Room, ada: User, limits_clock: LimitsClock
) -> None:
    await slow(30)
    talker = await talk(ada)
    first = await talker.ask("send", room="general", text="one")
    second = await talker.ask("send", room="general", text="two", client_id="c-2")
    limits_clock.advance(30)
    third = await talker.ask("send", room="general", text="two", client_id="c-2")

    assert (first["seq"], third["seq"]) == (1, 2)
    error = second["error"]
    assert (error["policy"], error["retry_after_ms"]) == ("slow_mode", 30_000)
    assert error["client_id"] == "c-2"


async def test_other_limits_are_not_used_up_by_waiting(
    talk: Talkers, room: Room, ada: User, limits_clock: LimitsClock
) -> None:
    """What slow mode refuses costs nothing anywhere."""
    await slow(30)
    talker = await talk(ada)
    for _ in range(15):
        await talker.ask("send", room="general", text="again")
    await slow(0)
    await talker.push("room")

    replies = [await talker.ask("send", room="general", text="now") for _ in range(10)]
    assert len([each for each in replies if "seq" in each]) == 9


async def test_it_is_told_to_who_is_there(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    await in_thread(actions.add_member, "general", grace, role="moderator")
    person, moderator = await talk(ada), await talk(grace)
    await slow(30)

    assert await person.push("room") == {
        "push": "room",
        "room": "general",
        "slow_mode_ms": 30_000,
    }
    assert (await moderator.push("room"))["exempt"] is True

    await slow(0)
    assert (await person.push("room"))["slow_mode_ms"] == 0


async def test_it_is_told_to_who_comes(talk: Talkers, room: Room, ada: User) -> None:
    await slow(5)
    talker = await talk(ada)
    joined = await talker.ask("join", room="general")

    assert talker.welcome["rooms"]["general"]["slow_mode_ms"] == 5000
    assert joined["slow_mode_ms"] == 5000
    (limit,) = [
        each for each in talker.welcome["limits"] if each["policy"] == "slow_mode"
    ]
    assert (limit["room"], limit["per_second"]) == ("general", 0.2)


@pytest.mark.parametrize("who", ["owner", "moderator", "staff"])
async def test_moderators_need_not_wait(
    talk: Talkers, room: Room, ada: User, who: str
) -> None:
    if who == "staff":
        right = await in_thread(
            Permission.objects.get,
            content_type__app_label="headgate_chat",
            codename="delete_message",
        )
        await in_thread(ada.user_permissions.add, right)
    else:
        await in_thread(actions.add_member, "general", ada, role=who)
    await slow(30)
    talker = await talk(ada)

    replies = [await talker.ask("send", room="general", text="hi") for _ in range(5)]
    assert all("seq" in each for each in replies)


async def test_moderators_need_not_wait_for_the_slow_mode_of_all_rooms(
    talk: Talkers, room: Room, ada: User, grace: User, settings: Settings
) -> None:
    settings.HEADGATE = {"LIMITS": {"slow_mode": "1/30s"}}
    await in_thread(actions.add_member, "general", grace, role="moderator")
    person, moderator = await talk(ada), await talk(grace)
    found = [
        [
            "seq" in await talker.ask("send", room="general", text=f"m{n}")
            for n in range(3)
        ]
        for talker in (person, moderator)
    ]

    assert found == [[True, False, False], [True, True, True]]

    # A room's own slow mode comes and goes; they stay free of that of all rooms.
    await slow(60)
    await moderator.push("room")
    await slow(0)
    await moderator.push("room")
    for text in ("still", "free"):
        assert "seq" in await moderator.ask("send", room="general", text=text)


async def test_whoever_becomes_a_moderator_need_not_wait_from_then_on(
    talk: Talkers, room: Room, ada: User
) -> None:
    await slow(30)
    await in_thread(actions.add_member, "general", ada)
    talker = await talk(ada)
    await in_thread(actions.set_role, "general", ada, "moderator")
    assert (await talker.push("room"))["exempt"] is True

    replies = [await talker.ask("send", room="general", text="hi") for _ in range(3)]
    assert all("seq" in each for each in replies)


async def test_edits_do_not_wait(talk: Talkers, room: Room, ada: User) -> None:
    await slow(30)
    talker = await talk(ada)
    await talker.ask("send", room="general", text="helo")
    reply = await talker.ask("edit", room="general", target=1, text="hello")

    assert reply["seq"] == 2


async def test_over_http_it_is_the_same(
    talk: Talkers, browse: Browsers, room: Room, ada: User
) -> None:
    await slow(30)
    talker = await talk(ada)
    await talker.ask("send", room="general", text="one")
    browser = await browse(ada)
    answer = await browser.post(
        "/api/v1/rooms/general/messages", json={"text": "two", "client_id": "c-2"}
    )

    assert problem_of(answer) == (429, "rate_limited")
    assert answer.json()["policy"] == "slow_mode"
    assert answer.json()["client_id"] == "c-2"
    assert answer.headers["retry-after"] == "30"


async def test_a_moderator_sets_it_over_http(
    talk: Talkers, browse: Browsers, room: Room, ada: User, grace: User
) -> None:
    await in_thread(actions.add_member, "general", grace, role="moderator")
    talker = await talk(ada)
    browser = await browse(grace)
    answer = await browser.patch("/api/v1/rooms/general", json={"slow_mode_ms": 7000})

    assert (answer.status_code, answer.json()["slow_mode_ms"]) == (200, 7000)
    assert (await talker.push("room"))["slow_mode_ms"] == 7000
    shown = await browser.get("/api/v1/rooms/general")
    assert shown.json()["slow_mode_ms"] == 7000


async def test_nobody_else_does(browse: Browsers, room: Room, ada: User) -> None:
    browser = await browse(ada)
    answer = await browser.patch("/api/v1/rooms/general", json={"slow_mode_ms": 7000})

    assert problem_of(answer) == (403, "forbidden")


@pytest.mark.parametrize("wanted", [-1, 1, 999, 21_600_001, "7000", None, 1.5, True])
async def test_what_is_no_slow_mode(
    browse: Browsers, room: Room, ada: User, wanted: Any
) -> None:
    await in_thread(actions.add_member, "general", ada, role="owner")
    browser = await browse(ada)
    answer = await browser.patch("/api/v1/rooms/general", json={"slow_mode_ms": wanted})

    assert problem_of(answer) == (400, "bad_command")
    assert answer.json()["field"] == "slow_mode_ms"
    assert await in_thread(lambda: Room.objects.get(slug="general").settings) == {}


@pytest.mark.parametrize("seconds", [0.5, -1, 21_601, float("nan"), "30", True])
async def test_actions_hold_to_the_range(room: Room, seconds: Any) -> None:
    with pytest.raises(ValueError, match="slow mode is"):
        await in_thread(actions.set_slow_mode, room, seconds)


async def test_a_missing_room_is_said(room: Room) -> None:
    with pytest.raises(NotSent, match="not_found"):
        await in_thread(actions.set_slow_mode, "nowhere", 5)


@pytest.mark.parametrize("limits", [{"history": "1/s"}, {"send": "fast"}, {"x": "off"}])
async def test_a_room_has_rates_of_some_policies(
    room: Room, limits: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"There is no policy|no rate"):
        await in_thread(actions.set_room_limits, room, limits)


async def test_what_was_there_stays(room: Room) -> None:
    await in_thread(actions.set_room_limits, room, {"send": "5/s"})
    await in_thread(actions.set_slow_mode, room, 10)

    found = await in_thread(lambda: Room.objects.get(slug="general").settings)
    assert RoomLimits.of(found) == RoomLimits(10.0, {"send": "5/s"})


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        {"slow_mode_seconds": "soon"},
        {"slow_mode_seconds": 0.1, "limits": ["send"]},
        {"limits": {"send": "fast", "history": "1/s"}},
    ],
)
def test_what_does_not_hold_is_left_out(given: Any) -> None:
    assert RoomLimits.of(given) == RoomLimits()


async def test_two_who_set_things_at_once_lose_neither(room: Room) -> None:
    await asyncio.gather(
        in_thread(actions.set_slow_mode, "general", 10),
        in_thread(actions.set_room_limits, "general", {"send": "5/s"}),
    )

    found = await in_thread(lambda: Room.objects.get(slug="general").settings)
    assert RoomLimits.of(found) == RoomLimits(10.0, {"send": "5/s"})
