"""What changes between somebody's coming into a room and their welcome."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

import headgate
from headgate.chat import actions
from headgate.chat import welcome as welcome_module
from headgate.chat.engine import Engine
from headgate.chat.models import Room
from headgate.chat.people import SYSTEM
from tests.chat.http.stream_reader import Readers, stream_fixture  # noqa: F401
from tests.chat.scenes import group as group_of
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Said,
    Talker,
    Talkers,
    guests_fixture,
    in_thread,
    talk_fixture,
)
from tests.chat.test_rights_told import ReadersOnly

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests", "room"),
]

Act = Callable[..., Any]
Meanwhile = list[Callable[[], Awaitable[object]]]
ComeIn = Callable[..., Awaitable[list[Said]]]


@pytest.fixture
def group(ada: User, grace: User) -> Room:
    """A group of two; its head is 2."""
    return group_of(ada, grace)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """What happens to whoever comes in next, as late as anything can."""
    happens: Meanwhile = []
    limits_told = welcome_module.limits_told

    async def told_late(*asked: Any) -> Any:
        found = await limits_told(*asked)
        while happens:
            await happens.pop()()
        return found

    monkeypatch.setattr(welcome_module, "limits_told", told_late)
    return happens


@pytest.fixture(params=["websocket", "stream"])
def come_in(
    request: pytest.FixtureRequest, talk: Talkers, stream: Readers, ada: User
) -> ComeIn:
    """Have Ada come into both rooms; return all that she is told up to a message."""

    async def by_websocket(**places: Any) -> list[Said]:
        talker = await talk.raw(ada, None)
        resume = {"group": 2, "general": 0, **places}
        await talker.say({"cmd": "hello", "resume": resume})
        first = await talker.hear()
        await in_thread(actions.send_message, "general", SYSTEM, "hi", kind="system")
        return [first, *await talker.until("general", 1)]

    async def by_stream() -> list[Said]:
        reader = await stream.raw("group,general", ada)
        await in_thread(actions.send_message, "general", SYSTEM, "hi", kind="system")
        heard = [event.said for event in await reader.until("general", 1)]
        return [said for said in heard if said["push"] != "presence"]

    return by_websocket if request.param == "websocket" else by_stream


@pytest.fixture
async def witness(talk: Talkers, group: Room, grace: User) -> Talker:
    """Grace, who is in the group already: what she hears has been put in force."""
    return await talk(grace, "group")


def kinds(heard: list[Said]) -> list[str]:
    return [said["push"] for said in heard]


@pytest.mark.limits
async def test_slow_mode_is_in_the_welcome(
    come_in: ComeIn, witness: Talker, meanwhile: Meanwhile
) -> None:
    async def slow() -> None:
        await in_thread(actions.set_slow_mode, "group", 30)
        await witness.push("room")

    meanwhile.append(slow)
    heard = await come_in()

    assert kinds(heard) == ["welcome", "message"]
    assert heard[0]["rooms"]["group"]["slow_mode_ms"] == 30_000
    slow_modes = [each for each in heard[0]["limits"] if each["policy"] == "slow_mode"]
    assert [each["room"] for each in slow_modes] == ["group"]


async def test_a_role_is_in_the_welcome(
    come_in: ComeIn, witness: Talker, meanwhile: Meanwhile, chat: Engine, ada: User
) -> None:
    async def promote() -> None:
        await in_thread(actions.set_role, "group", ada, "moderator")
        await witness.until("group", 3)
        await chat.standing._recheck.idle.wait()

    meanwhile.append(promote)
    heard = await come_in()

    assert heard[0]["rooms"]["group"]["moderates"] is True
    assert heard[0]["rooms"]["group"]["head"] == 2
    # What is in the log comes as ever.
    assert kinds(heard)[0] == "welcome"
    assert sorted(kinds(heard)[1:]) == ["membership", "message"]


@pytest.fixture
def readers_only(settings: Settings, guests: None) -> None:
    """Only those write whose name is in the room's title."""
    rules = f"{ReadersOnly.__module__}.{ReadersOnly.__name__}"
    settings.HEADGATE = {"GUESTS": True, "PERMISSIONS": rules}


@pytest.mark.usefixtures("readers_only")
async def test_what_the_projects_rules_say_is_in_the_welcome(
    come_in: ComeIn, witness: Talker, meanwhile: Meanwhile, chat: Engine, group: Room
) -> None:
    def name_them() -> None:
        Room.objects.filter(pk=group.pk).update(title="Of Ada and Grace")
        headgate.access_changed(room=group)

    async def let_write() -> None:
        await in_thread(name_them)
        await witness.push("room")
        await chat.standing._recheck.idle.wait()

    meanwhile.append(let_write)
    heard = await come_in()

    assert kinds(heard) == ["welcome", "message"]
    assert heard[0]["rooms"]["group"]["title"] == "Of Ada and Grace"
    assert "read_only" not in heard[0]["rooms"]["group"]
    assert heard[0]["rooms"]["general"]["read_only"] is True


@pytest.mark.parametrize(
    ("end", "code"),
    [(actions.remove_member, "not_found"), (actions.ban, "banned")],
)
async def test_a_room_that_was_lost_is_refused_in_the_welcome(
    come_in: ComeIn,
    witness: Talker,
    meanwhile: Meanwhile,
    ada: User,
    end: Act,
    code: str,
) -> None:
    async def lose() -> None:
        await in_thread(end, "group", ada)
        await witness.until("group", 3)

    meanwhile.append(lose)
    heard = await come_in()

    assert kinds(heard) == ["welcome", "message"]
    assert list(heard[0]["rooms"]["group"]) == ["error"]
    assert heard[0]["rooms"]["group"]["error"]["code"] == code


@pytest.mark.parametrize("come_in", ["websocket"], indirect=True)
async def test_where_a_lost_room_would_begin_anew_is_not_told(
    come_in: ComeIn, witness: Talker, meanwhile: Meanwhile, ada: User
) -> None:
    async def lose() -> None:
        await in_thread(actions.remove_member, "group", ada)
        await witness.until("group", 3)

    meanwhile.append(lose)
    heard = await come_in(group={"seq": 1, "epoch": "another"})

    assert kinds(heard) == ["welcome", "message"]


async def test_where_the_only_room_was_lost_there_is_no_stream(
    stream: Readers, witness: Talker, meanwhile: Meanwhile, ada: User
) -> None:
    async def lose() -> None:
        await in_thread(actions.ban, "group", ada)
        await witness.until("group", 3)

    meanwhile.append(lose)
    reader = await stream.raw("group", ada)

    assert (reader.status, reader.problem["code"]) == (403, "banned")
