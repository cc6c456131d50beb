"""`headgate.v1` on the real application: pages of history."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import User

from headgate.chat import actions
from headgate.chat.models import Room
from headgate.chat.people import SYSTEM
from tests.chat.scenes import group
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talker,
    Talkers,
    guests_fixture,
    in_thread,
    seqs,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests", "room"),
]


# --- history ----------------------------------------------------------------------


@pytest.fixture
async def log_of_ten(talk: Talkers) -> Talker:
    """Messages 1, 2, 4, 6, 7; edits of 2 (3, 5); 6 deleted (8), 9, 10 messages."""
    talker = await talk()
    said: list[tuple[str, dict[str, Any]]] = [
        ("send", {"text": "one"}),
        ("send", {"text": "two"}),
        ("edit", {"text": "two!", "target": 2}),
        ("send", {"text": "four"}),
        ("edit", {"text": "two!!", "target": 2}),
        ("send", {"text": "six"}),
        ("send", {"text": "seven"}),
        ("delete", {"target": 6}),
        ("send", {"text": "nine"}),
        ("send", {"text": "ten"}),
    ]
    for cmd, more in said:
        await talker.ask(cmd, room="general", **more)
    await talker.until("general", 10)
    return talker


@pytest.mark.parametrize(
    ("asked", "found", "more"),
    [
        ({}, [1, 2, 4, 6, 7, 9, 10], False),
        ({"limit": 3}, [7, 9, 10], True),
        ({"limit": 7}, [1, 2, 4, 6, 7, 9, 10], False),
        ({"before": 7, "limit": 2}, [4, 6], True),
        ({"before": 4}, [1, 2], False),
        ({"before": 1}, [], False),
        ({"before": 0}, [], False),
        ({"after": 0, "limit": 2}, [1, 2], True),
        ({"after": 2, "limit": 2}, [4, 6], True),
        ({"after": 7}, [9, 10], False),
        ({"after": 10}, [], False),
        ({"after": 99}, [], False),
        ({"after": 1, "before": 9, "limit": 3}, [2, 4, 6], True),
        ({"after": 4, "before": 9}, [6, 7], False),
    ],
)
async def test_messages_are_paged_both_ways(
    log_of_ten: Talker,
    asked: dict[str, int],
    found: list[int],
    more: bool,  # noqa: FBT001
) -> None:
    page = await log_of_ten.ask("history", room="general", **asked)

    assert [message["seq"] for message in page["messages"]] == found
    assert (page["more"], page["head"], page["room"]) == (more, 10, "general")


@pytest.mark.parametrize(
    ("asked", "found", "more"),
    [
        ({}, list(range(1, 11)), False),
        ({"after": 4}, [5, 6, 7, 8, 9, 10], False),
        ({"after": 4, "limit": 2}, [5, 6], True),
        ({"after": 4, "to": 6}, [5, 6], False),
        ({"after": 4, "to": 8, "limit": 3}, [5, 6, 7], True),
        ({"after": 8, "limit": 2}, [9, 10], False),
        ({"after": 3, "to": 3}, [], False),
        ({"after": 9, "to": 99}, [10], False),
        ({"after": 99}, [], False),
    ],
)
async def test_events_are_read_onward(
    log_of_ten: Talker,
    asked: dict[str, int],
    found: list[int],
    more: bool,  # noqa: FBT001
) -> None:
    page = await log_of_ten.ask("history", room="general", of="events", **asked)

    assert [event["seq"] for event in page["events"]] == found
    assert (page["more"], page["head"], page["room"]) == (more, 10, "general")


async def test_a_list_shows_messages_as_they_are_now(log_of_ten: Talker) -> None:
    page = await log_of_ten.ask("history", room="general")
    events = await log_of_ten.ask("history", room="general", of="events")

    second, sixth = page["messages"][1], page["messages"][3]
    assert (second["text"], second["edited"]) == ("two!!", 5)
    assert (sixth["text"], sixth["deleted"]) == ("", True)
    kinds = [event["push"] for event in events["events"]]
    assert (kinds[2], kinds[7]) == ("edited", "deleted")
    assert events["events"][5]["text"] == ""
    assert "six" not in json.dumps([page, events]).split('"')


async def test_in_a_group_history_begins_where_one_was_added(
    talk: Talkers,
    ada: User,
    grace: User,
) -> None:
    made = await in_thread(group, ada)
    await in_thread(actions.send_message, made, ada, "before")
    await in_thread(actions.add_member, made, grace)
    await in_thread(actions.send_message, made, ada, "after")
    talker = await talk(grace, room=None)

    joined = await talker.ask("join", room="group", after=0)
    pages = [
        await talker.ask("history", room="group"),
        await talker.ask("history", room="group", before=99),
        await talker.ask("history", room="group", after=0),
    ]
    events = await talker.ask("history", room="group", of="events", after=0)

    for page in pages:
        assert [message["text"] for message in page["messages"]] == ["after"]
    assert [event["seq"] for event in events["events"]] == [3, 4]
    assert (joined["unread"], joined["head"]) == (1, 4)
    assert seqs(await talker.until("group", 4)) == [4]


@pytest.mark.parametrize("of", ["messages", "events"])
@pytest.mark.parametrize("joined", [True, False])
async def test_a_room_that_was_deleted_is_not_found(
    talk: Talkers,
    of: str,
    joined: bool,  # noqa: FBT001
) -> None:
    """Its notice is not read yet, and one's other rooms stay as they are."""
    other = await in_thread(lambda: Room.objects.create(slug="other"))
    talker = await talk(room="general" if joined else None)
    await talker.ask("join", room="other")
    await talker.ask("history", room="general")  # they may; that is kept
    await in_thread(Room.objects.filter(slug="general").delete)

    assert await talker.refusal("history", room="general", of=of) == "not_found"
    await in_thread(actions.send_message, other, SYSTEM, "hi", kind="system")
    assert seqs(await talker.until("other", 1)) == [1]


async def test_join_without_an_id_takes_effect_and_is_not_answered(
    talk: Talkers,
) -> None:
    talker = await talk(room=None)

    await talker.say({"cmd": "join", "room": "general"})
    assert await talker.all() == []
    await talker.ask("send", room="general", text="a")

    assert (await talker.push("message"))["seq"] == 1


async def test_history_needs_an_id(talk: Talkers) -> None:
    talker = await talk()

    await talker.say({"cmd": "history", "room": "general"})

    error = (await talker.reply(None))["error"]
    assert (error["code"], error["field"]) == ("bad_command", "id")
