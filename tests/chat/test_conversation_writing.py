"""`headgate.v1` on the real application: sending, changing, signals and marks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from headgate.chat.models import Event, Message, Room
from tests.chat.scenes import group, write
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


# --- send -------------------------------------------------------------------------


async def test_a_send_is_answered_then_told_to_everybody(
    talk: Talkers,
    ada: User,
) -> None:
    talker, other = await talk(ada), await talk()

    reply = await talker.ask(
        "send",
        room="general",
        text="Привет 👋",
        client_id="c-1",
        kind="x-poll",
        format="markdown",
        data={"a": [1, None]},
        reply_to=1,
        priority="high",
        expires_in_ms=5,
    )

    assert talker.pushes == []  # the reply precedes one's own broadcast
    told = await talker.push("message")
    assert reply == {"reply": 1, "seq": 1, "at": told["at"]}
    assert told == await other.push("message")
    assert told == {
        "push": "message",
        "room": "general",
        "seq": 1,
        "client_id": "c-1",
        "author": {"id": f"u:{ada.pk}", "kind": "user", "name": "Ada Lovelace"},
        "text": "Привет 👋",
        "at": reply["at"],
        "kind": "x-poll",
        "format": "markdown",
        "data": {"a": [1, None]},
        "reply_to": 1,
        "priority": "high",
        "expires_in_ms": 5,
    }
    age = datetime.now(UTC) - datetime.fromisoformat(reply["at"])
    assert timedelta(0) <= age < timedelta(minutes=1)


async def test_a_send_without_an_id_is_told_and_not_answered(talk: Talkers) -> None:
    talker = await talk()

    await talker.say({"cmd": "send", "room": "general", "text": "a"})

    assert (await talker.hear())["push"] == "message"
    assert await talker.all() == []


async def test_a_refusal_without_an_id_is_said_all_the_same(talk: Talkers) -> None:
    talker = await talk()

    commands: list[dict[str, Any]] = [
        {"cmd": "send", "room": "nowhere", "text": "a", "client_id": "c"},
        {"cmd": "join", "room": "nowhere"},
        {"cmd": "edit", "room": "general", "target": 5, "text": "a"},
    ]
    for command in commands:
        await talker.say(command)
        said = await talker.hear()
        assert said["reply"] is None
        assert said["error"]["code"] == "not_found"
        assert said["error"].get("client_id") == command.get("client_id")


async def test_a_send_to_a_room_that_was_deleted_is_not_found(talk: Talkers) -> None:
    """Not `unavailable`: to come again would change nothing."""
    talker = await talk()
    await in_thread(Room.objects.all().delete)

    reply = await talker.ask("send", room="general", text="a", client_id="c-1")

    error = reply["error"]
    assert (error["code"], error["client_id"]) == ("not_found", "c-1")
    assert "retry_after_ms" not in error


async def test_a_retry_gives_the_first_seq_and_is_not_told_again(
    talk: Talkers,
) -> None:
    talker = await talk()
    send = {"room": "general", "text": "a", "client_id": "c-1"}

    first = await talker.ask("send", **send)
    again = await talker.ask("send", **send)

    assert {**again, "reply": 1} == first
    assert seqs(await talker.all()) == [1]
    refused = await talker.ask("send", **{**send, "text": "b"})
    assert refused["error"]["code"] == "id_conflict"
    assert refused["error"]["client_id"] == "c-1"


async def test_one_may_send_into_a_room_that_one_has_not_joined(talk: Talkers) -> None:
    talker, other = await talk(room=None), await talk()

    assert (await talker.ask("send", room="general", text="a"))["seq"] == 1

    assert (await other.push("message"))["text"] == "a"
    assert await talker.all() == []


async def test_sends_of_one_connection_keep_their_order(talk: Talkers) -> None:
    """300 at once: more than may be in flight."""
    talker, other = await talk(), await talk()

    for n in range(300):
        send = {"cmd": "send", "id": n, "room": "general", "text": f"m{n}"}
        await talker.say(send)
    replies = [await talker.reply(n) for n in range(300)]

    assert [reply["seq"] for reply in replies] == list(range(1, 301))
    texts = [said["text"] for said in await other.until("general", 300)]
    assert texts == [f"m{n}" for n in range(300)]


async def test_a_full_journal_is_said_and_loses_nothing(talk: Talkers) -> None:
    from headgate.chat.engine import engine

    talker = await talk()
    engine().journal._max_waiting = 2

    for n in range(40):
        await talker.say(
            {
                "cmd": "send",
                "id": n,
                "room": "general",
                "text": f"m{n}",
                "client_id": f"c{n}",
            },
        )
    replies = [await talker.reply(n) for n in range(40)]

    refused = [reply["error"] for reply in replies if "error" in reply]
    for error in refused:
        assert error["code"] == "overloaded"
        assert error["retry_after_ms"] > 0
        assert error["client_id"].startswith("c")
    saved = [reply["seq"] for reply in replies if "seq" in reply]
    assert refused
    assert saved == list(range(1, len(saved) + 1))
    assert await in_thread(Message.objects.count) == len(saved)


# --- edit and delete --------------------------------------------------------------


async def test_an_edit_is_told_and_a_deletion_too(talk: Talkers) -> None:
    talker, other = await talk(), await talk()
    await talker.ask("send", room="general", text="a")

    edited = await talker.ask("edit", room="general", target=1, text="b")
    same = await talker.ask("edit", room="general", target=1, text="b")
    deleted = await talker.ask("delete", room="general", target=1)
    again = await talker.ask("delete", room="general", target=1)

    assert [r["seq"] for r in (edited, same, deleted, again)] == [2, 2, 3, 3]
    heard = await other.until("general", 3)
    me = talker.welcome["user"]
    assert [said["push"] for said in heard] == ["message", "edited", "deleted"]
    assert (heard[1]["target"], heard[1]["text"], heard[1]["author"]) == (1, "b", me)
    assert (heard[2]["target"], heard[2]["author"]) == (1, me)


@pytest.mark.parametrize(
    ("cmd", "more"),
    [("edit", {"text": "mine"}), ("delete", {})],
)
async def test_others_messages_and_what_is_no_message_cannot_be_changed(
    talk: Talkers,
    ada: User,
    cmd: str,
    more: dict[str, str],
) -> None:
    author, other = await talk(ada), await talk()
    await author.ask("send", room="general", text="a")
    await author.ask("edit", room="general", target=1, text="b")

    assert await other.refusal(cmd, room="general", target=1, **more) == "forbidden"
    assert await author.refusal(cmd, room="general", target=2, **more) == "not_found"
    assert await author.refusal(cmd, room="general", target=9, **more) == "not_found"
    assert await in_thread(Event.objects.count) == 2


async def test_a_deleted_message_is_not_edited(talk: Talkers) -> None:
    talker = await talk()
    await talker.ask("send", room="general", text="a")
    await talker.ask("delete", room="general", target=1)

    edit = {"room": "general", "target": 1, "text": "b"}
    assert await talker.refusal("edit", **edit) == "not_found"


# --- typing and read marks --------------------------------------------------------


async def test_typing_reaches_others_and_not_oneself(talk: Talkers, ada: User) -> None:
    talker, mine, other = await talk(ada), await talk(ada), await talk()

    assert await talker.ask("typing", room="general", typing=True) == {"reply": 1}

    assert await other.push("typing") == {
        "push": "typing",
        "room": "general",
        "author": {"id": f"u:{ada.pk}", "kind": "user", "name": "Ada Lovelace"},
        "typing": True,
    }
    assert await talker.all() == []
    assert await mine.all() == []


@pytest.mark.parametrize(
    ("cmd", "more"),
    [("typing", {"typing": True}), ("read", {"seq": 1})],
)
async def test_typing_and_reading_are_for_joined_rooms(
    talk: Talkers,
    cmd: str,
    more: dict[str, Any],
) -> None:
    talker = await talk(room=None)

    assert await talker.refusal(cmd, room="general", **more) == "not_joined"


async def test_a_read_mark_moves_up_only_and_not_past_the_head(
    talk: Talkers,
    ada: User,
) -> None:
    await in_thread(write, 5)
    talker, mine, other = await talk(ada), await talk(ada), await talk()
    marks = []
    for seq in (3, 2, 99, 0):
        assert "error" not in await talker.ask("read", room="general", seq=seq)
        marks.append((await mine.push("read"))["seq"])

    assert marks == [3, 3, 5, 5]
    assert await other.all() == []  # in a public room it is one's own affair
    assert await talker.all() == []
    again = (await talk(ada)).welcome["rooms"]["general"]
    assert (again["read"], again["unread"]) == (5, 0)


async def test_in_a_group_everybody_sees_how_far_one_has_read(
    talk: Talkers,
    ada: User,
    grace: User,
) -> None:
    await in_thread(group, ada, grace)
    reader, other = await talk(ada, room="group"), await talk(grace, room="group")

    await reader.ask("read", room="group", seq=2)

    told = await other.push("read")
    assert (told["seq"], told["author"]["id"]) == (2, f"u:{ada.pk}")


async def test_where_somebody_has_read_to_is_not_lost_with_them(
    talk: Talkers, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their last mark still waits for its second when they go."""
    monkeypatch.setattr("headgate.chat.read_marks.JOINED_SECONDS", 3600.0)
    talker, writer = await talk(ada), await talk()
    for text in "abc":
        await writer.ask("send", room="general", text=text)
    await talker.ask("read", room="general", seq=1)
    await talker.say({"cmd": "read", "room": "general", "seq": 3})
    await talker.ask("ping")
    await writer.ask("send", room="general", text="d")  # is written after it
    waits = (await talk(ada)).welcome["rooms"]["general"]["read"]

    await talk.end(talker)
    await writer.ask("send", room="general", text="e")

    assert waits == 1

    assert (await talk(ada)).welcome["rooms"]["general"]["read"] == 3


async def test_unread_counts_messages_and_stops_at_100(talk: Talkers) -> None:
    await in_thread(write, 3)
    first = await talk()
    await first.ask("send", room="general", text="a")
    await first.ask("edit", room="general", target=4, text="b")
    await first.ask("send", room="general", text="c")
    await first.ask("delete", room="general", target=6)
    guest = first.welcome["guest"]
    await first.ask("read", room="general", seq=1)

    unread = (await talk(guest=guest)).welcome["rooms"]["general"]["unread"]
    assert unread == 3  # 2, 3 and 4; neither the edit nor what was deleted

    await in_thread(write, 110)
    more = await talk(guest=guest)
    assert more.welcome["rooms"]["general"]["unread"] == 100
    assert (await more.ask("join", room="general"))["unread"] == 100
