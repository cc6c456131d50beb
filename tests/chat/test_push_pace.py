"""The policy `push`: what a room allows, what a client wishes, and what it is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.models import LimitOverride, Room
from headgate.protocol.codes import Code
from tests.chat.scenes import write
from tests.chat.talker import (  # noqa: F401 - fixtures
    Said,
    Talkers,
    guests_fixture,
    in_thread,
    talk_fixture,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.limits]

SLOW = "2/h"  # two at once, and then for half an hour nothing
EVENTS = 40


@pytest.fixture(autouse=True)
def _limited(settings: Settings) -> None:
    settings.HEADGATE = {"GUESTS": True}


def covered(frames: Iterable[Said]) -> Iterator[int]:
    """Yield each seq that was sent, or told to be left out; in the order of telling."""
    for said in frames:
        if said.get("push") == "message":
            yield said["seq"]
        elif said.get("push") == "gap":
            yield from range(said["from"], said["to"] + 1)


def messages(frames: Iterable[Said]) -> list[int]:
    return [said["seq"] for said in frames if said.get("push") == "message"]


async def test_a_client_wishes_for_less(talk: Talkers, room: Room, ada: User) -> None:
    talker = await talk(ada, room=None)
    await talker.ask("join", room="general", pace=SLOW)
    everything = await talk(ada)

    await in_thread(write, 2)
    await talker.until("general", 2)
    await in_thread(write, EVENTS)
    await everything.until("general", EVENTS + 2)

    # Nothing more until there may be more: the rest waits, and is no gap yet.
    assert list(covered(await talker.all())) == []


async def test_what_is_left_out_is_told_and_can_be_fetched(
    talk: Talkers, room: Room, ada: User
) -> None:
    await in_thread(write, EVENTS)
    talker = await talk(ada, room=None)
    await talker.ask("join", room="general", after=0, pace=SLOW)
    gap = await talker.push("gap")
    last = [await talker.push("message") for _ in range(2)]

    assert gap == {"push": "gap", "room": "general", "from": 1, "to": EVENTS - 2}
    assert [said["seq"] for said in last] == [EVENTS - 1, EVENTS]
    page = await talker.ask(
        "history", room="general", of="events", after=0, to=gap["to"], limit=200
    )
    assert [event["seq"] for event in page["events"]] == list(range(1, EVENTS - 1))


async def test_hello_sets_the_pace_of_its_rooms(
    talk: Talkers, room: Room, ada: User
) -> None:
    await in_thread(write, EVENTS)
    talker = await talk(ada, room=None, resume={"general": 5}, pace=SLOW)
    frames = [await talker.push("gap")]
    frames += [await talker.push("message") for _ in range(2)]

    assert list(covered(frames)) == list(range(6, EVENTS + 1))


async def test_high_priority_comes_first_and_low_last(
    talk: Talkers, room: Room, ada: User
) -> None:
    def fill() -> None:
        actions.send_message("general", ada, "alarm", priority="high")
        write(10)
        for _ in range(5):
            actions.send_message("general", ada, "chatter", priority="low")

    await in_thread(fill)
    talker = await talk(ada, room=None)
    await talker.ask("join", room="general", after=0, pace=SLOW)

    heard = [await talker.push("message") for _ in range(2)]
    assert [said["seq"] for said in heard] == [1, 11]


async def test_what_has_expired_is_left_out(
    talk: Talkers, room: Room, ada: User
) -> None:
    def fill() -> None:
        write(10)
        actions.send_message("general", ada, "now or never", expires_in_ms=1)

    await in_thread(fill)
    talker = await talk(ada, room=None)
    await talker.ask("join", room="general", after=0, pace=SLOW)

    frames = [await talker.push("gap")]
    frames += [await talker.push("message") for _ in range(2)]
    frames += [await talker.push("gap")]
    assert messages(frames) == [9, 10]
    assert list(covered(frames)) == list(range(1, 12))


async def test_plain_mode(talk: Talkers, room: Room, ada: User) -> None:
    await in_thread(write, EVENTS)
    talker = await talk.plain(ada, query=f"after=0&pace={SLOW}")

    assert await talker.hear() == {"gap": {"from": 1, "to": EVENTS - 2}}
    assert [(await talker.hear())["seq"] for _ in range(2)] == [EVENTS - 1, EVENTS]


@pytest.mark.parametrize("pace", ["fast", "0/s", "5/ms", "1/s:0", "5 / s", "5/s\n"])
async def test_what_is_no_pace_is_refused(
    talk: Talkers, room: Room, ada: User, pace: str
) -> None:
    talker = await talk(ada, room=None)
    reply = await talker.ask("join", room="general", pace=pace)

    assert (reply["error"]["code"], reply["error"]["field"]) == (
        Code.BAD_COMMAND,
        "pace",
    )
    assert "5/s" in reply["error"]["text"]


async def test_what_is_no_pace_in_a_url_is_told_and_left_out(
    talk: Talkers, room: Room, ada: User
) -> None:
    talker = await talk.plain(ada, query="pace=fast")
    await in_thread(write, 3)

    assert (await talker.hear())["field"] == "pace"
    assert [(await talker.hear())["seq"] for _ in range(3)] == [1, 2, 3]


async def test_the_setting_holds_for_everybody_and_is_told(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {"LIMITS": {"push": SLOW}}
    await in_thread(write, EVENTS)
    talker = await talk(ada, room=None)
    wish = await talker.ask("join", room="general", after=0, pace="100/s")
    gap = await talker.push("gap")
    welcome = (await talk(ada)).welcome

    assert "error" not in wish
    assert gap["to"] == EVENTS - 2  # the faster wish is no way around it
    (told,) = [each for each in welcome["limits"] if each["policy"] == "push"]
    assert told == {
        "policy": "push",
        "key": "connection and room",
        "burst": 2,
        "per_second": 0.000556,
        "room": "general",
    }


async def test_a_room_has_its_own(talk: Talkers, room: Room, ada: User) -> None:
    def limit() -> None:
        Room.objects.filter(pk=room.pk).update(settings={"limits": {"push": SLOW}})
        write(EVENTS)

    await in_thread(limit)
    talker = await talk(ada, room=None)
    await talker.ask("join", room="general", after=0)

    assert (await talker.push("gap"))["to"] == EVENTS - 2


async def test_a_limit_of_a_person_ends_while_they_are_there(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    """What was left out until then is gone; what waited comes, and all that follows."""
    settings.HEADGATE = {"LIMITS": {"push": SLOW}}
    talker = await talk(ada)
    await in_thread(write, 2)
    await talker.until("general", 2)
    await in_thread(write, EVENTS)

    await in_thread(LimitOverride.objects.create, user=ada, policy="push", rate="off")
    heard = await talker.until("general", EVENTS + 2)

    assert list(covered(heard)) == list(range(3, EVENTS + 3))
    assert not [said for said in heard if said.get("push") == "gap"]
