"""The WebSocket's URL over plain HTTP: the descriptor, and a message on the way."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.models import Event, Room
from tests.chat.http.browsers import (
    Browsers,
    browse_fixture,  # noqa: F401
    descriptor_of,
    problem_of,
)
from tests.chat.scenes import group
from tests.chat.talker import Talkers, guests_fixture, in_thread, talk_fixture  # noqa: F401
from tests.conftest import Serve

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ROOM = "/ws/chat/general/"
OWN = {"url", "protocol", "ticket", "ticket_expires_in_ms", "rooms"}


async def test_a_get_says_how_to_connect(
    browse: Browsers, room: Room, ada: User
) -> None:
    answer = await (await browse(ada)).get(ROOM)

    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert set(said) == OWN | {"limits", "user"}
    assert said["url"] == "ws://testserver/ws/chat/"
    assert said["protocol"] == "headgate.v1"
    assert said["ticket_expires_in_ms"] == 30_000
    assert said["rooms"] == ["general"]
    assert said["user"] == {"id": f"u:{ada.pk}", "kind": "user", "name": "Ada Lovelace"}


async def test_whoever_follows_it_is_connected(
    browse: Browsers, talk: Talkers, room: Room, ada: User
) -> None:
    said = (await (await browse(ada)).get(ROOM)).json()

    talker = await talk(None, room=None, ticket=said["ticket"])

    assert talker.welcome["user"] == said["user"]
    assert (await talker.ask("join", room=said["rooms"][0]))["head"] == 0


async def test_without_a_room(browse: Browsers, ada: User) -> None:
    said = (await (await browse(ada)).get("/ws/chat/")).json()

    assert said["rooms"] == []


async def test_a_guest_is_told_who_they_are(
    browse: Browsers, guests: None, room: Room
) -> None:
    browser = await browse()

    first = (await browser.get(ROOM)).json()
    again = await browser.get(ROOM, headers={"Headgate-Guest": first["guest"]})
    another = (await browser.get(ROOM)).json()

    assert again.json()["user"] == first["user"] != another["user"]


async def test_a_room_that_joining_would_make_is_not_made_yet(
    browse: Browsers, talk: Talkers, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True}

    said = (await (await browse()).get("/ws/chat/new/")).json()

    assert said["rooms"] == ["new"]
    assert await Room.objects.acount() == 0
    await talk(None, room="new", ticket=said["ticket"])
    assert await Room.objects.acount() == 1


async def test_a_room_past_the_limit_is_not_there(
    browse: Browsers, settings: Settings, room: Room
) -> None:
    settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True, "MAX_MADE_ROOMS": 1}

    refused = await (await browse()).get("/ws/chat/new/")

    assert problem_of(refused) == (404, "not_found")


async def test_a_room_that_is_not_for_one(
    browse: Browsers, settings: Settings, ada: User, grace: User
) -> None:
    settings.HEADGATE = {"MAKE_ROOMS": True}
    await in_thread(group, ada)

    refused = await (await browse(grace)).get("/ws/chat/group/")

    assert problem_of(refused) == (404, "not_found")


async def test_who_is_banned(browse: Browsers, room: Room, ada: User) -> None:
    await in_thread(actions.ban, room, ada)
    browser = await browse(ada)

    for refused in (
        await browser.get(ROOM),
        await browser.post(ROOM, json={"message": "hi"}),
    ):
        assert problem_of(refused) == (403, "banned")


async def test_who_has_not_signed_in(browse: Browsers, room: Room) -> None:
    browser = await browse()

    for path in (ROOM, "/ws/chat/"):
        assert problem_of(await browser.get(path)) == (401, "unauthenticated")


async def test_a_name_that_names_no_room_matches_no_url(
    browse: Browsers, guests: None
) -> None:
    assert (await (await browse()).get("/ws/chat/a b/")).status_code == 404


# --- a message on the way ------------------------------------------------------


async def test_a_post_saves_and_connects(
    browse: Browsers, talk: Talkers, room: Room, ada: User, grace: User
) -> None:
    watcher = await talk(grace)

    answer = await (await browse(ada)).post(ROOM, json={"message": "hi"})

    assert answer.status_code == 201
    said = answer.json()
    assert said["message"] == "Message received and saved."
    assert (said["seq"], "client_id" in said) == (1, False)
    push = await watcher.push("message")
    assert (push["text"], push["seq"], push["at"]) == ("hi", 1, said["at"])
    assert answer.headers["cache-control"] == "no-store"
    shown = {name: said["connect"][name] for name in OWN}
    assert descriptor_of(answer) == shown
    talker = await talk(None, room="general", ticket=shown["ticket"])
    assert talker.welcome["user"]["id"] == f"u:{ada.pk}"


async def test_the_same_message_again(
    browse: Browsers, talk: Talkers, room: Room, ada: User
) -> None:
    browser = await browse(ada)
    said = {"message": "hi", "client_id": "c-1"}

    first = await browser.post(ROOM, json=said)
    again = await browser.post(ROOM, json=said)
    by_api = await browser.post(
        "/api/v1/rooms/general/messages", json={"text": "hi", "client_id": "c-1"}
    )
    conflict = await browser.post(ROOM, json=said | {"message": "ho"})

    assert (first.status_code, again.status_code) == (201, 200)
    seqs = {answer.json()["seq"] for answer in (first, again, by_api)}
    assert seqs == {1}
    assert again.json()["client_id"] == "c-1"
    assert problem_of(conflict) == (409, "id_conflict")
    assert await Event.objects.acount() == 1


async def test_a_guest_who_posts_is_told_who_they_are(
    browse: Browsers, guests: None, room: Room
) -> None:
    browser = await browse()

    answer = await browser.post(ROOM, json={"message": "hi"})

    token = answer.headers["headgate-guest"]
    assert answer.json()["connect"]["guest"] == token
    again = await browser.post(
        ROOM, json={"message": "ho"}, headers={"Headgate-Guest": token}
    )
    assert again.json()["connect"]["user"] == answer.json()["connect"]["user"]


async def test_a_post_makes_the_room_as_joining_would(
    browse: Browsers, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True}

    answer = await (await browse()).post("/ws/chat/new/", json={"message": "hi"})

    assert answer.status_code == 201
    assert await Room.objects.filter(slug="new").aexists()


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"message": ""}', '{"message": 5}', '{"message": "a\\u0000"}'],
)
async def test_bad_bodies_are_refused_in_the_words_of_plain_mode(
    browse: Browsers, talk: Talkers, guests: None, room: Room, body: str
) -> None:
    browser, talker = await browse(), await talk.plain()

    refused = await browser.post(
        ROOM, content=body, headers={"Content-Type": "application/json"}
    )
    await talker.say(body)

    said = await talker.hear()
    assert problem_of(refused)[1] == said["error"]
    assert refused.json()["detail"] == said["text"]


async def test_a_form_is_not_taken(browse: Browsers, guests: None, room: Room) -> None:
    refused = await (await browse()).post(ROOM, data={"message": "hi"})

    assert problem_of(refused) == (415, "binary")


# --- a WebSocket that Django is asked for --------------------------------------


@pytest.mark.parametrize("path", ["/ws/chat/", ROOM])
async def test_a_handshake_that_went_past_the_chat(
    browse: Browsers, room: Room, path: str
) -> None:
    headers = {"Connection": "Upgrade", "Upgrade": "WebSocket"}

    refused = await (await browse()).get(path, headers=headers)

    assert problem_of(refused) == (426, "unsupported")
    assert refused.headers["upgrade"] == "websocket"
    assert "with_chat" in refused.json()["detail"]


def test_a_handshake_by_wsgi_gets_no_header_that_wsgi_forbids(client: Client) -> None:
    refused = client.get("/ws/chat/", headers={"Upgrade": "websocket"})

    assert refused.status_code == 426
    assert "Upgrade" not in refused


def test_it_works_by_wsgi(
    client: Client, room: Room, ada: User, settings: Settings
) -> None:
    client.force_login(ada)

    said: Any = client.get(ROOM).json()
    posted = client.post(ROOM, {"message": "hi"}, content_type="application/json")

    assert said["user"]["id"] == f"u:{ada.pk}"
    assert posted.status_code == 201


@pytest.mark.usefixtures("transactional_db")
def test_on_a_real_server(serve: Serve) -> None:
    server = serve("--guests")

    answer = httpx.post(f"{server.url}{ROOM}", json={"message": "hi"})

    assert answer.status_code == 201
    assert answer.json()["connect"]["url"] == f"{server.ws_url}/ws/chat/"
