"""What `@headgate.bot` takes and refuses, and as whom bots act."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

import headgate
from headgate.chat.hooks import RoomEvent
from headgate.chat.models import Room
from headgate.chat.people import author
from headgate.outbound import registry
from headgate.outbound.bots import bot_named
from headgate.outbound.models import Destination
from tests.chat.talker import in_thread
from tests.outbound.handler_calls import (  # noqa: F401 - fixtures are found by name
    Handlers,
    handlers_fixture,
)

pytestmark = pytest.mark.django_db(transaction=True)


async def silent(message: RoomEvent, history: list[RoomEvent], reply: Any) -> None:
    """A bot that says nothing."""


def said(text: str, **more: Any) -> RoomEvent:
    return RoomEvent(
        event="message",
        room="general",
        seq=1,
        author=author("u:1", "Ada"),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        text=text,
        **more,
    )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"name": "Helper"}, "names no bot"),
        ({"name": "h" * 41}, "names no bot"),
        ({"name": "hook-5"}, "are those of incoming webhooks"),
        ({"events": ()}, "events="),
        ({"events": ("typing",)}, "some of message, edited, deleted, membership"),
        ({"history": -1}, "history=-1"),
        ({"history": 201}, "history=201"),
        ({"when": "asked"}, "when='asked'"),
        ({"ordering": "rooms"}, 'ordering=\'rooms\': "room" or "none"'),
        ({"concurrency": 0}, "concurrency=0: from 1"),
        ({"rate": "fast"}, "rate='fast': 'fast' is no rate"),
        ({"timeout_seconds": -1}, "timeout_seconds=-1: above 0"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds=nan"),
        ({"cache": "key"}, "cache='key' is no function"),
        ({"rooms": "#help"}, "is no pattern of rooms"),
        ({"limits": {"users": "1/s"}}, "there is no 'users' to limit"),
        ({"limits": {"user": "fast"}}, "is no rate"),
    ],
)
async def test_what_is_no_bot_is_refused_with_what_was_meant(
    handlers: Handlers, given: dict[str, Any], text: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=text):
        headgate.bot(**({"name": "helper"} | given))


async def test_a_sync_function_is_refused(handlers: Handlers) -> None:
    def sync(*_: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="Write `async def`"):
        headgate.bot("helper")(sync)
    assert bot_named("helper") is None


async def test_a_function_of_other_arguments_is_refused(handlers: Handlers) -> None:
    async def wrong(message: Any) -> None: ...

    with pytest.raises(ImproperlyConfigured, match=r"wrong\(message, history, reply\)"):
        headgate.bot("helper")(wrong)


@pytest.mark.parametrize("decorator", [headgate.bot, headgate.absent])
def test_parentheses_are_asked_for(handlers: Handlers, decorator: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="with parentheses"):
        decorator(silent)


async def test_two_bots_of_one_name_are_refused(handlers: Handlers) -> None:
    async def another(*_: Any) -> None: ...

    headgate.bot("helper")(silent)
    headgate.bot("helper", title="again")(silent)  # its module, loaded anew
    with pytest.raises(ImproperlyConfigured, match=r"two bots 'helper'.*silent.*ano"):
        headgate.bot("helper")(another)


async def test_a_bot_has_a_destination_and_it_follows_the_code(
    handlers: Handlers, room: Room
) -> None:
    headgate.bot("helper", rooms="help-*", concurrency=2)(silent)
    await headgate.asend_message(room, headgate.bots.actor("helper"), "hi")
    made = await in_thread(Destination.objects.get)
    assert (made.name, made.handler, made.kind) == (
        "bot-helper",
        "bot:helper",
        "handler",
    )
    assert (made.rooms, made.events) == (["help-*"], ["message"])
    assert (made.concurrency, made.ordering, made.max_attempts) == (2, "room", 3)
    assert (made.timeout_seconds, made.rate) == (120.0, "")

    more: dict[str, Any] = {"events": ("message", "edited"), "timeout_seconds": 5}
    more["rate"] = "4/s:1"
    headgate.bot("helper", rooms=["a", "b"], concurrency=7, **more)(silent)
    registry._forget()
    await headgate.asend_message(room, headgate.bots.actor("helper"), "hi")
    now = await in_thread(Destination.objects.get)
    assert (now.rooms, now.events) == (["a", "b"], ["message", "edited"])
    assert (now.concurrency, now.timeout_seconds, now.rate) == (7, 5.0, "4/s:1")


async def test_a_bot_is_mentioned_by_its_name(handlers: Handlers) -> None:
    headgate.bot("help-er", when="mentioned")(silent)
    bot = bot_named("help-er")
    assert bot is not None
    for text in ("@help-er hi", "hi @HELP-ER!", "(@help-er)", "so,@help-er?"):
        assert bot.wants(said(text)), text
    for text in ("help-er", "me@help-er.example", "@help-erx", "@help-er-2", "@help"):
        assert not bot.wants(said(text)), text
    for mentions in (["help-er"], ["u:5", "b:help-er"]):
        assert bot.wants(said("hi", data={"mentions": mentions}))
    for data in ({"mentions": ["u:5"]}, {"mentions": "help-er"}, {"mentions": None}):
        assert not bot.wants(said("hi", data=data))


async def test_a_function_may_say_when(handlers: Handlers) -> None:
    headgate.bot("helper", when=lambda event: event.text.endswith("?"))(silent)
    headgate.bot("other")(silent)
    bot, other = bot_named("helper"), bot_named("other")
    assert bot is not None
    assert other is not None
    assert [bot.wants(said(text)) for text in ("Who?", "He.")] == [True, False]
    assert other.wants(said("He."))


async def test_as_whom_a_bot_acts(handlers: Handlers) -> None:
    headgate.bot("helper", title="Helper of the shop")(silent)
    headgate.bot("plain")(silent)
    helper = headgate.bots.actor("helper").author
    assert (helper.id, helper.kind, helper.name) == (
        "b:helper",
        "bot",
        "Helper of the shop",
    )
    assert headgate.bots.actor("plain").author.name == "plain"
    await in_thread(headgate.make_bot, "remote", "Remote")
    assert (await in_thread(headgate.bots.actor, "remote")).author.name == "Remote"
    with pytest.raises(LookupError, match=r"@headgate\.bot\('nobody'\)"):
        await in_thread(headgate.bots.actor, "nobody")
