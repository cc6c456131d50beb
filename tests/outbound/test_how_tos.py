"""The code of the how-tos on bots and notifications does what they say."""

from __future__ import annotations

import ast
import asyncio
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from pytest_django.live_server_helper import LiveServer

import headgate
from headgate.chat import actions, hooks
from headgate.chat.engine import Engine
from headgate.chat.models import Event, Member, Room
from headgate.client import Client
from headgate.outbound.bots import bot_named
from headgate.outbound.models import Destination
from headgate.protocol.pushes import Message, Presence
from headgate.testing.limits_clock import LimitsClock
from tests.chat.talker import in_thread
from tests.chat.test_how_tos import Page
from tests.conftest import Serve
from tests.outbound.handler_calls import (  # noqa: F401 - fixtures are found by name
    Handlers,
    handlers_fixture,
)
from tests.server.services import on_data

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Page]:
    return lambda name: Page(name, monkeypatch)


async def said_by(room: Room, bot: str) -> list[str]:
    rows = Event.objects.filter(room=room, author_key=f"b:{bot}", kind="message")
    texts = rows.order_by("seq").values_list("text", flat=True)
    return list(await in_thread(lambda: list(texts)))


async def a_room(slug: str, **more: Any) -> Room:
    made: Room = await in_thread(lambda: Room.objects.create(slug=slug, **more))
    return made


@pytest.mark.parametrize("name", ["bots", "push-notifications"])
def test_what_is_python_is_python(page: Callable[[str], Page], name: str) -> None:
    blocks = page(name).blocks("")
    for code in blocks:
        compile(code, name, "exec", ast.PyCF_ONLY_AST)
    assert blocks


# --- bots -------------------------------------------------------------------------


async def test_the_first_bot(
    page: Callable[[str], Page], handlers: Handlers, ada: User
) -> None:
    page("bots").use()
    room = await a_room("help-me")
    other = await a_room("general")
    for text in ("hi all", "@helper When do you open?", "@helper Why?"):
        await headgate.asend_message(room, ada, text)
    await headgate.asend_message(other, ada, "@helper When do you open?")
    await handlers.work("bot:helper")
    assert await said_by(room, "helper") == [
        "We open at **nine**.",
        "I know nothing of that, and 2 messages before it.",
    ]
    assert await said_by(other, "helper") == []


async def test_a_group_room(
    page: Callable[[str], Page], handlers: Handlers, ada: User
) -> None:
    bots = page("bots")
    bots.use()
    team = await a_room("help-team", kind="group")
    await in_thread(actions.add_member, team, ada)
    (code,) = bots.blocks("add_member(")
    await in_thread(exec, code, {})
    keys = await in_thread(
        lambda: set(Member.objects.values_list("author_key", flat=True))
    )
    assert keys == {f"u:{ada.pk}", "b:helper"}
    await headgate.asend_message(team, ada, "@helper open?")
    await handlers.work("bot:helper")
    assert await said_by(team, "helper") == ["We open at **nine**."]


async def test_a_stream(
    page: Callable[[str], Page],
    handlers: Handlers,
    chat: Engine,
    room: Room,
    ada: User,
) -> None:
    (code,) = page("bots").blocks('bot("reader"')
    exec(code, {"__name__": "shop.reader"})
    await headgate.asend_message(room, ada, "one  two")
    await handlers.work("bot:reader")
    assert await said_by(room, "reader") == ["one two "]


@pytest.mark.limits
async def test_budgets(
    page: Callable[[str], Page],
    handlers: Handlers,
    room: Room,
    ada: User,
    limits_clock: LimitsClock,
) -> None:
    (code,) = page("bots").blocks('"expert"')
    exec(code, {"__name__": "shop.expert"})
    for n in range(6):
        await headgate.asend_message(room, ada, f"question {n}")
    outcomes = await handlers.work("bot:expert")
    assert [each.cost for each in outcomes] == [1200] * 5 + [0]
    *answers, wait = await said_by(room, "expert")
    assert answers == ["It depends."] * 5
    assert wait == "expert may answer you again in 3 minutes."


async def test_the_same_again(
    page: Callable[[str], Page], handlers: Handlers, room: Room, ada: User
) -> None:
    caches["default"].clear()
    (code,) = page("bots").blocks("question_of")
    exec(code, {"__name__": "shop.clerk"})
    calls: list[str] = []
    clerk = bot_named("clerk")
    assert clerk is not None

    async def counted(message: Any, history: Any, reply: Any) -> None:
        calls.append(message.text)
        await reply("It is in aisle seven.")

    object.__setattr__(clerk, "function", counted)
    for text in ("Tea?", " tea?"):
        await headgate.asend_message(room, ada, text)
    await handlers.work("bot:clerk")
    assert calls == ["Tea?"]
    assert await said_by(room, "clerk") == ["It is in aisle seven."] * 2


