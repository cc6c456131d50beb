"""When an event stream ends, and what is left of it: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.access import access_changed
from headgate.chat.engine import Engine
from headgate.chat.http import stream as stream_module
from headgate.chat.http.stream_end import LOOK_SECONDS, end_streams
from headgate.chat.models import Member, Room
from headgate.chat.people import SYSTEM
from headgate.live.ports import LogUnavailable
from tests.chat.http.stream_reader import (  # noqa: F401 - fixtures are found by name
    HOST,
    Reader,
    Readers,
    stream_fixture,
)
from tests.chat.scenes import group, write
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    guests_fixture,
    in_thread,
    session_of,
    talk_fixture,
)
from tests.event_stream import Event
from tests.steady import BUSY_SECONDS

# The promise is two seconds.
SOON_SECONDS = 2.0 + BUSY_SECONDS

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.database,
    pytest.mark.usefixtures("guests", "room"),
]


def seqs(events: list[Event], room: str = "general") -> list[int]:
    said = [event.said for event in events]
    return [each["seq"] for each in said if each.get("room") == room and "seq" in each]


async def say(text: str = "hi", room: str = "general") -> None:
    await in_thread(actions.send_message, room, SYSTEM, text, kind="system")


@pytest.mark.parametrize("vanishes", [False, True])
async def test_a_client_that_leaves_takes_all_with_it(
    stream: Readers,
    chat: Engine,
    vanishes: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    before = asyncio.all_tasks()
    reader = await stream()
    reader.reads.clear()
    await in_thread(write, 3)
    await (reader.vanish() if vanishes else stream.end(reader))

    assert not chat.node.connections
    assert not chat.node.hub.rooms
    assert asyncio.all_tasks() <= before
    if vanishes:
        stream.open.remove(reader)


async def test_a_reader_that_takes_nothing_costs_little_and_misses_nothing(
    stream: Readers, chat: Engine, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True, "OUTBOX_MAX_BYTES": 4096}
    reader = await stream()
    quick = await stream()
    reader.reads.clear()
    for head in (25, 50, 75, 100):
        await in_thread(write, 25, text="x" * 500)
        await quick.until("general", head)
        sizes = [each.outbox.size_bytes for each in chat.node.connections]
        # Below its limit it takes one more run, of what came together.
        assert max(sizes) < 4096 + 25 * 1000
    assert seqs(reader.heard) == []
    reader.reads.set()
    await reader.until("general", 100)

    assert seqs(reader.heard) == seqs(quick.heard) == list(range(1, 101))


async def test_whoever_is_removed_from_one_room_stays_in_the_other(
    stream: Readers, ada: User
) -> None:
    room = await in_thread(group, ada)
    reader = await stream("group,general", ada)
    await in_thread(actions.send_message, "group", SYSTEM, "before", kind="system")
    await in_thread(actions.remove_member, room, ada)
    await in_thread(actions.send_message, "group", SYSTEM, "after", kind="system")
    left = await reader.named("rooms")
    await say()
    await reader.until("general", 1)

    assert left.said == {"push": "rooms", "left": ["group"]}
    assert "before" in reader.body.decode()
    assert "after" not in reader.body.decode()
    told = [event for event in reader.heard if event.name == "membership"]
    assert told[-1].said["change"] == "removed"


async def test_whoever_is_removed_from_the_last_room_has_no_stream(
    stream: Readers, chat: Engine, ada: User
) -> None:
    room = await in_thread(group, ada)
    reader = await stream("group", ada)
    await in_thread(actions.remove_member, room, ada)
    async with asyncio.timeout(SOON_SECONDS):
        last = await reader.over()

    assert [event.name for event in last[-3:]] == ["membership", "rooms", "failure"]
    assert last[-1].said["error"]["code"] == "not_found"
    assert reader.complete
    assert not chat.node.connections
    again = await stream.raw("group", ada, last=reader.parser.last_id)
    assert again.status == 404


async def test_a_ban_ends_a_stream(
    stream: Readers, ada: User, grace: User, room: Room
) -> None:
    reader, other = await stream("general", ada), await stream("general", grace)
    await in_thread(actions.ban, room, ada)
    async with asyncio.timeout(SOON_SECONDS):
        last = await reader.over()
    await say()

    assert last[-1].said["error"]["code"] == "banned"
    assert reader.complete
    assert seqs(await other.until("general", 2))[-1] == 2


async def test_logging_out_ends_a_stream(stream: Readers, ada: User) -> None:
    browser = Client()
    await in_thread(browser.force_login, ada)
    cookie = f"sessionid={browser.cookies['sessionid'].value}".encode()
    reader = await stream(headers=[(b"cookie", cookie)])
    other = await stream("general", ada)
    await in_thread(browser.logout)
    async with asyncio.timeout(SOON_SECONDS):
        last = await reader.over()
    await say()

    assert last[-1].name == "failure"
    assert last[-1].said["error"]["code"] == "unauthenticated"
    assert reader.complete
    assert seqs(await other.until("general", 1)) == [1]


async def test_an_account_that_is_closed_ends_a_stream(
    stream: Readers, ada: User
) -> None:
    reader = await stream("general", ada)
    ada.is_active = False
    await ada.asave()
    async with asyncio.timeout(SOON_SECONDS):
        last = await reader.over()

    assert last[-1].name == "failure"
    assert reader.complete


async def test_rights_that_changed_end_a_stream(
    stream: Readers, ada: User, room: Room
) -> None:
    reader = await stream("general", ada)
    member = {"author_key": f"u:{ada.pk}", "banned": True, "room": room}
    await in_thread(Member.objects.create, **member)
    await in_thread(access_changed, ada)
    async with asyncio.timeout(SOON_SECONDS):
        last = await reader.over()

    assert [event.name for event in last] == ["rooms", "failure"]
    assert reader.complete


async def test_a_server_that_stops_ends_all_streams(
    talk: Talkers, stream: Readers, ada: User
) -> None:
    talker = await talk(ada)
    readers = [await stream("general", ada), await stream()]
    await talker.ask("send", room="general", text="the last thing that is heard")
    end_streams()
    for reader in readers:
        assert seqs(await reader.over()) == [1]
        assert reader.complete
    assert "seq" in await talker.ask("send", room="general", text="still here")
    late = await stream.raw()
    assert (late.status, late.problem["code"]) == (503, "unavailable")
    assert late.headers["retry-after"] == "1"


async def test_a_reader_that_takes_nothing_does_not_keep_a_server_from_stopping(
    stream: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.chat.http.stream.END_SECONDS", 0.05)
    reader = await stream()
    reader.reads.clear()
    await say()
    end_streams()
    async with asyncio.timeout(SOON_SECONDS):
        await reader.task

    assert not reader.complete


async def test_a_log_that_is_away_is_a_problem(
    stream: Readers, chat: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise LogUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(chat.reader, "run", away)
        reader = await stream.raw()
        assert (reader.status, reader.problem["code"]) == (503, "unavailable")
        await reader.over()
    assert not chat.node.connections
    assert (await stream()).status == 200


async def test_a_fault_of_ours_is_seen(
    talk: Talkers, stream: Readers, chat: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headgate.chat.http.stream.come_in", 1)
    reader = await stream.raw()

    assert (reader.status, reader.problem["code"]) == (500, "internal")
    assert any("TypeError" in fault for fault in talk.faults)
    talk.faults.clear()
    await reader.over()
    assert not chat.node.connections


# --- while it opens ---------------------------------------------------------------


class Opening:
    """Holds those who come in between their first room and their second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self._come_in = stream_module.come_in
        monkeypatch.setattr(stream_module, "come_in", self._held)

    async def _held(self, *arguments: Any, **more: Any) -> Any:
        if self.entered.is_set():
            await self.may_go_on.wait()
        try:
            return await self._come_in(*arguments, **more)
        finally:
            self.entered.set()


