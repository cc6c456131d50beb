"""Refusals over HTTP: each a problem, and none says more than it must."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone
from pytest_django import Settings

from headgate.chat import actions
from headgate.chat.authenticators import NotAuthenticated
from headgate.chat.engine import Engine
from headgate.chat.http import api, posting, reading
from headgate.chat.models import Room
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of, shape  # noqa: F401
from tests.chat.scenes import group
from tests.chat.talker import Talkers, guests_fixture, in_thread, talk_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

# Every operation about a room: its method, the path below the room, and a body.
OPERATIONS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "", None),
    ("PATCH", "", {"slow_mode_ms": 1000}),
    ("GET", "/members", None),
    ("PATCH", "/members/u:1", {"mute_ms": 1000}),
    ("PATCH", "/members/g:0", {"banned": True}),
    ("GET", "/messages", None),
    ("GET", "/messages?before=5&limit=3", None),
    ("GET", "/events?after=1", None),
    ("POST", "/messages", {"text": "hi"}),
    ("POST", "/messages", {"text": "hi", "client_id": "c-1"}),
    ("PATCH", "/messages/1", {"text": "ho"}),
    ("DELETE", "/messages/1", None),
    ("POST", "/messages/1/cancel", None),
    ("GET", "/destinations", None),
    ("POST", "/destinations", {"name": "crm", "url": "https://crm.example/"}),
    ("GET", "/destinations/crm", None),
    ("PATCH", "/destinations/crm", {"paused": True}),
    ("DELETE", "/destinations/crm", None),
    ("POST", "/destinations/crm/test", None),
    ("POST", "/destinations/crm/secrets", None),
    ("GET", "/destinations/crm/deliveries?state=dead&limit=3", None),
    ("POST", "/destinations/crm/deliveries/replay", {}),
    ("POST", "/destinations/crm/deliveries/drop", {}),
    ("GET", "/incoming", None),
    ("POST", "/incoming", {"name": "Build server"}),
    ("DELETE", "/incoming/1", None),
]
OF_THE_SOCKET: list[tuple[str, dict[str, Any] | None]] = [
    ("GET", None),
    ("POST", {"message": "hi"}),
    ("POST", {"message": "hi", "client_id": "c-1"}),
]


def not_there(*_: Any, **__: Any) -> None:
    """Do as a database that is away."""
    raise OperationalError("the database is away")


def refusing(_: Any) -> None:
    """Refuse whoever comes, as an authenticator of a project."""
    raise NotAuthenticated("The token has run out.")


def nobody(_: Any) -> None:
    """Know nobody, as an authenticator of a project."""


def _example(path: str) -> str:
    """Return a path of the description as the table has it."""
    path = path.replace("{seq}", "1").replace("{name}", "crm")
    return path.replace("incoming/{id}", "incoming/1")


def test_the_table_has_every_operation_about_a_room() -> None:
    described = api.api.get_openapi_schema()["paths"]
    prefix = "/api/v1/rooms/{room}"
    operations = {
        (method.upper(), _example(path.removeprefix(prefix)))
        for path, methods in described.items()
        for method in methods
        if path.startswith(prefix)
    }

    held = {(m, re.sub(r"members/.*", "members/{id}", p)) for m, p, _ in OPERATIONS}
    assert operations == {(m, path.partition("?")[0]) for m, path in held}


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_missing_and_forbidden_are_the_same(
    browse: Browsers,
    ada: User,
    grace: User,
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    made = await in_thread(group, ada)
    await in_thread(actions.send_message, made, ada, "secret", client_id="c-1")
    browser = await browse(grace)

    answers = [
        await browser.request(method, f"/api/v1/rooms/{room}{path}", json=body)
        for room in ("group", "grouq")
    ]

    assert shape(answers[0]) == shape(answers[1])
    assert problem_of(answers[0]) == (404, "not_found")


@pytest.mark.parametrize(("method", "body"), OF_THE_SOCKET)
async def test_missing_and_forbidden_are_the_same_at_the_sockets_url(
    browse: Browsers,
    ada: User,
    grace: User,
    method: str,
    body: dict[str, Any] | None,
) -> None:
    await in_thread(group, ada)
    browser = await browse(grace)

    answers = [
        await browser.request(method, f"/ws/chat/{room}/", json=body)
        for room in ("group", "grouq")
    ]

    assert shape(answers[0]) == shape(answers[1])
    assert problem_of(answers[0]) == (404, "not_found")


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_who_is_banned_is_told_so(
    browse: Browsers,
    room: Room,
    ada: User,
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    await in_thread(actions.send_message, room, ada, "hi")
    await in_thread(actions.ban, room, ada)
    browser = await browse(ada)

    refused = await browser.request(method, f"/api/v1/rooms/general{path}", json=body)

    assert problem_of(refused) == (403, "banned")


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_nobody_is_told_to_sign_in(
    browse: Browsers, room: Room, method: str, path: str, body: dict[str, Any] | None
) -> None:
    browser = await browse()

    refused = await browser.request(method, f"/api/v1/rooms/general{path}", json=body)

    assert problem_of(refused) == (401, "unauthenticated")
    assert refused.headers["www-authenticate"] == 'Cookie realm="headgate"'


async def test_the_errors_are_those_of_the_websocket(
    browse: Browsers, talk: Talkers, room: Room, ada: User
) -> None:
    browser, talker = await browse(ada), await talk(ada)
    cases: list[tuple[httpx.Response, dict[str, Any]]] = []
    for name in ("grouq", "not a room"):
        over_http = await browser.get(f"/api/v1/rooms/{name}/messages")
        cases.append((over_http, await talker.ask("history", room=name)))
    over_http = await browser.delete("/api/v1/rooms/general/messages/77")
    cases.append((over_http, await talker.ask("delete", room="general", target=77)))

    for over_http, reply in cases:
        said = over_http.json()
        wire = {**reply["error"], "detail": reply["error"]["text"]}
        del wire["text"]
        assert {name: said.get(name) for name in wire} == wire


async def test_who_is_muted_is_told_for_how_long(
    browse: Browsers, room: Room, ada: User
) -> None:
    until = timezone.now() + timedelta(seconds=90)
    await in_thread(actions.mute, room, ada, until)
    browser = await browse(ada)

    refused = await browser.post(
        "/api/v1/rooms/general/messages", json={"text": "hi", "client_id": "c-1"}
    )

    assert problem_of(refused) == (403, "muted")
    assert 80_000 < refused.json()["retry_after_ms"] <= 90_000
    assert 80 < int(refused.headers["retry-after"]) <= 90
    assert refused.json()["client_id"] == "c-1"
    assert (await browser.get("/api/v1/rooms/general/messages")).status_code == 200


async def test_a_token_that_does_not_hold(
    browse: Browsers, settings: Settings, room: Room, ada: User
) -> None:
    settings.HEADGATE = {
        "AUTHENTICATORS": [f"{__name__}.{refusing.__name__}"],
        "GUESTS": True,
    }
    browser = await browse(ada)

    refused = await browser.get("/api/v1/rooms")

    assert problem_of(refused) == (401, "unauthenticated")
    assert refused.json()["detail"] == "The token has run out."


async def test_where_tokens_are_taken_the_challenge_names_them(
    browse: Browsers, settings: Settings
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [f"{__name__}.{nobody.__name__}"]}

    refused = await (await browse()).get("/api/v1/rooms")

    assert problem_of(refused) == (401, "unauthenticated")
    assert refused.headers["www-authenticate"] == 'Bearer realm="headgate"'


@pytest.mark.parametrize(
    ("method", "path", "body"), [each for each in OPERATIONS if each[0] == "GET"]
)
async def test_a_room_that_is_deleted_while_it_is_read(
    browse: Browsers,
    room: Room,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    entered = reading.enter

    def enter_and_delete(*args: Any, **more: Any) -> Any:
        rights = entered(*args, **more)
        Room.objects.all().delete()
        return rights

    await in_thread(actions.set_role, room, ada, "moderator")
    monkeypatch.setattr(reading, "enter", enter_and_delete)
    browser = await browse(ada)

    refused = await browser.request(method, f"/api/v1/rooms/general{path}", json=body)

    assert problem_of(refused) == (404, "not_found")


async def test_a_message_to_a_room_that_is_deleted_meanwhile(
    browse: Browsers,
    room: Room,
    ada: User,
    chat: Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entered = posting.enter

    def enter_and_delete(*args: Any, **more: Any) -> Any:
        rights = entered(*args, **more)
        Room.objects.all().delete()
        return rights

    monkeypatch.setattr(posting, "enter", enter_and_delete)

    refused = await (await browse(ada)).post(
        "/api/v1/rooms/general/messages", json={"text": "hi", "client_id": "c-1"}
    )

    assert problem_of(refused) == (404, "not_found")
    assert refused.json()["client_id"] == "c-1"


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_a_database_that_is_away(
    browse: Browsers,
    room: Room,
    guests: None,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    monkeypatch.setattr("django.db.backends.utils.CursorWrapper.execute", not_there)
    browser = await browse()

    refused = await browser.request(method, f"/api/v1/rooms/general{path}", json=body)

    assert problem_of(refused) == (503, "unavailable")
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["retry_after_ms"] == 1000


async def test_a_journal_that_is_full(
    browse: Browsers, room: Room, guests: None, chat: Engine
) -> None:
    chat.journal._max_waiting = 0

    refused = await (await browse()).post(
        "/api/v1/rooms/general/messages", json={"text": "hi", "client_id": "c-1"}
    )

    assert problem_of(refused) == (503, "overloaded")
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["client_id"] == "c-1"


async def test_a_fault_of_ours_is_logged_and_says_nothing_of_itself(
    browse: Browsers,
    room: Room,
    guests: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: Any) -> None:
        raise KeyError("a secret of the implementation")

    monkeypatch.setattr(reading, "messages_of", broken)

    refused = await (await browse()).get("/api/v1/rooms/general/messages")

    assert problem_of(refused) == (500, "internal")
    assert "secret" not in refused.text
    (record,) = [r for r in caplog.records if r.name == "headgate.http"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert "request_failed method=GET" in record.getMessage()


async def test_with_debug_it_says_nothing_more(
    browse: Browsers,
    room: Room,
    guests: None,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.DEBUG = True

    def broken(*_: Any) -> None:
        raise KeyError("a secret of the implementation")

    monkeypatch.setattr(reading, "messages_of", broken)

    refused = await (await browse()).get("/api/v1/rooms/general/messages")

    assert problem_of(refused) == (500, "internal")


@pytest.mark.parametrize(
    "path", ["/api/v1/", "/api/v1/nothing", "/api/v1/rooms/", "/api/v1/rooms/a/b/c/d"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_a_path_that_is_not_there(
    browse: Browsers, guests: None, path: str, method: str
) -> None:
    refused = await (await browse()).request(method, path)

    if path == "/api/v1/" and method != "GET":
        assert problem_of(refused) == (405, "unknown_command")
    else:
        assert problem_of(refused) == (404, "not_found")


METHODS = {
    "/api/v1/connect": "OPTIONS, POST",
    "/api/v1/limits": "GET, OPTIONS",
    "/api/v1/rooms": "GET, OPTIONS",
    "/api/v1/rooms/general": "GET, OPTIONS, PATCH",
    "/api/v1/rooms/general/members": "GET, OPTIONS",
    "/api/v1/rooms/general/members/u:1": "OPTIONS, PATCH",
    "/api/v1/rooms/general/messages": "GET, OPTIONS, POST",
    "/api/v1/rooms/general/messages/1": "DELETE, OPTIONS, PATCH",
    "/api/v1/rooms/general/events": "GET, OPTIONS",
    "/api/v1/rooms/general/destinations": "GET, OPTIONS, POST",
    "/api/v1/rooms/general/destinations/crm": "DELETE, GET, OPTIONS, PATCH",
    "/api/v1/rooms/general/destinations/crm/test": "OPTIONS, POST",
    "/api/v1/rooms/general/destinations/crm/secrets": "OPTIONS, POST",
    "/api/v1/rooms/general/destinations/crm/deliveries": "GET, OPTIONS",
    "/api/v1/rooms/general/destinations/crm/deliveries/replay": "OPTIONS, POST",
    "/api/v1/rooms/general/destinations/crm/deliveries/drop": "OPTIONS, POST",
    "/api/v1/rooms/general/incoming": "GET, OPTIONS, POST",
    "/api/v1/rooms/general/incoming/1": "DELETE, OPTIONS",
    "/api/v1/openapi.json": "GET, OPTIONS",
    "/api/v1/docs": "GET, OPTIONS",
    "/ws/chat/": "GET, OPTIONS",
    "/ws/chat/general/": "GET, OPTIONS, POST",
}


@pytest.mark.parametrize(("path", "allowed"), METHODS.items())
async def test_a_method_that_is_not_for_a_path(
    browse: Browsers, guests: None, room: Room, path: str, allowed: str
) -> None:
    browser = await browse()
    for method in ("PUT", "TRACE", "QUERY"):
        refused = await browser.request(method, path)

        assert problem_of(refused) == (405, "unknown_command")
        assert refused.headers["allow"] == allowed

    said = await browser.options(path)
    assert (said.status_code, said.headers["allow"]) == (204, allowed)


async def test_a_host_that_is_not_ours(
    browse: Browsers, guests: None, room: Room
) -> None:
    browser = await browse(base="http://elsewhere.example")

    refused = await browser.post("/api/v1/connect", json={})

    assert problem_of(refused) == (400, "bad_command")


async def test_a_project_with_atomic_requests(
    browse: Browsers, guests: None, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connections

    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    browser = await browse()

    posted = await browser.post("/api/v1/rooms/general/messages", json={"text": "hi"})

    assert posted.status_code == 201


async def test_a_hundred_at_once(browse: Browsers, guests: None, room: Room) -> None:
    browser = await browse()
    posts: list[Callable[[], Any]] = [
        lambda n=n: browser.post(  # type: ignore[misc]
            "/api/v1/rooms/general/messages", json={"text": f"{n}"}
        )
        for n in range(100)
    ]

    answers = await asyncio.gather(*[post() for post in posts])

    assert sorted(answer.json()["seq"] for answer in answers) == [*range(1, 101)]
    await in_thread(room.refresh_from_db)
    assert room.head == 100
