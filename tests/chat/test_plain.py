"""Plain mode, said to the real application."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from headgate.chat import actions
from headgate.chat.engine import Engine
from headgate.chat.models import Message, Room
from headgate.chat.people import SYSTEM
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talker,
    Talkers,
    guests_fixture,
    in_thread,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests", "room"),
]

SAVED = "Message received and saved."


def write(count: int) -> None:
    for n in range(1, count + 1):
        actions.send_message("general", SYSTEM, f"m{n}", kind="system")


async def hear(talker: Talker, count: int) -> list[dict[str, Any]]:
    return [await talker.hear() for _ in range(count)]


async def test_a_message_is_saved_then_told(talk: Talkers, ada: User) -> None:
    talker, other = await talk.plain(ada), await talk.plain()

    await talker.say({"message": "hi"})

    reply, told = await hear(talker, 2)
    assert reply == {"message": SAVED, "seq": 1}
    assert told == {
        "message": "hi",
        "author": "Ada Lovelace",
        "seq": 1,
        "at": told["at"],
    }
    assert await other.hear() == told
    saved = await in_thread(Message.objects.get)
    assert (saved.text, saved.author_key, saved.seq) == ("hi", f"u:{ada.pk}", 1)


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [
        ([], None),
        (["headgate.plain"], "headgate.plain"),
        (["soap", "headgate.plain"], "headgate.plain"),
        (["soap"], None),
    ],
)
async def test_plain_mode_is_that_of_whoever_asks_for_no_other(
    talk: Talkers,
    offered: list[str],
    accepted: str | None,
) -> None:
    talker = await talk.raw(subprotocols=offered)
    await talker.say({"message": "hi"})

    assert (await talker.hear())["message"] == SAVED
    assert talker.accepted == {"type": "websocket.accept", "subprotocol": accepted}


async def test_a_client_id_is_repeated_everywhere(talk: Talkers) -> None:
    talker, other = await talk.plain(), await talk.plain()

    await talker.say({"message": "hi", "client_id": "c-1"})
    reply, told = await hear(talker, 2)
    await talker.say({"message": "hi", "client_id": "c-1"})
    again = await talker.hear()
    await talker.say({"message": "ho", "client_id": "c-1"})
    refused = await talker.hear()
    await talker.say({"message": "", "client_id": "c-2"})
    bad = await talker.hear()

    assert reply == {"message": SAVED, "seq": 1, "client_id": "c-1"}
    assert told["client_id"] == (await other.hear())["client_id"] == "c-1"
    assert again == reply
    assert (refused["error"], refused["client_id"]) == ("id_conflict", "c-1")
    assert (bad["error"], bad["client_id"]) == ("bad_command", "c-2")


async def test_replies_come_in_the_order_of_the_commands(talk: Talkers) -> None:
    """Good ones wait for their commit; what was no command is refused in its turn."""
    talker = await talk.plain()
    for n in range(30):
        bad = n in {3, 7, 20}
        await talker.say(
            {"massage" if bad else "message": f"m{n}", "client_id": f"{n}"}
        )
    heard: list[dict[str, Any]] = []
    while len(heard) < 57:
        heard.append(await talker.hear())

    replies = [said for said in heard if "author" not in said]
    told = [said for said in heard if "author" in said]
    assert [reply["client_id"] for reply in replies] == [str(n) for n in range(30)]
    assert [said["seq"] for said in told] == list(range(1, 28))
    for said in told:
        reply = next(r for r in replies if r["client_id"] == said["client_id"])
        assert reply["seq"] == said["seq"]
        assert heard.index(reply) < heard.index(said)


@pytest.mark.parametrize(
    ("frame", "code", "field"),
    [
        ("no JSON", "bad_command", None),
        ("[]", "bad_command", None),
        ("{}", "bad_command", "message"),
        ('{"message": 1}', "bad_command", "message"),
        ('{"message": " "}', "bad_command", "message"),
        ('{"message": "a\\u0000"}', "bad_command", "message"),
        ('{"message": "a", "client_id": ""}', "bad_command", "client_id"),
        ('{"message": "' + "x" * 17_000 + '"}', "too_large", None),
        (b'{"message": "a"}', "binary", None),
    ],
)
async def test_what_is_no_command_is_refused_and_the_next_is_taken(
    talk: Talkers,
    frame: str | bytes,
    code: str,
    field: str | None,
) -> None:
    talker = await talk.plain()

    await talker.say(frame)
    refused = await talker.hear()
    await talker.say({"message": "good"})

    assert (refused["error"], refused.get("field")) == (code, field)
    assert isinstance(refused["text"], str)
    assert (await talker.hear())["seq"] == 1


async def test_after_brings_what_was_missed(talk: Talkers) -> None:
    await in_thread(write, 5)
    talker, now = await talk.plain(query="after=2"), await talk.plain()

    assert [said["message"] for said in await hear(talker, 3)] == ["m3", "m4", "m5"]
    await talker.say({"message": "on"})
    assert [said["seq"] for said in await hear(talker, 2)] == [6, 6]
    assert (await now.hear())["seq"] == 6


async def test_after_what_never_was_is_a_reset(talk: Talkers) -> None:
    await in_thread(write, 5)
    talker = await talk.plain(query="after=9")

    assert await talker.hear() == {"reset": {"oldest": 1, "head": 5}}
    await talker.say({"message": "on"})
    assert (await talker.hear())["seq"] == 6


@pytest.mark.parametrize(
    "given",
    ["x", "-1", "1.5", "+1", "٣", "9007199254740992", "9" * 5000, "%00", "1e3"],
)
async def test_an_after_that_is_no_seq_is_said_and_left_out(
    talk: Talkers,
    given: str,
) -> None:
    await in_thread(write, 2)
    talker = await talk.plain(query=f"after={given}")

    refused = await talker.hear()
    await talker.say({"message": "on"})

    assert (refused["error"], refused["field"]) == ("bad_command", "after")
    assert (await talker.hear())["seq"] == 3


async def test_edits_deletions_and_signals_are_not_sent(talk: Talkers) -> None:
    talker, other = await talk.plain(), await talk()
    await other.ask("send", room="general", text="a")
    await other.ask("send", room="general", text="secret")
    await other.ask("edit", room="general", target=1, text="b")
    await other.ask("delete", room="general", target=2)
    await other.ask("typing", room="general", typing=True)
    await other.ask("read", room="general", seq=1)
    await other.ask("send", room="general", text="c")

    assert [said["seq"] for said in await hear(talker, 3)] == [1, 2, 5]
    late = await talk.plain(query="after=0")
    heard = await hear(late, 2)
    assert [(said["seq"], said["message"]) for said in heard] == [(1, "b"), (5, "c")]


async def test_who_may_not_send_is_told_so(talk: Talkers, ada: User) -> None:
    until = timezone.now() + timedelta(seconds=60)
    await in_thread(actions.mute, "general", ada, until)
    talker = await talk.plain(ada)

    await talker.say({"message": "hi", "client_id": "c"})
    refused = await talker.hear()

    assert (refused["error"], refused["client_id"]) == ("muted", "c")
    assert 50_000 < refused["retry_after_ms"] <= 60_001
    assert not await in_thread(Message.objects.exists)


@pytest.mark.parametrize("room", [None, "nowhere", "..", "a b"])
async def test_plain_mode_is_for_one_room_that_is_there(
    talk: Talkers,
    room: str | None,
) -> None:
    talker = await talk.plain(room=room)

    ended = await talker.closed()

    assert [said["error"] for said in talker.pushes] == ["not_found"]
    assert ended.code == 4502
    assert ended.reason


async def test_a_group_of_others_is_like_a_missing_room(
    talk: Talkers,
    ada: User,
) -> None:
    made = await in_thread(
        Room.objects.create,
        slug="group",
        kind=Room.Kind.GROUP,
    )
    await in_thread(actions.add_member, made, ada)

    answers = []
    for slug in ("group", "groap"):
        talker = await talk.plain(room=slug)
        ended = await talker.closed()
        answers.append((talker.pushes, ended.code, ended.reason))

    assert answers[0] == answers[1]
    member = await talk.plain(ada, room="group")
    await member.say({"message": "hi"})
    assert (await member.hear())["seq"] == 2


async def test_a_full_journal_is_said_in_turn_and_nothing_else_is(
    talk: Talkers,
    chat: Engine,
) -> None:
    talker = await talk.plain()
    chat.journal._max_waiting = 1

    for n in range(10):
        await talker.say({"message": f"m{n}", "client_id": f"c{n}"})
    heard: list[Any] = []
    while sum("author" not in (said or {}) for said in heard) < 10:
        heard.append(await talker.hear())

    assert None not in heard
    replies = [said for said in heard if "author" not in said]
    assert [reply["client_id"] for reply in replies] == [f"c{n}" for n in range(10)]
    codes = {reply.get("error", "saved") for reply in replies}
    assert codes == {"saved", "overloaded"}
