"""Handlers of the project: what they are told, when, and what disturbs nobody."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.test import AsyncClient
from django.utils import timezone

import headgate
from headgate.chat import actions, hooks
from headgate.chat.checks import check_owed_handlers
from headgate.chat.hooks import RoomEvent
from headgate.chat.models import Room
from headgate.chat.people import SYSTEM
from headgate.testing import ChatClient
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    SECONDS,
    Talkers,
    application,
    guests_fixture,
    in_thread,
    talk_fixture,
)
from tests.chat.told import (  # noqa: F401 - fixtures are found by name
    Told,
    no_handlers_fixture,
    told_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("no_handlers"),
]

ROOM_EVENTS = ("message", "edited", "deleted", "membership")


# --- what they are told -----------------------------------------------------------


async def test_each_event_of_a_room(
    talk: Talkers, told: Told, room: Room, ada: User, grace: User
) -> None:
    for event in ROOM_EVENTS:
        told.hear(event)
    talker = await talk(ada)
    more = {"kind": "x-poll", "format": "markdown", "data": {"a": 1}}
    seq = (
        await talker.ask(
            "send", room="general", text="hi", client_id="c-1", reply_to=1, **more
        )
    )["seq"]
    new = {"format": "markdown", "data": {"b": 2}}
    await talker.ask("edit", room="general", target=seq, text="hello", **new)
    await talker.ask("delete", room="general", target=seq)
    until = timezone.now() + timedelta(hours=1)
    await in_thread(lambda: actions.mute(room, grace, until, by=ada))
    await in_thread(lambda: actions.set_role(room, grace, "moderator", by=ada))

    events = await told.of(5)
    author = ("u:" + str(ada.pk), "user", "Ada Lovelace")
    assert all((e.author.id, e.author.kind, e.author.name) == author for e in events)
    assert all(e.room == "general" for e in events)
    assert [e.seq for e in events] == [1, 2, 3, 4, 5]
    assert all(abs(e.at - datetime.now(UTC)) < timedelta(minutes=1) for e in events)
    message, edit, deletion, mute, role = events
    assert (message.event, message.text, message.client_id) == ("message", "hi", "c-1")
    assert (message.kind, message.format, message.data) == tuple(more.values())
    assert (message.reply_to, message.target, message.member) == (1, None, None)
    assert (edit.event, edit.text, edit.target, edit.data) == (
        "edited",
        "hello",
        1,
        {"b": 2},
    )
    assert (deletion.event, deletion.text, deletion.target) == ("deleted", "", 1)
    assert (mute.event, mute.member.name, mute.change) == (
        "membership",
        "Grace",
        "muted",
    )
    assert abs(mute.until - until) < timedelta(milliseconds=2)
    assert (role.change, role.role, role.until) == ("role", "moderator", None)


@pytest.mark.parametrize("door", ["v1", "http", "sync", "async"])
async def test_every_door_tells(
    talk: Talkers, told: Told, room: Room, ada: User, door: str
) -> None:
    told.hear("message")
    if door == "v1":
        await (await talk(ada)).ask("send", room="general", text="hi")
    elif door == "http":
        client = AsyncClient()
        await in_thread(client.force_login, ada)
        url = "/api/v1/rooms/general/messages"
        await client.post(url, {"text": "hi"}, content_type="application/json")
    elif door == "async":
        await headgate.asend_message(room, ada, "hi")
    else:
        await in_thread(headgate.send_message, room, ada, "hi")

    (event,) = await told.of(1)
    assert (event.text, event.author.id) == ("hi", f"u:{ada.pk}")
    # Beside the connections, not in the way of whoever wrote.
    assert all(name.startswith("headgate-project") for name in told.threads)


async def test_a_retry_is_told_once(
    talk: Talkers, told: Told, room: Room, ada: User
) -> None:
    told.hear("message")
    talker = await talk(ada)
    for _ in range(3):
        await talker.ask("send", room="general", text="hi", client_id="c-1")
        await headgate.asend_message(room, ada, "hi", client_id="c-1")
    await in_thread(
        lambda: headgate.send_message(room, ada, "hi", client_id="c-1"),
    )

    await told.of(1)


@pytest.mark.parametrize(
    ("rooms", "hears"),
    [
        ("*", {"order-1", "order-2", "Order-3", "help"}),
        ("order-*", {"order-1", "order-2"}),
        ("order-1", {"order-1"}),
        (["order-[12]", "help"], {"order-1", "order-2", "help"}),
        (("order-?",), {"order-1", "order-2"}),
        ([], set()),
        ("rder-1", set()),
    ],
)
async def test_rooms_are_chosen_by_patterns(
    talk: Talkers, told: Told, ada: User, rooms: Any, hears: set[str]
) -> None:
    told.hear("message", rooms=rooms)
    for slug in ("order-1", "order-2", "Order-3", "help"):
        await in_thread(Room.objects.create, slug=slug)
        await headgate.asend_message(slug, ada, "hi")

    assert {event.room for event in await told.of(len(hears))} == hears


async def test_only_after_the_commit(
    talk: Talkers, told: Told, room: Room, ada: User
) -> None:
    told.hear("message")
    seen: list[int] = []

    def write(*, fails: bool) -> None:
        with transaction.atomic():
            headgate.send_message(room, ada, f"fails: {fails}")
            seen.append(len(told.sync))
            transaction.set_rollback(fails)

    await in_thread(lambda: write(fails=True))
    await in_thread(lambda: write(fails=False))

    assert [event.text for event in await told.of(1)] == ["fails: False"]
    assert seen == [0, 0]


async def test_the_order_is_that_of_the_log(
    talk: Talkers, told: Told, room: Room, ada: User
) -> None:
    told.hear("message")
    talker = await talk(ada)
    for n in range(50):
        await talker.say({"cmd": "send", "room": "general", "text": f"m{n}"})
    await talker.until("general", 50)

    assert [e.seq for e in await told.of(50)] == list(range(1, 51))


async def test_a_handler_may_write(talk: Talkers, room: Room, ada: User) -> None:
    @headgate.on("message", rooms="general")
    async def answer(event: RoomEvent) -> None:
        if event.text == "ping":
            await headgate.asend_message(event.room, SYSTEM, "pong", kind="system")

    @headgate.on("message")
    def answer_too(event: RoomEvent) -> None:
        if event.text == "ping":
            headgate.send_message(event.room, SYSTEM, "pong too", kind="system")

    talker = await talk(ada)
    await talker.ask("send", room="general", text="ping")
    said = await talker.until("general", 3)
    texts = {each["text"] for each in said if each.get("push") == "message"}
    assert texts == {"ping", "pong", "pong too"}


def test_without_connections_it_is_called_here_and_now(
    told: Told, room: Room, ada: User
) -> None:
    """In a task, a command, a test: nothing runs beside that could call it."""
    told.hear("message")
    headgate.send_message(room, ada, "hi")

    assert [event.text for event in told.sync] == ["hi"]
    assert told.sync == told.asynchronous
    assert told.threads == {threading.current_thread().name}


async def test_without_connections_in_async_code(
    told: Told, room: Room, ada: User
) -> None:
    told.hear("message")
    await headgate.asend_message(room, ada, "hi")

    assert [event.text for event in told.sync] == ["hi"]
    assert told.sync == told.asynchronous


async def test_with_the_clients_of_tests_it_is_told_once(
    told: Told, room: Room, ada: User
) -> None:
    told.hear("message")
    async with ChatClient(ada, "general") as client:
        await client.send("general", "hi")
        await told.of(1)
        await in_thread(headgate.send_message, room, ada, "hello")
        await told.of(2)


# --- connections ------------------------------------------------------------------


async def test_who_comes_and_goes(
    talk: Talkers, told: Told, room: Room, ada: User
) -> None:
    told.hear("connected")
    talker = await talk(ada)
    (actor,) = await told.of(1)
    assert (actor.key, actor.user.pk, actor.name) == (
        f"u:{ada.pk}",
        ada.pk,
        "Ada Lovelace",
    )

    gone = Told()
    gone.hear("disconnected")
    talk.open.remove(talker)
    talker._in.put_nowait(
        {"type": "websocket.disconnect", "code": 4100, "reason": "bye"}
    )
    await talker.task
    ((who, code, reason, seconds),) = await gone.of(1)
    assert (who.key, code, reason) == (actor.key, 4100, "bye")
    assert 0 <= seconds < SECONDS


@pytest.mark.usefixtures("guests")
async def test_a_guest_has_no_user(talk: Talkers, told: Told, room: Room) -> None:
    told.hear("connected")
    await talk(name="Gus")
    (actor,) = await told.of(1)
    assert (actor.user, actor.name, actor.key[:2]) == (None, "Gus", "g:")


@pytest.mark.parametrize(
    ("how", "code"), [("vanishes", 1006), ("removed", 4503), ("bad", 4500)]
)
async def test_the_code_is_that_of_the_close(
    talk: Talkers, told: Told, room: Room, ada: User, how: str, code: int
) -> None:
    told.hear("disconnected")
    talker = await (talk.plain(ada) if how == "removed" else talk(ada))
    if how == "vanishes":
        talk.open.remove(talker)
        await talker.vanish()
    elif how == "removed":
        await in_thread(actions.ban, room, ada)
    else:
        for _ in range(10):
            await talker.say("nonsense")
    if how != "vanishes":
        assert (await talker.closed()).code == code
        await talker.task

    ((who, told_code, _, _),) = await told.of(1)
    assert (who.key, told_code) == (f"u:{ada.pk}", code)


async def test_whoever_was_never_in_is_not_told_of(
    talk: Talkers, told: Told, room: Room, ada: User
) -> None:
    told.hear("connected")
    told.hear("disconnected")
    refused = await talk.plain(ada, room="nowhere")
    await refused.closed()
    unknown = await talk.raw()
    await unknown.say({"cmd": "hello"})
    await unknown.closed()
    await talk(ada)

    (actor,) = await told.of(1)
    assert actor.key == f"u:{ada.pk}"


async def test_streams_are_connections(
    talk: Talkers, told: Told, room: Room, ada: User, grace: User
) -> None:
    told.hear("connected")
    gone = Told()
    gone.hear("disconnected")
    client = AsyncClient()
    await in_thread(client.force_login, ada)
    cookie = f"sessionid={client.cookies['sessionid'].value}".encode()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/api/v1/stream",
        "raw_path": b"/api/v1/stream",
        "root_path": "",
        "query_string": b"rooms=general",
        "headers": [(b"host", b"testserver"), (b"cookie", cookie)],
        "client": ("127.0.0.1", 5000),
        "server": ("testserver", 80),
    }
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    begun = asyncio.Event()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            begun.set()

    serving = asyncio.create_task(application()(scope, incoming.get, send))
    await begun.wait()
    (actor,) = await told.of(1)
    assert actor.key == f"u:{ada.pk}"
    incoming.put_nowait({"type": "http.disconnect"})
    await serving
    ((who, code, _, _),) = await gone.of(1)
    assert (who.key, code) == (actor.key, 1005)


# --- where they are found, and mistakes -------------------------------------------

_SHOP = """
import django
from django.conf import settings
auth = ["django.contrib.auth", "django.contrib.contenttypes"]
settings.configure(INSTALLED_APPS=[*auth, "headgate.chat", "shop"], SECRET_KEY="x" * 50)
django.setup()
from headgate.chat.hooks import handlers_of
print([each.name for each in handlers_of("message", "order-7")])
"""


def test_they_are_found_in_each_app(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").write_text("")
    (shop / "headgate_hooks.py").write_text(
        "import headgate\n\n"
        "@headgate.on('message', rooms='order-*')\n"
        "def tell(event): ...\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", _SHOP],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout == "['shop.headgate_hooks.tell']\n"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (("massage", {}), "no event 'massage' to be told of: message, edited"),
        (("connected", {"owed": True}), "is in no log"),
        (("connected", {"rooms": "order-*"}), "is about no room"),
        (("message", {"rate": "4/s:1"}), "write owed=True as well"),
        (("message", {"owed": True, "rate": "fast"}), "'fast' is no rate"),
        (("message", {"owed": True, "rate": 4}), "'4' is no rate"),
    ],
)
def test_mistakes_are_told_at_once(given: tuple[str, Any], what: str) -> None:
    event, more = given
    with pytest.raises(ImproperlyConfigured, match=what):
        headgate.on(event, **more)


@pytest.fixture
def none_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_owed", {})


@pytest.mark.usefixtures("none_owed")
async def test_an_owed_handler_is_left_to_the_worker(
    talk: Talkers, room: Room, ada: User
) -> None:
    told: list[RoomEvent] = []
    headgate.on("message", rooms="gen*", owed=True)(told.append)
    assert not hooks.is_anybody_told()
    talker = await talk(ada)
    await talker.ask("send", room="general", text="hi", client_id="c-1")
    assert told == []
    ((key, handler),) = hooks.owed_handlers().items()
    assert key == f"function:{handler.name}"
    assert (handler.events, handler.rooms) == (("message",), ("gen*",))


@pytest.mark.usefixtures("none_owed")
def test_an_owed_handler_has_one_set_of_rooms() -> None:
    def tell(event: RoomEvent) -> None: ...

    headgate.on("message", rooms=["a-*", "b"], owed=True)(tell)
    headgate.on("edited", rooms=["a-*", "b"], owed=True)(tell)
    (handler,) = hooks.owed_handlers().values()
    assert handler.events == ("message", "edited")
    assert handler.matches("a-1")
    assert not handler.matches("c")
    with pytest.raises(ImproperlyConfigured, match="function of its own"):
        headgate.on("deleted", owed=True)(tell)


@pytest.mark.usefixtures("none_owed")
def test_an_owed_handler_has_one_rate() -> None:
    def tell(event: RoomEvent) -> None: ...

    headgate.on("message", owed=True, rate=" 4/s:1 ")(tell)
    headgate.on("edited", owed=True)(tell)
    headgate.on("deleted", owed=True, rate="4/s:1")(tell)
    (handler,) = hooks.owed_handlers().values()
    assert handler.rate == "4/s:1"
    with pytest.raises(ImproperlyConfigured, match=r"at 4/s:1 already, and not at 9/s"):
        headgate.on("membership", owed=True, rate="9/s")(tell)


@pytest.mark.usefixtures("none_owed")
def test_who_owes_needs_somebody_who_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def tell(event: RoomEvent) -> None: ...

    headgate.on("message", owed=True)(tell)
    assert check_owed_handlers() == []
    monkeypatch.setattr("django.apps.apps.is_installed", lambda name: False)
    (found,) = check_owed_handlers()
    assert found.id == "headgate.E013"
    assert "test_hooks" in found.msg
    with pytest.raises(ImproperlyConfigured, match=r"headgate\.outbound"):
        headgate.on("message", owed=True)


def test_the_function_stays_what_it_was() -> None:
    def tell(event: RoomEvent) -> None: ...

    assert headgate.on("message")(tell) is tell
    assert headgate.on("edited", rooms=iter(["a", "b"]))(tell) is tell
    assert [len(hooks.handlers_of("edited", room)) for room in "abc"] == [1, 1, 0]