async def opening(stream: Readers, rooms: str, user: User) -> Reader:
    """Ask for a stream, and return without waiting for the answer."""
    key = await in_thread(session_of, user)
    cookie = (b"cookie", f"sessionid={key}".encode())
    return stream.ask(f"rooms={rooms}", [HOST, cookie])


async def test_a_room_that_is_lost_while_others_are_entered_is_refused(
    stream: Readers, ada: User, grace: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await in_thread(group, ada, grace)
    witness = await stream("group", grace)
    held = Opening(monkeypatch)
    reader = await opening(stream, "group,general", ada)
    await held.entered.wait()
    await in_thread(actions.remove_member, room, ada)
    await in_thread(actions.send_message, "group", grace, "after")
    await witness.until("group", 4)
    held.may_go_on.set()
    welcome = await reader.event()
    await say()
    await reader.until("general", 1)

    assert welcome.name == "welcome"
    assert welcome.said["rooms"]["group"]["error"]["code"] == "not_found"
    assert [event.name for event in reader.heard] == ["welcome", "message"]


async def test_where_the_only_room_is_lost_there_is_no_stream(
    stream: Readers, ada: User, grace: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await in_thread(group, ada, grace)
    witness = await stream("group", grace)
    held = Opening(monkeypatch)
    reader = await opening(stream, "group,nowhere", ada)
    await held.entered.wait()
    await in_thread(actions.remove_member, room, ada)
    await witness.until("group", 3)
    held.may_go_on.set()
    await reader.begun()

    assert (reader.status, reader.problem["code"]) == (404, "not_found")


async def test_whoever_signs_out_while_it_opens_has_no_stream(
    stream: Readers, chat: Engine, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Opening(monkeypatch)
    browser = Client()
    await in_thread(browser.force_login, ada)
    cookie = f"sessionid={browser.cookies['sessionid'].value}".encode()
    reader = stream.ask("rooms=general,nowhere", [HOST, (b"cookie", cookie)])
    await held.entered.wait()
    await in_thread(browser.logout)
    async with asyncio.timeout(SOON_SECONDS):
        await reader.begun()

    assert (reader.status, reader.problem["code"]) == (401, "unauthenticated")
    await reader.over()
    assert not chat.node.connections


async def test_a_server_that_stops_opens_none(
    stream: Readers, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Opening(monkeypatch)
    reader = await opening(stream, "general,nowhere", ada)
    await held.entered.wait()
    end_streams()
    await reader.begun()

    assert (reader.status, reader.problem["code"]) == (503, "unavailable")
    assert reader.headers["retry-after"] == "1"


# --- with the server around it ----------------------------------------------------


@pytest.fixture
def uvicorn_server() -> Iterator[uvicorn.Server]:
    """A uvicorn that hears the signals of this process, as it does when it serves."""
    around = uvicorn.Server(uvicorn.Config("none", lifespan="off"))
    with around.capture_signals():
        yield around


async def test_streams_end_when_uvicorn_is_told_to_stop(
    stream: Readers, uvicorn_server: uvicorn.Server
) -> None:
    reader = await stream()
    await asyncio.sleep(2 * LOOK_SECONDS)
    assert not reader.complete
    uvicorn_server.should_exit = True
    async with asyncio.timeout(SOON_SECONDS):
        await reader.over()

    assert reader.complete
    assert (await stream.raw()).status == 503
