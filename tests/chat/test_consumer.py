"""The door: handshakes, frames that are no commands, closes, and clients that go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from channels.routing import URLRouter
from django.contrib.auth.models import User
from django.urls import re_path
from pytest_django import Settings

from headgate.chat import actions, consumer
from headgate.chat.consumer import ChatConsumer
from headgate.chat.engine import Engine
from headgate.chat.history import PAGE_MAX_BYTES
from headgate.chat.models import Message, Room
from headgate.chat.people import SYSTEM
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Ended,
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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - no event tells all of these
            await asyncio.sleep(0.001)


# --- closes -----------------------------------------------------------------------


async def test_ten_bad_commands_close_the_connection(talk: Talkers) -> None:
    talker = await talk()
    for n in range(9):
        await talker.say({"cmd": "sing", "id": n})
        assert (await talker.reply(n))["error"]["code"] == "unknown_command"
    assert await talker.ask("ping")
    assert await talker.refusal("react", room="general") == "unsupported"

    await talker.say("no JSON")
    ended = await talker.closed()

    assert (ended.code, ended.reason) == (4500, "Too many bad commands.")
    assert [said["reply"] for said in talker.pushes] == [None, None]
    assert [said["error"]["code"] for said in talker.pushes] == ["bad_command"] * 2
    await talker.task


async def test_ten_bad_commands_before_hello_close_too(talk: Talkers) -> None:
    talker = await talk.raw()
    for _ in range(10):
        await talker.say({"cmd": "ping", "id": 1})

    assert (await talker.closed()).code == 4500
    assert [said["error"]["code"] for said in talker.pushes] == ["hello_expected"] * 10


async def test_ten_bad_commands_close_in_plain_mode(talk: Talkers) -> None:
    talker = await talk.plain()
    for _ in range(10):
        await talker.say("{}")

    assert (await talker.closed()).code == 4500
    assert [said["error"] for said in talker.pushes] == ["bad_command"] * 11


async def test_refusals_are_no_bad_commands(talk: Talkers) -> None:
    talker = await talk()

    for _ in range(30):
        assert await talker.refusal("join", room="nowhere") == "not_found"

    assert await talker.ask("ping")


async def test_a_binary_frame_is_refused_and_the_next_is_heard(talk: Talkers) -> None:
    talker = await talk()

    await talker.say(b'{"cmd": "ping", "id": 1}')

    assert (await talker.reply(None))["error"]["code"] == "binary"
    assert await talker.ask("ping")


async def test_who_says_no_hello_is_told_and_closed(
    talk: Talkers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer, "HELLO_SECONDS", 0.05)
    silent, babbling = await talk.raw(), await talk.raw()
    await babbling.say({"cmd": "ping", "id": 3})

    for talker in (silent, babbling):
        ended = await talker.closed()
        assert (ended.code, ended.reason) == (4001, "No hello within 10 s.")
        assert talker.pushes[-1]["error"]["code"] == "hello_expected"


async def test_who_said_hello_has_all_the_time(
    talk: Talkers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer, "HELLO_SECONDS", 0.05)
    talker = await talk()

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(talker.hear(), 0.15)

    assert await talker.ask("ping")


async def test_where_guests_are_not_taken_one_has_to_sign_in(
    talk: Talkers,
    ada: User,
    settings: Settings,
) -> None:
    settings.HEADGATE = {"GUESTS": False}
    stranger, plain = await talk.raw(), await talk.plain()
    await stranger.say({"cmd": "hello", "id": 5, "name": "Gus"})

    ended = await stranger.closed()
    assert (ended.code, ended.reason) == (4501, "Sign in first.")
    assert stranger.pushes[0]["reply"] == 5
    assert stranger.pushes[0]["error"]["code"] == "unauthenticated"
    assert (await plain.closed()).code == 4501
    assert plain.pushes[0]["error"] == "unauthenticated"
    assert (await talk(ada)).welcome["user"]["kind"] == "user"


async def test_a_database_that_is_away_closes_plain_mode_with_come_back(
    talk: Talkers,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from headgate.live.ports import LogUnavailable

    async def away(*_: Any, **__: Any) -> None:
        raise LogUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(chat.reader, "run", away)
        talker = await talk.plain()
        ended = await talker.closed()

    assert ended.code == 4002
    assert talker.pushes[0]["error"] == "unavailable"
    assert talker.pushes[0]["retry_after_ms"] > 0


# --- handshakes -------------------------------------------------------------------

FOREIGN = [(b"host", b"testserver"), (b"origin", b"https://evil.example")]


async def test_a_foreign_origin_is_denied(
    talk: Talkers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    talker = await talk.raw(headers=FOREIGN)

    assert (await talker.closed()).code == 1008
    assert talker.accepted is None
    assert "evil.example" in caplog.text
    assert "testserver" in caplog.text
    await talker.task


async def test_a_server_that_can_says_why_it_denies(talk: Talkers) -> None:
    extension = "websocket.http.response"
    talker = await talk.raw(headers=FOREIGN, extensions=[extension])

    await talker.task
    start, body = talker.responses
    assert (start["type"], start["status"]) == (f"{extension}.start", 403)
    assert b"ALLOWED_ORIGINS" in body["body"]
    assert talker.accepted is None


async def test_line_breaks_of_a_client_do_not_get_into_the_log(
    talk: Talkers,
    caplog: pytest.LogCaptureFixture,
) -> None:
    headers = [(b"host", b"testserver"), (b"origin", b"http://a\r\nERROR forged")]

    await talk.raw(headers=headers)

    assert "\nERROR forged" not in caplog.text
    assert "forged" in caplog.text


async def test_a_cookie_does_not_count_without_an_origin(
    talk: Talkers,
    ada: User,
) -> None:
    with_cookie = await talk.raw(ada, headers=[(b"host", b"testserver")])
    without = await talk.raw(headers=[(b"host", b"testserver")])

    assert with_cookie.accepted is None
    assert without.accepted is not None


async def test_the_consumer_works_without_authentication_around_it(
    talk: Talkers,
) -> None:
    consumer: Any = ChatConsumer()
    app = URLRouter([re_path(r"^ws/chat/(?P<room>[^/]+)/$", consumer)])
    talker = await talk.raw(app=app)
    await talker.say({"cmd": "hello"})

    assert (await talker.push("welcome"))["user"]["kind"] == "guest"


async def test_the_consumer_says_where_it_belongs() -> None:
    async def nothing(*_: Any) -> Any:
        return None

    with pytest.raises(ValueError, match="ProtocolTypeRouter"):
        await ChatConsumer()({"type": "http"}, nothing, nothing)


# --- going ------------------------------------------------------------------------


async def test_whoever_goes_leaves_nothing(talk: Talkers, chat: Engine) -> None:
    keeper = await talk()  # the engine's own tasks have begun
    before = len(asyncio.all_tasks())
    talkers = [await talk(), await talk.plain(), await talk.raw()]
    await talkers[0].ask("send", room="general", text="a")
    assert len(chat.node.connections) == 3

    for talker in talkers:
        await talk.end(talker)

    await keeper.until("general", 1)
    assert len(chat.node.connections) == 1
    assert len(chat.node.hub.rooms) == 1
    await until(lambda: len(asyncio.all_tasks()) == before)


async def test_the_last_to_go_takes_the_room_along(
    talk: Talkers,
    chat: Engine,
) -> None:
    talker = await talk()
    await talk.end(talker)

    assert chat.node.connections == set()
    assert chat.node.hub.rooms == {}


async def test_whoever_vanishes_in_the_middle_leaves_nothing(
    talk: Talkers,
    chat: Engine,
) -> None:
    """Behind, being fed, with sends on their way; the server's `send` raises."""
    await in_thread(_write_much)
    talker = await talk.raw()
    before = asyncio.all_tasks() - {talker.task}
    talker.reads.clear()
    await talker.say({"cmd": "hello", "resume": {"general": 0}})
    for n in range(50):
        await talker.say({"cmd": "send", "room": "general", "text": f"m{n}"})
    await until(lambda: any(not c.outbox.roomy for c in chat.node.connections))

    await talker.vanish()

    assert chat.node.connections == set()
    assert chat.node.hub.rooms == {}
    await until(lambda: asyncio.all_tasks() <= before | {asyncio.current_task()})