def test_a_bot_elsewhere(
    page: Callable[[str], Page],
    live_server: LiveServer,
    room: Room,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bots = page("bots")
    made: dict[str, Any] = {}
    (code,) = bots.blocks("make_bot(")
    exec(code, made)
    monkeypatch.setenv("CLOCK_TOKEN", made["token"])
    (code,) = bots.blocks("httpx2")
    exec(code, made)
    assert made["say"](live_server.url, "general", "It is noon.") == 1
    event = Event.objects.get()
    assert (event.author_key, event.author_name) == ("b:clock", "The clock")


async def test_a_bot_elsewhere_that_hears(
    page: Callable[[str], Page], serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await in_thread(serve, "--guests", "--demo")
    token = await in_thread(on_data, server, TOKEN)
    monkeypatch.setenv("CLOCK_TOKEN", token.strip())
    (code,) = page("bots").blocks("headgate.client")
    made: dict[str, Any] = {"__name__": "clock"}
    exec(code, made)
    bot = asyncio.create_task(made["main"](server.url, "general"))
    async with Client(server.url, rooms=["general"]) as client:
        said = asyncio.create_task(answer_to(client, "What time is it, @clock?"))
        assert await asyncio.wait_for(said, 20) == ("b:clock", "It is late.")
    bot.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bot


TOKEN = """
import headgate
print(headgate.make_bot("clock", "The clock"))
"""


async def answer_to(client: Client, question: str) -> tuple[str, str]:
    """Ask when the bot is there, and return what it answers."""
    async for push in client:
        if isinstance(push, Presence) and any(
            each.id == "b:clock" for each in (push.here or []) + push.joined
        ):
            asked = await client.send("general", question)
        if isinstance(push, Message) and push.author.kind == "bot":
            assert push.reply_to == asked.seq
            return push.author.id, push.text
    raise AssertionError


# --- push notifications -----------------------------------------------------------


async def test_push_notifications(
    page: Callable[[str], Page],
    handlers: Handlers,
    ada: User,
    grace: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[User, str, int]] = []

    async def tell(user: User, text: str, *, badge: int, once: str) -> None:
        await asyncio.sleep(0)
        told.append((user, text, badge))

    pushes = page("push-notifications")
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    phones = pushes.module("shop.phones", "")
    phones.__dict__["tell"] = tell
    (code,) = pushes.blocks("headgate.absent")
    pushes.module("shop.bots", code)
    team = await a_room("team", kind="group")
    for user in (ada, grace):
        await in_thread(actions.add_member, team, user)
    await headgate.asend_message(team, ada, "Where are you?")
    await headgate.asend_message(team, ada, "It is noon.")
    await handlers.work_of("absent:push", "message")
    await handlers.work("absent:push")
    assert told == [(grace, "Ada Lovelace: It is noon.", 2)]


# --- owed hooks -------------------------------------------------------------------


async def test_owed_hooks(
    page: Callable[[str], Page],
    handlers: Handlers,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hooks, "_handlers", {})
    monkeypatch.setattr(hooks, "_owed", {})
    booked: list[tuple[str, int, str]] = []
    hooking = page("hooks")
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    ledger = hooking.module("shop.ledger", "")
    ledger.__dict__["book"] = lambda *args: booked.append(args)
    code, paced = hooking.blocks("owed=True")
    hooking.module("shop.headgate_hooks", code)
    room = await a_room("order-7")
    await headgate.asend_message(room, ada, "Where is it?")
    name = "function:shop.headgate_hooks.keep"
    assert [each.result for each in await handlers.work(name)] == ["delivered"]
    assert booked == [("order-7", 1, "Where is it?")]

    crm = hooking.module("shop.crm", "")
    crm.__dict__["tell"] = lambda *args: booked.append(args)
    hooking.module("shop.headgate_hooks", paced)
    await headgate.asend_message(room, ada, "Hello?")
    name = "function-shop-headgate_hooks-tell_crm"
    assert f"`{name}`" in hooking.text
    found = await in_thread(lambda: Destination.objects.get(name=name))
    assert found.rate == "4/s:1"
