"""Who is there, as clients are told: at first, in steps, not where it is too full."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.models import Room
from headgate.live import presence
from tests.chat.talker import Talker, Talkers, in_thread, talk_fixture  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gather for a moment only: the second has tests of its own, with a fake clock."""
    monkeypatch.setattr(presence, "JOIN_SECONDS", 0.02)


async def seeing(talk: Talkers, user: User) -> Talker:
    """Open a client that hears of people; it has said hello and is not in yet."""
    talker = await talk(user, room=None)
    talker.see_people = True
    return talker


async def test_comings_and_goings(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    first = await seeing(talk, ada)
    await first.ask("join", room="general")
    alone = await first.push("presence")
    second = await seeing(talk, grace)
    await second.ask("join", room="general")
    both = await second.push("presence")
    told = await first.push("presence")
    await talk.end(second)
    left = await first.push("presence")

    (me,) = alone["joined"]
    assert me["name"] == first.welcome["user"]["name"]
    assert both["here"] == [me]
    assert [each["id"] for each in told["joined"]] == [second.welcome["user"]["id"]]
    assert left["left"] == [second.welcome["user"]["id"]]
    assert "joined" not in left


async def test_two_connections_are_one_person(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    watching = await seeing(talk, grace)
    await watching.ask("join", room="general")
    await watching.push("presence")
    one, two = await talk(ada), await talk(ada)
    joined = await watching.push("presence")
    await talk.end(one)
    await in_thread(actions.send_message, "general", grace, "still there?")
    heard = await watching.until("general", 1)
    await talk.end(two)
    left = await watching.push("presence")

    assert len(joined["joined"]) == 1
    assert [said["push"] for said in heard] == ["message"]
    assert len(left["left"]) == 1


async def test_leaving_a_room_is_going(
    talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    watching = await seeing(talk, grace)
    await watching.ask("join", room="general")
    other = await talk(ada)
    while not any(
        each["id"] == other.welcome["user"]["id"]
        for each in (await watching.push("presence")).get("joined", [])
    ):
        pass
    await other.ask("leave", room="general")

    assert (await watching.push("presence"))["left"] == [other.welcome["user"]["id"]]


async def test_a_room_that_is_too_full_tells_so_once(
    talk: Talkers, room: Room, ada: User, grace: User, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True, "PRESENCE_MAX_PEOPLE": 1}
    watching = await seeing(talk, grace)
    await watching.ask("join", room="general")
    await watching.push("presence")
    other = await talk(ada)
    assert (await watching.push("presence")).get("off") is True
    late = await talk(None, name="Late")
    await talk.end(late)
    await talk.end(other)
    # At one of one it is still too near to be told again.
    assert not [each for each in await watching.all() if each["push"] == "presence"]


async def test_presence_can_be_off(
    talk: Talkers, room: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {"PRESENCE_MAX_PEOPLE": 0}
    talker = await seeing(talk, ada)
    await talker.ask("join", room="general")
    settings.HEADGATE = {"PRESENCE_MAX_PEOPLE": 9}
    other = await seeing(talk, ada)
    await other.ask("join", room="general")

    # Whoever came while it was off is not there.
    assert len((await other.push("presence"))["joined"]) == 1
    assert "here" not in (await talker.push("presence"))
