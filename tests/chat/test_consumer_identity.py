"""Who comes in over a WebSocket: by ticket, by cookie, in a subclass's own way."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from channels.routing import URLRouter
from django.contrib.auth.models import User
from django.urls import re_path
from pytest_django import Settings

from headgate.chat.consumer import ChatConsumer
from headgate.chat.engine import Engine
from headgate.chat.identity import Identity
from headgate.chat.people import Actor, actor_for, guest_token, new_guest
from headgate.chat.tickets import issue_ticket
from headgate.live.ports import LogUnavailable
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    ORIGIN,
    V1,
    Talkers,
    guests_fixture,
    in_thread,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("room"),
]

HOST = (b"host", b"testserver")
PLAIN = "headgate.plain"


def ticket(actor: Actor, origin: str = "") -> str:
    return issue_ticket(actor, lives_seconds=30, origin=origin)


async def test_a_ticket_in_hello_says_who(talk: Talkers, ada: User) -> None:
    talker = await talk.raw(headers=[HOST])
    await talker.say({"cmd": "hello", "ticket": ticket(actor_for(ada))})
    welcome = await talker.push("welcome")

    assert welcome["user"]["name"] == "Ada Lovelace"
    assert "guest" not in welcome
    assert "seq" in await talker.ask("send", room="general", text="hi")


async def test_a_ticket_wins_over_a_cookie(
    talk: Talkers, ada: User, grace: User
) -> None:
    talker = await talk.raw(ada)
    await talker.say({"cmd": "hello", "ticket": ticket(actor_for(grace))})

    assert (await talker.push("welcome"))["user"]["name"] == "Grace"


@pytest.mark.parametrize("mode", [V1, PLAIN])
async def test_a_ticket_may_be_a_subprotocol(
    talk: Talkers, ada: User, grace: User, mode: str
) -> None:
    offered = [mode, f"headgate.ticket.{ticket(actor_for(grace))}"]
    talker = await talk.raw(ada, subprotocols=offered, headers=[HOST])

    assert talker.accepted is not None
    assert talker.accepted["subprotocol"] == mode
    if mode == V1:
        await talker.say({"cmd": "hello"})
        assert (await talker.push("welcome"))["user"]["name"] == "Grace"
    else:
        await talker.say({"message": "hi"})
        assert "seq" in await talker.hear()
        assert (await talker.hear())["author"] == "Grace"


async def test_the_welcomes_ticket_is_good_for_coming_back(
    talk: Talkers, ada: User
) -> None:
    first = await talk(ada)
    back = await talk.raw(headers=[HOST])
    await back.say({"cmd": "hello", "ticket": first.welcome["ticket"]})
    assert (await back.push("welcome"))["user"] == first.welcome["user"]

    again = await talk.raw(headers=[HOST])
    await again.say({"cmd": "hello", "ticket": first.welcome["ticket"]})
    assert (await again.reply(None))["error"]["code"] == "ticket_refused"
    assert (await again.closed()).code == 4004


@pytest.mark.usefixtures("guests")
async def test_a_guests_ticket_is_the_same_guest(talk: Talkers) -> None:
    first = await talk(name="Gus")
    back = await talk.raw()
    await back.say({"cmd": "hello", "ticket": first.welcome["ticket"]})
    welcome = await back.push("welcome")

    assert welcome["user"] == first.welcome["user"]
    assert welcome["guest"]


@pytest.mark.parametrize("spoilt", ["nonsense", "", "a.b", "x" * 2048])
async def test_a_ticket_that_does_not_hold_is_no_guest(
    talk: Talkers, settings: Settings, ada: User, spoilt: str
) -> None:
    settings.HEADGATE = {"GUESTS": True}
    in_hello = await talk.raw(ada)
    await in_hello.say({"cmd": "hello", "id": 1, "ticket": spoilt})
    assert (await in_hello.reply(1))["error"]["code"] == "ticket_refused"
    assert (await in_hello.closed()).code == 4004

    offered = [PLAIN, f"headgate.ticket.{spoilt}"]
    as_subprotocol = await talk.raw(ada, subprotocols=offered)
    assert (await as_subprotocol.hear())["error"] == "ticket_refused"
    assert (await as_subprotocol.closed()).code == 4004


async def test_a_pages_ticket_is_for_its_origin(
    talk: Talkers, settings: Settings, ada: User
) -> None:
    settings.HEADGATE = {"ALLOWED_ORIGINS": [ORIGIN, "http://other.example"]}
    own = ticket(actor_for(ada), origin="http://other.example")
    talker = await talk.raw()
    await talker.say({"cmd": "hello", "ticket": own})
    assert (await talker.reply(None))["error"]["code"] == "ticket_refused"

    right = await talk.raw(headers=[HOST, (b"origin", b"http://other.example")])
    await right.say({"cmd": "hello", "ticket": own})
    assert await right.push("welcome")


async def test_a_ticket_opens_no_door_to_a_foreign_origin(
    talk: Talkers, ada: User
) -> None:
    talker = await talk.raw(
        headers=[HOST, (b"origin", b"http://evil.example")],
        subprotocols=[V1, f"headgate.ticket.{ticket(actor_for(ada))}"],
    )
    assert talker.accepted is None
    assert (await talker.closed()).code == 1008


async def test_tickets_are_not_logged(
    talk: Talkers, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    good = ticket(actor_for(ada))
    for _ in range(2):
        talker = await talk.raw()
        await talker.say({"cmd": "hello", "ticket": good})
        await talker.hear()
    assert good not in caplog.text


async def test_a_ticket_stays_good_while_the_database_is_away(
    talk: Talkers, chat: Engine, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = ticket(actor_for(ada))

    async def away(*_: Any, **__: Any) -> None:
        raise LogUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(chat.reader, "run", away)
        talker = await talk.raw()
        await talker.say({"cmd": "hello", "ticket": good})
        assert (await talker.reply(None))["error"]["code"] == "unavailable"
        assert (await talker.closed()).code == 4002

    back = await talk.raw()
    await back.say({"cmd": "hello", "ticket": good})
    assert await back.push("welcome")


# --- subclasses -------------------------------------------------------------------


class Badge(ChatConsumer):
    """Knows people by a header, and two commands more."""

    async def identify(self, scope: Any) -> Identity | None:
        badge = dict(scope["headers"]).get(b"x-badge")
        if badge is None:
            return await super().identify(scope)
        user = await in_thread(User.objects.get, username=badge.decode())
        return Identity(actor_for(user), "authenticator")

    async def extra_command(self, actor: Actor, command: dict[str, Any]) -> Any:
        if command["cmd"] == "price":
            return {"of": command["of"], "for": actor.name}
        if command["cmd"] == "break":
            raise ZeroDivisionError
        return await super().extra_command(actor, command)


def badge_application() -> Any:
    consumer: Any = Badge()
    return URLRouter([re_path(r"^ws/chat/(?P<room>[^/]+)/$", consumer)])


async def test_a_subclass_may_know_people_in_its_own_way(
    talk: Talkers, ada: User
) -> None:
    headers = [HOST, (b"x-badge", b"ada")]
    talker = await talk.raw(headers=headers, app=badge_application())
    await talker.say({"cmd": "hello"})
    assert (await talker.push("welcome"))["user"]["name"] == "Ada Lovelace"


async def test_a_subclass_may_answer_commands_of_its_own(
    talk: Talkers, ada: User
) -> None:
    headers = [HOST, (b"x-badge", b"ada")]
    talker = await talk.raw(headers=headers, app=badge_application())
    await talker.say({"cmd": "hello"})
    await talker.push("welcome")

    answer = await talker.ask("price", of="tea")
    assert answer["result"] == {"of": "tea", "for": "Ada Lovelace"}
    await talker.say({"cmd": "price", "of": "tea"})  # without an id, without a reply
    assert await talker.refusal("unheard-of") == "unknown_command"
    assert await talker.refusal("break") == "internal"
    assert "seq" in await talker.ask("send", room="general", text="still here")
    assert any("extra_command_failed" in fault for fault in talk.faults)
    talk.faults.clear()


async def test_a_guest_token_is_no_ticket(talk: Talkers, settings: Settings) -> None:
    settings.HEADGATE = {"GUESTS": True}
    talker = await talk.raw()
    await talker.say({"cmd": "hello", "ticket": guest_token(new_guest("Gus"))})
    assert (await talker.reply(None))["error"]["code"] == "ticket_refused"


async def test_of_a_thousand_at_once_one_comes_in(talk: Talkers, ada: User) -> None:
    good = ticket(actor_for(ada))

    async def attempt() -> bool:
        talker = await talk.raw()
        await talker.say({"cmd": "hello", "ticket": good})
        return (await talker.hear()).get("push") == "welcome"

    welcomed = []
    for _ in range(10):
        welcomed += await asyncio.gather(*[attempt() for _ in range(100)])
    assert sum(welcomed) == 1
