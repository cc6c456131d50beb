"""Bots with a token: over every door, counted by their key, and cut when disabled."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import AsyncClient, Client
from pytest_django import Settings

import headgate
from headgate.chat import actions, token_people
from headgate.chat.http import openapi
from headgate.chat.models import Room
from headgate.outbound.bot_tokens import bot_actor
from headgate.outbound.models import Bot
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    Talkers,
    in_thread,
    talk_fixture,
)
from tests.steady import BUSY_SECONDS

# The promise is two seconds.
SOON_SECONDS = 2.0 + BUSY_SECONDS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
async def token(transactional_db: None) -> str:
    return str(await in_thread(headgate.make_bot, "clock", "The clock"))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def post(path: str, token: str, body: Any = None, **more: Any) -> Any:
    return await AsyncClient(enforce_csrf_checks=True).post(
        f"/api/v1/{path}",
        body or {},
        content_type="application/json",
        headers=bearer(token) | more.pop("headers", {}),
        **more,
    )


async def ticket_of(token: str) -> str:
    return str((await post("connect", token)).json()["ticket"])


async def test_only_a_digest_of_a_token_is_kept(token: str) -> None:
    row = await in_thread(Bot.objects.get)
    assert token.startswith("hgb_")
    assert len(token) == 4 + 43  # 32 bytes
    assert token not in str(row.__dict__)
    assert token.removeprefix("hgb_") not in str(row.__dict__)
    assert (row.name, row.title, row.enabled) == ("clock", "The clock", True)


def test_a_title_hides_and_turns_round_nothing(transactional_db: None) -> None:
    for title, shown in (("The\u202e clock\x07", "The clock"), ("\u200b", "clock")):
        headgate.make_bot("clock", title)
        assert bot_actor(Bot.objects.get()).name == shown


@pytest.mark.parametrize("name", ["", "Clock", "the clock", "c" * 61, "a/b", "hook-5"])
def test_what_names_no_bot(transactional_db: None, name: str) -> None:
    with pytest.raises(ValidationError):
        headgate.make_bot(name)
    assert not Bot.objects.exists()


async def test_a_bot_connects_and_writes(talk: Talkers, room: Room, token: str) -> None:
    answer = await post("connect", token, {"rooms": ["general"]})
    assert answer.status_code == 200
    found = answer.json()
    assert found["user"] == {"id": "b:clock", "kind": "bot", "name": "The clock"}

    talker = await talk.raw(room=None, headers=[(b"host", b"testserver")])
    await talker.say({"cmd": "hello", "ticket": found["ticket"]})
    assert (await talker.push("welcome"))["user"]["id"] == "b:clock"
    await talker.ask("join", room="general")
    assert "seq" in await talker.ask("send", room="general", text="It is noon.")
    pushed = await talker.push("message")
    assert pushed["author"] == {"id": "b:clock", "kind": "bot", "name": "The clock"}


async def test_without_a_cookie_neither_csrf_nor_an_origin_is_asked_for(
    talk: Talkers, room: Room, token: str
) -> None:
    sent = await post("rooms/general/messages", token, {"text": "hi"})
    assert sent.status_code == 201
    headers = [(b"host", b"testserver"), (b"authorization", f"bearer {token}".encode())]
    talker = await talk.raw(headers=headers)
    await talker.say({"cmd": "hello"})
    assert (await talker.push("welcome"))["user"]["id"] == "b:clock"
    plain = await talk.raw(headers=headers, subprotocols=())
    await plain.say({"message": "from a microcontroller"})
    assert (await plain.hear())["seq"] == 2


async def test_all_doors_of_http_know_it(room: Room, token: str) -> None:
    team = await in_thread(lambda: Room.objects.create(slug="team", kind="group"))
    client = AsyncClient()
    path = "/api/v1/rooms/team/messages"
    assert (await client.get(path, headers=bearer(token))).status_code == 404
    bot = await in_thread(headgate.bots.actor, "clock")
    await in_thread(actions.add_member, team, bot)
    for door in ("rooms", "rooms/team", "rooms/team/messages", "rooms/team/events"):
        answer = await client.get(f"/api/v1/{door}", headers=bearer(token))
        assert answer.status_code == 200, door


async def test_a_wrong_token_is_nobodys(
    room: Room, token: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    settings.HEADGATE = {"GUESTS": True}  # it is no guest either
    for wrong in (f"{token}x", "hgb_", "hgb_" + "x" * 5000, token[:-1]):
        answer = await post("connect", wrong)
        assert answer.status_code == 401, wrong
        assert "hgb_" not in answer.content.decode()
        assert answer["WWW-Authenticate"] == 'Bearer realm="headgate"'
    assert "hgb_" not in caplog.text
    assert (await post("connect", "of another kind")).status_code == 200  # a guest


@pytest.mark.parametrize("said", ["Bearer", "Bearer ", "Token {}", "{}"])
async def test_who_means_to_be_somebody_is_no_guest(
    room: Room, token: str, settings: Settings, said: str
) -> None:
    """Such as where the variable with the token is empty."""
    settings.HEADGATE = {"GUESTS": True}
    answer = await AsyncClient().post(
        "/api/v1/connect",
        {},
        content_type="application/json",
        headers={"Authorization": said.format(token)},
    )
    assert answer.status_code == 401
    assert "after Bearer" in answer.json()["detail"]
    assert "hgb_" not in answer.json()["detail"].replace("hgb_…", "")


@pytest.mark.limits
async def test_tokens_are_not_guessed_fast(
    room: Room, token: str, settings: Settings
) -> None:
    settings.HEADGATE = {"LIMITS": {"connect.address": "3/h"}}
    codes = [(await post("connect", f"hgb_{n}")).status_code for n in range(5)]
    assert codes == [401, 401, 401, 429, 429]
    refused = (await post("connect", "hgb_0")).json()
    assert (refused["code"], refused["policy"]) == ("rate_limited", "connect.address")
    # Whoever has a right one is not held up by others at the same address.
    assert (await post("connect", token)).status_code == 200


@pytest.mark.limits
async def test_a_bot_is_counted_by_its_key(
    room: Room, token: str, settings: Settings
) -> None:
    settings.HEADGATE = {"LIMITS": {"send.all": "2/h"}}
    other = await in_thread(headgate.make_bot, "other")
    path, body = "rooms/general/messages", {"text": "hi"}
    codes = [(await post(path, token, body)).status_code for _ in range(3)]
    assert codes == [201, 201, 429]
    elsewhere = await post(path, token, body, REMOTE_ADDR="198.51.100.7")
    assert elsewhere.status_code == 429
    assert (await post(path, other, body)).status_code == 201


async def test_a_disabled_bot_is_cut_and_its_tickets_are_no_good(
    talk: Talkers, room: Room, token: str
) -> None:
    ticket, spare = await ticket_of(token), await ticket_of(token)
    talker = await talk.raw(room=None)
    await talker.say({"cmd": "hello", "ticket": ticket})
    await talker.push("welcome")

    row = await in_thread(Bot.objects.get)
    row.enabled = False
    await in_thread(row.save)
    async with asyncio.timeout(SOON_SECONDS):
        ended = await talker.closed()
    assert ended.code >= 4500  # don't come back
    late = await talk.raw(room=None)
    await late.say({"cmd": "hello", "ticket": spare})
    assert (await late.reply(None))["error"]["code"] == "ticket_refused"
    assert (await post("connect", token)).status_code == 401

    row.enabled = True
    await in_thread(row.save)
    again = await talk.raw(room=None)
    await again.say({"cmd": "hello", "ticket": await ticket_of(token)})
    assert (await again.push("welcome"))["user"]["id"] == "b:clock"


@pytest.mark.parametrize("how", ["another token", "deleted"])
async def test_what_was_opened_with_an_old_token_ends(
    talk: Talkers, room: Room, token: str, how: str
) -> None:
    ticket, spare = await ticket_of(token), await ticket_of(token)
    talker = await talk.raw(room=None)
    await talker.say({"cmd": "hello", "ticket": ticket})
    await talker.push("welcome")
    row = await in_thread(Bot.objects.get)
    if how == "deleted":
        await in_thread(row.delete)
    else:
        new = await in_thread(headgate.make_bot, "clock")
        assert new != token
        assert (await in_thread(Bot.objects.get)).title == "The clock"
        assert (await post("connect", new)).status_code == 200
    async with asyncio.timeout(SOON_SECONDS):
        await talker.closed()
    late = await talk.raw(room=None)
    await late.say({"cmd": "hello", "ticket": spare})
    assert (await late.reply(None))["error"]["code"] == "ticket_refused"
    assert (await post("connect", token)).status_code == 401


async def test_others_stay_when_a_bot_is_cut(
    talk: Talkers, room: Room, token: str, ada: Any
) -> None:
    other = await in_thread(headgate.make_bot, "other")
    talker, person = await talk.raw(room=None), await talk(ada)
    await talker.say({"cmd": "hello", "ticket": await ticket_of(other)})
    await talker.push("welcome")
    row = await in_thread(Bot.objects.get, name="clock")
    row.enabled = False
    await in_thread(row.save)
    await asyncio.sleep(0.5)  # it would have been cut by now
    assert "error" not in await talker.ask("ping")
    assert "error" not in await person.ask("ping")


async def test_a_title_may_change_and_nobody_is_cut(
    talk: Talkers, room: Room, token: str
) -> None:
    row = await in_thread(Bot.objects.get)
    talker = await talk.raw(room=None)
    await talker.say({"cmd": "hello", "ticket": await ticket_of(token)})
    await talker.push("welcome")
    row.title = "Big Ben"
    await in_thread(row.save)
    await asyncio.sleep(0.5)
    assert "error" not in await talker.ask("ping")
    assert bot_actor(row).author.name == "Big Ben"


def test_the_description_of_the_api_says_how_a_token_is_presented() -> None:
    described = Client().get("/api/v1/openapi.json").json()
    scheme = described["components"]["securitySchemes"]["bot"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert {"bot": []} in described["security"]
    names = {name for way in described["security"] for name in way}
    assert names == described["components"]["securitySchemes"].keys()


def test_without_anybody_who_has_tokens_it_names_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_people, "_known", {})
    assert "bot" not in openapi.components()["securitySchemes"]
    assert {"bot": []} not in openapi.security()