def _write_much() -> None:
    for _ in range(60):
        actions.send_message("general", SYSTEM, "x" * 8000, kind="system")


async def test_what_was_sent_before_going_is_saved(talk: Talkers) -> None:
    talker = await talk()
    for n in range(20):
        await talker.say({"cmd": "send", "room": "general", "text": f"m{n}"})
    reader = await talk()
    await talker.ask("ping")

    await talk.end(talker)

    await reader.ask("send", room="general", text="last")
    texts = await in_thread(lambda: list(Message.objects.order_by("seq")))
    assert [m.text for m in texts][:20] == [f"m{n}" for n in range(20)]


async def test_whoever_does_not_read_is_not_heard_and_bounded(
    talk: Talkers,
    chat: Engine,
) -> None:
    """Replies are never dropped; so the server stops reading commands."""
    talker = await talk()
    connection = next(iter(chat.node.connections))
    talker.reads.clear()
    history = {"cmd": "history", "id": 1, "room": "general", "of": "events"}
    await in_thread(_write_much)
    for _ in range(20):
        await talker.say(history)

    await until(lambda: not connection.outbox.roomy)
    await asyncio.gather(*[in_thread(Room.objects.count) for _ in range(5)])

    reply = PAGE_MAX_BYTES + 16_384  # the last entry may reach over it
    assert connection.outbox.size_bytes < connection.outbox.limit_bytes + reply
    assert talker._in.qsize() > 15
    talker.reads.set()
    for _ in range(20):
        await talker.reply(1)
    assert await talker.ask("ping")


async def test_a_fault_of_ours_ends_one_connection_and_is_logged(
    talk: Talkers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    neighbour, talker = await talk(), await talk()

    async def broken(*_: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(
        "headgate.chat.conversation.Conversation._edit",
        broken,
    )
    broken_one = await talk()
    await broken_one.say({"cmd": "edit", "room": "general", "target": 1, "text": "a"})
    ended = await broken_one.closed()

    assert isinstance(ended, Ended)
    assert ended.code == 1011
    assert "a bug" in talk.faults.pop()
    for other in (neighbour, talker):
        assert await other.ask("ping")
