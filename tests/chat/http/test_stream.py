"""The event stream on the real application: what it says, and to whoever comes back."""

from __future__ import annotations

import types
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient
from django.urls import include
from django.urls import path as url
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.engine import Engine
from headgate.chat.http.stream import RETRY_FROM_MS, RETRY_TO_MS
from headgate.chat.models import Room
from headgate.chat.people import SYSTEM
from headgate.live.event_stream_sink import HEARTBEAT_SECONDS
from headgate.live.positions import positions_in
from headgate.protocol.commands import Position
from headgate.protocol.fields import MAX_ROOMS
from tests.chat.http.stream_reader import (  # noqa: F401 - fixtures are found by name
    HOST,
    Readers,
    stream_fixture,
)
from tests.chat.scenes import group, write
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    guests_fixture,
    in_thread,
    talk_fixture,
)
from tests.event_stream import Event

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests", "room"),
]


@pytest.fixture
def help_room(transactional_db: None) -> Room:
    return Room.objects.create(slug="help", title="Help")


def seqs(events: list[Event], room: str = "general") -> list[int]:
    said = [event.said for event in events]
    return [each["seq"] for each in said if each.get("room") == room and "seq" in each]


async def say(text: str = "hi", room: str = "general") -> None:
    await in_thread(actions.send_message, room, SYSTEM, text, kind="system")


# --- the answer -------------------------------------------------------------------


async def test_the_answer_is_a_stream_that_nobody_keeps(stream: Readers) -> None:
    reader = await stream()

    assert reader.status == 200
    assert reader.headers == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store, no-transform",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff",
        "vary": "Origin",
    }
    assert reader.body.startswith(b"retry: ")


async def test_when_to_come_back_is_drawn_for_each(stream: Readers) -> None:
    readers = [await stream() for _ in range(8)]
    drawn = {reader.parser.retry_ms for reader in readers}

    assert len(drawn) > 1
    assert all(RETRY_FROM_MS <= (each or 0) <= RETRY_TO_MS for each in drawn)


async def test_the_welcome_is_that_of_a_websocket(
    talk: Talkers, stream: Readers, ada: User, help_room: Room
) -> None:
    await in_thread(write, 3)
    talker = await talk(ada, None, resume={"general": 3, "help": 0})
    reader = await stream("general,help", ada)

    expected = dict(talker.welcome)
    del expected["ticket"]  # who came with a cookie comes back with it
    assert reader.heard[0].said == expected
    assert reader.heard[0].said["heartbeat_ms"] == HEARTBEAT_SECONDS * 1000
    assert list(reader.heard[0].said["rooms"]) == ["general", "help"]
    assert reader.heard[0].said["rooms"]["general"]["head"] == 3


async def test_a_stream_and_a_websocket_say_the_same(
    talk: Talkers, stream: Readers, ada: User, grace: User
) -> None:
    talker = await talk(grace)
    author = await talk(ada)
    reader = await stream("general", grace)
    sent = await author.ask("send", room="general", text="é 👋\n\u2028", client_id="c")
    await author.ask("send", room="general", text="more", data={"a": [1, None]})
    await author.ask("typing", room="general")
    await author.ask("edit", room="general", target=sent["seq"], text="changed")
    await author.ask("read", room="general", seq=2)
    await author.ask("delete", room="general", target=sent["seq"])
    over_websocket = await talker.until("general", 4)
    over_stream = await reader.until("general", 4)

    assert [event.said for event in over_stream] == over_websocket
    assert [event.name for event in over_stream] == [
        said["push"] for said in over_websocket
    ]
    assert {"message", "edited", "deleted", "typing"} <= {
        event.name for event in over_stream
    }


async def test_the_data_is_to_the_byte_what_a_websocket_gets(
    talk: Talkers, stream: Readers, ada: User
) -> None:
    talker = await talk(ada)
    reader = await stream()
    await say("é 👋\n\u2028\\")
    frame = await talker._out.get()
    (event,) = await reader.until("general", 1)

    assert event.data == frame
    assert f"data: {frame}\n".encode() in reader.body


async def test_lines_in_a_message_are_no_lines_of_the_stream(stream: Readers) -> None:
    reader = await stream()
    text = "a\r\nb\n\nevent: reset\ndata: {}\n\nid: x\u2028\x85\ufeff"
    await say(text)
    (event,) = await reader.until("general", 1)

    assert (event.name, event.said["text"]) == ("message", text)


async def test_a_head_is_asked_for_without_a_body(
    stream: Readers, chat: Engine
) -> None:
    reader = await stream.raw(method="HEAD")

    assert (reader.status, reader.body) == (200, b"")
    assert reader.complete
    assert reader.headers["content-type"].startswith("text/event-stream")
    await reader.over()
    assert not chat.node.connections
    missing = await stream.raw("nowhere", method="HEAD")
    assert (missing.status, missing.body) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "FOO"])
async def test_the_stream_is_only_read(stream: Readers, method: str) -> None:
    reader = await stream.raw(method=method)

    assert reader.status == 405
    assert set(reader.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert reader.problem["status"] == 405
    await reader.over()


@pytest.mark.parametrize(
    ("prefix", "force", "root_path", "path"),
    [
        ("sub/", None, "", "/sub/api/v1/stream"),
        ("", None, "/app", "/app/api/v1/stream"),
        ("sub/", "/app", "", "/app/sub/api/v1/stream"),
        # A proxy that takes the prefix away before it passes the request on.
        ("", "/app", "", "/api/v1/stream"),
    ],
)
async def test_the_stream_is_where_the_project_mounts_it(
    stream: Readers,
    settings: Settings,
    prefix: str,
    force: str | None,
    root_path: str,
    path: str,
) -> None:
    urls: Any = types.ModuleType("urls_of_a_project")
    urls.urlpatterns = [url(prefix, include("headgate.urls"))]
    settings.ROOT_URLCONF = urls
    settings.FORCE_SCRIPT_NAME = force
    there = stream.ask("rooms=general", path=path, root_path=root_path)
    assert (await there.begun()).status == 200
    elsewhere = stream.ask("rooms=general", path=f"{path}/", root_path=root_path)
    assert (await elsewhere.begun()).status == 404


async def test_a_project_that_has_not_mounted_it_is_told(room: Room) -> None:
    answer = await AsyncClient().get("/api/v1/stream?rooms=general")

    assert answer.status_code == 501
    assert "headgate.asgi.with_chat" in answer.json()["detail"]


# --- rooms ------------------------------------------------------------------------


async def test_one_stream_is_for_many_rooms(stream: Readers, help_room: Room) -> None:
    reader = await stream("help,general")
    await say("one", "general")
    await say("two", "help")
    await say("three", "general")
    await reader.reach(general=2, help=1)

    said = [(e.said["room"], e.said["text"]) for e in reader.heard[1:]]
    assert [each for each in said if each[0] == "general"] == [
        ("general", "one"),
        ("general", "three"),
    ]
    assert [each for each in said if each[0] == "help"] == [("help", "two")]
    assert len(said) == 3


async def test_a_room_that_is_not_ones_own_is_refused_in_the_welcome(
    stream: Readers, ada: User, grace: User
) -> None:
    await in_thread(group, grace)
    reader = await stream("group,general,nowhere", ada)
    rooms = reader.heard[0].said["rooms"]

    assert list(rooms) == ["group", "general", "nowhere"]
    assert rooms["group"] == rooms["nowhere"]
    assert rooms["group"]["error"]["code"] == "not_found"
    assert rooms["general"]["head"] == 0
    await in_thread(actions.send_message, "group", grace, "secret")
    await say()
    await reader.until("general", 1)
    assert "secret" not in reader.body.decode()


async def test_where_no_room_is_ones_own_there_is_no_stream(
    stream: Readers, ada: User, grace: User
) -> None:
    await in_thread(group, grace)
    for rooms in ("nowhere", "group", "group,nowhere"):
        reader = await stream.raw(rooms, ada)
        assert (reader.status, reader.problem["code"]) == (404, "not_found")
        await reader.over()


async def test_a_request_to_read_makes_no_room(
    stream: Readers, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True}
    for method in ("GET", "HEAD"):
        assert (await stream.raw("new-one", method=method)).status == 404
    assert not await Room.objects.filter(slug="new-one").aexists()


async def test_whoever_is_banned_is_told(
    stream: Readers, ada: User, room: Room
) -> None:
    await in_thread(actions.ban, room, ada)
    reader = await stream.raw("general", ada)
    assert (reader.status, reader.problem["code"]) == (403, "banned")


@pytest.mark.parametrize(
    "rooms", ["", ".x", ",".join(f"r{n}" for n in range(MAX_ROOMS + 1))]
)
async def test_rooms_that_cannot_be_are_a_problem(stream: Readers, rooms: str) -> None:
    reader = await stream.raw(rooms)

    assert (reader.status, reader.problem["field"]) == (400, "rooms")
    assert int(reader.headers["content-length"]) == len(reader.body)
    assert reader.headers["cache-control"] == "no-store"


async def test_a_hundred_rooms_resume_by_one_id(stream: Readers) -> None:
    names = [f"r{n:02}" + "x" * 61 for n in range(MAX_ROOMS)]
    made = [Room(slug=name, title=name) for name in names]
    await in_thread(Room.objects.bulk_create, made)
    reader = await stream(",".join(names))
    for name in names[::10]:
        await say("one", name)
    await reader.reach(**dict.fromkeys(names[::10], 1))
    last = reader.parser.last_id
    await stream.end(reader)
    for name in names[::5]:
        await say("two", name)
    back = await stream(",".join(reversed(names)), last=last)
    begun = {name: 2 if name in names[::10] else 1 for name in names[::5]}
    await back.reach(**begun)

    assert len(last) < 4000
    for name in names:
        assert seqs(back.heard, name) == ([begun[name]] if name in begun else [])


# --- coming back ------------------------------------------------------------------


async def test_coming_back_misses_nothing(stream: Readers, help_room: Room) -> None:
    first = await stream("general,help")
    await say("one")
    await first.until("general", 1)
    await stream.end(first)
    await say("two")
    await say("beside", "help")
    back = await stream("general,help", last=first.parser.last_id)
    await say("three")
    await back.reach(general=3, help=1)

    assert seqs(back.heard) == [2, 3]
    assert seqs(back.heard, "help") == [1]


async def test_the_welcome_itself_can_be_come_back_with(stream: Readers) -> None:
    await in_thread(write, 5)
    first = await stream()
    await stream.end(first)
    await say()
    back = await stream(last=first.heard[0].last_id)
    await back.until("general", 6)

    assert seqs(back.heard) == [6]


async def test_whoever_is_cut_off_after_the_welcome_misses_nothing(
    stream: Readers, room: Room
) -> None:
    await in_thread(write, 3)
    first = await stream(last=f"{room.epoch}-1")
    await stream.end(first)
    back = await stream(last=first.heard[0].last_id)
    await back.until("general", 3)

    assert seqs(back.heard) == [2, 3]


async def test_a_place_may_be_put_together_from_a_list(
    talk: Talkers, stream: Readers
) -> None:
    await in_thread(write, 5)
    page = await (await talk()).ask("history", room="general")
    await say()
    place = f"{page['epoch']}-{page['head']}"
    reader = await stream(query={"last_event_id": place})
    await reader.until("general", 6)

    assert seqs(reader.heard) == [6]


async def test_another_epoch_is_a_reset(
    stream: Readers, help_room: Room, chat: Engine
) -> None:
    await in_thread(write, 4)
    first = await stream("general,help")
    await stream.end(first)
    chat.node.hub.sweep()
    await in_thread(Room.objects.filter(slug="general").update, epoch="ff00ff00")
    await say("beside", "help")
    back = await stream("general,help", last=first.parser.last_id)
    reset = await back.named("reset")
    await say()
    await back.until("general", 5)

    assert reset.said == {
        "push": "reset",
        "room": "general",
        "oldest": 1,
        "head": 4,
        "epoch": "ff00ff00",
    }
    assert Position(4, "ff00ff00") in positions_in(reset.last_id)
    assert seqs(back.heard) == [5]
    assert [e.said["room"] for e in back.heard if e.name == "reset"] == ["general"]


async def test_whoever_is_cut_off_before_a_reset_is_told_it_again(
    stream: Readers,
) -> None:
    await in_thread(write, 4)
    first = await stream(last="00000000-2")
    assert first.heard[0].last_id == "00000000-2"
    await stream.end(first)
    back = await stream(last=first.heard[0].last_id)

    assert (await back.named("reset")).said["head"] == 4


@pytest.mark.parametrize(("seq", "limit"), [(99, 100), (1, 3)])
async def test_the_future_and_the_far_past_are_a_reset(
    stream: Readers, chat: Engine, room: Room, seq: int, limit: int
) -> None:
    await in_thread(write, 5)
    chat.node._resume_limit = limit
    reader = await stream(last=f"{room.epoch}-{seq}")
    reset = await reader.named("reset")
    await say()
    await reader.until("general", 6)

    assert (reset.said["oldest"], reset.said["head"]) == (1, 5)
    assert seqs(reader.heard) == [6]


async def test_a_room_that_was_not_asked_for_before_is_to_be_loaded(
    stream: Readers, help_room: Room
) -> None:
    await in_thread(write, 3)
    first = await stream("general")
    await stream.end(first)
    await say()
    back = await stream("help,general", last=first.parser.last_id)
    await back.until("general", 4)

    assert [e.said["room"] for e in back.heard if e.name == "reset"] == ["help"]
    assert seqs(back.heard) == [4]


@pytest.mark.parametrize("last", ["7", "general:7", "x" * 9000])
async def test_an_id_that_is_none_is_a_problem(stream: Readers, last: str) -> None:
    for more in ({"last": last}, {"query": {"last_event_id": last}}):
        reader = await stream.raw(**more)
        assert (reader.status, reader.problem["field"]) == (400, "last_event_id")


def _delete(target: int, by: User) -> None:
    actions.delete_message("general", target, by=by)


async def test_what_was_deleted_meanwhile_comes_without_its_text(
    stream: Readers, ada: User
) -> None:
    first = await stream()
    await stream.end(first)
    sent = await in_thread(actions.send_message, "general", ada, "secret")
    await in_thread(_delete, sent.seq, ada)
    back = await stream(last=first.parser.last_id)
    await back.until("general", 2)

    assert "secret" not in back.body.decode()
    assert back.heard[1].said["deleted"] is True
