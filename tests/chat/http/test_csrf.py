"""CSRF: what must come with a cookie, and only with a cookie."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.asgi import get_asgi_application
from django.http import HttpRequest
from django.middleware.csrf import CSRF_SESSION_KEY, _get_new_csrf_string
from django.test import AsyncClient, Client
from pytest_django import Settings

from headgate.asgi import with_chat
from headgate.chat import actions
from headgate.chat.models import Event, Room
from tests.chat.http.browsers import Browsers, browse_fixture, problem_of  # noqa: F401
from tests.chat.talker import guests_fixture, in_thread  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True)]

CSRF = "django.middleware.csrf.CsrfViewMiddleware"
OWN = "https://testserver"
SHOP = "https://shop.example"
EVIL = "https://evil.example"
ROOM = "/api/v1/rooms/general/messages"

# Every request that changes something, or hands out a ticket for it.
UNSAFE: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/api/v1/connect", {}),
    ("POST", ROOM, {"text": "hi"}),
    ("PATCH", f"{ROOM}/1", {"text": "ho"}),
    ("DELETE", f"{ROOM}/1", None),
    ("POST", "/ws/chat/general/", {"message": "hi"}),
]

# Whether the token comes with it, Origin, Referer, whether it is good; over https.
TABLE: list[tuple[bool, str | None, str | None, bool]] = [
    (True, OWN, None, True),
    (True, SHOP, None, True),
    (True, EVIL, None, False),
    (True, "null", None, False),
    (True, "http://testserver", None, False),
    (True, f"{OWN}:8443", None, False),
    (True, EVIL, OWN, False),
    (True, None, None, False),
    (True, None, f"{OWN}/page", True),
    (True, None, f"{SHOP}/page", True),
    (True, None, f"{EVIL}/page", False),
    (True, None, "http://testserver/page", False),
    (False, OWN, None, False),
    (False, SHOP, None, False),
    (False, EVIL, None, False),
    (False, None, f"{OWN}/page", False),
    (False, None, None, False),
]


def ada_by_header(asked: Any) -> User | None:
    """Know a user by a header, as an authenticator of a project."""
    if isinstance(asked, HttpRequest) and asked.headers.get("X-Key") == "ada's":
        return User.objects.get(username="ada")
    return None


@pytest.fixture(autouse=True)
def project(settings: Settings) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [SHOP]


@pytest.mark.parametrize(("method", "path", "body"), UNSAFE)
@pytest.mark.parametrize("middleware", [True, False])
async def test_each_unsafe_request_needs_the_token(
    browse: Browsers,
    room: Room,
    ada: User,
    settings: Settings,
    method: str,
    path: str,
    body: dict[str, Any] | None,
    middleware: bool,  # noqa: FBT001
) -> None:
    if not middleware:
        settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if each != CSRF]
    await in_thread(actions.send_message, room, ada, "first")
    app = with_chat(get_asgi_application())
    with_token = await browse(ada, app=app)
    without = await browse(ada, csrf=False, app=app)

    refused = await without.request(method, path, json=body)
    assert problem_of(refused) == (403, "csrf_failed")
    assert await Event.objects.acount() == 1

    taken = await with_token.request(method, path, json=body)
    assert taken.status_code < 300, taken.text


@pytest.mark.parametrize(("token", "origin", "referer", "good"), TABLE)
async def test_token_origin_and_referer(
    browse: Browsers,
    room: Room,
    ada: User,
    token: bool,  # noqa: FBT001
    origin: str | None,
    referer: str | None,
    good: bool,  # noqa: FBT001
) -> None:
    browser = await browse(ada, csrf=token, base=OWN)
    given = {"Origin": origin, "Referer": referer}
    headers = {name: value for name, value in given.items() if value is not None}

    answer = await browser.post(ROOM, json={"text": "hi"}, headers=headers)

    if good:
        assert answer.status_code == 201, answer.text
    else:
        assert problem_of(answer) == (403, "csrf_failed")
    assert await Event.objects.acount() == good


@pytest.mark.parametrize("token", ["", "x", "a" * 32, "a" * 64, "ü" * 32, "x" * 9000])
async def test_a_token_that_is_another(
    browse: Browsers, room: Room, ada: User, token: str
) -> None:
    browser = await browse(ada, csrf=False)

    refused = await browser.post(
        ROOM, json={"text": "hi"}, headers={b"X-CSRFToken": token.encode()}
    )

    assert problem_of(refused) == (403, "csrf_failed")


async def test_a_token_without_its_cookie(
    browse: Browsers, room: Room, ada: User
) -> None:
    browser = await browse(ada)
    del browser.cookies["csrftoken"]

    refused = await browser.post(ROOM, json={"text": "hi"})

    assert problem_of(refused) == (403, "csrf_failed")


async def test_a_form_that_cannot_be_read_is_no_fault_of_ours(
    browse: Browsers, room: Room, ada: User
) -> None:
    """The token may be in a form, so it is looked for there."""
    browser = await browse(ada)
    form = {"Content-Type": "multipart/form-data"}  # without a boundary

    answer = await browser.post(f"{ROOM}/1/cancel", content=b"no parts", headers=form)

    assert problem_of(answer) == (400, "bad_command")


async def test_a_token_that_the_session_keeps(
    browse: Browsers, room: Room, ada: User, settings: Settings
) -> None:
    settings.CSRF_USE_SESSIONS = True
    browser = await browse(ada, csrf=False)
    token = _get_new_csrf_string()

    def keep() -> None:
        session = SessionStore(browser.cookies["sessionid"])
        session[CSRF_SESSION_KEY] = token
        session.save()

    await in_thread(keep)

    refused = await browser.post(ROOM, json={"text": "hi"})
    taken = await browser.post(
        ROOM, json={"text": "hi"}, headers={"X-CSRFToken": token}
    )

    assert problem_of(refused) == (403, "csrf_failed")
    assert taken.status_code == 201


async def test_reading_needs_no_token(browse: Browsers, room: Room, ada: User) -> None:
    browser = await browse(ada, csrf=False)

    for path in (ROOM, "/api/v1/rooms", "/ws/chat/general/", "/ws/chat/"):
        assert (await browser.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/connect", ROOM])
async def test_a_guest_needs_none(
    browse: Browsers, room: Room, guests: None, path: str
) -> None:
    browser = await browse(csrf=False)

    answer = await browser.post(path, json={"text": "hi"})

    assert answer.status_code < 300


async def test_who_is_known_by_other_means_needs_none(
    browse: Browsers, room: Room, ada: User, grace: User, settings: Settings
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [f"{__name__}.{ada_by_header.__name__}"]}
    # The cookie of somebody else comes along, and does not count.
    browser = await browse(grace, csrf=False, headers={"X-Key": "ada's"})

    answer = await browser.post(ROOM, json={"text": "hi"})

    assert answer.status_code == 201
    assert (await Event.objects.aget()).author_key == f"u:{ada.pk}"


async def test_a_cookie_that_says_nobody_needs_none(
    browse: Browsers, room: Room, guests: None
) -> None:
    browser = await browse(csrf=False)
    browser.cookies.set("sessionid", "nothing-of-ours")

    assert (await browser.post(ROOM, json={"text": "hi"})).status_code == 201


async def test_a_refusal_says_both_sides_in_the_log(
    browse: Browsers, room: Room, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    browser = await browse(ada)
    token = browser.cookies["csrftoken"]

    await browser.post(ROOM, json={"text": "hi"}, headers={"Origin": EVIL})

    (record,) = [r for r in caplog.records if r.name == "headgate.csrf"]
    assert record.levelno == logging.WARNING
    said = record.getMessage()
    assert f"origin='{EVIL}'" in said
    assert "host='testserver'" in said
    assert token not in caplog.text


async def test_djangos_test_clients_need_none(
    chat: None, room: Room, ada: User
) -> None:
    lax = AsyncClient()
    strict = AsyncClient(enforce_csrf_checks=True)
    for client in (lax, strict):
        await client.aforce_login(ada)

    kind = {"content_type": "application/json"}
    taken = await lax.post(ROOM, {"text": "hi"}, **kind)
    refused = await strict.post(ROOM, {"text": "hi"}, **kind)

    assert (taken.status_code, refused.status_code) == (201, 403)


@pytest.mark.django_db
def test_it_works_in_a_test_case(client: Client, settings: Settings) -> None:
    # As in a TestCase: one transaction, no engine, rolled back at the end.
    settings.HEADGATE = {"GUESTS": True}
    Room.objects.create(slug="general")

    posted = client.post(ROOM, {"text": "hi"}, content_type="application/json")

    assert posted.status_code == 201
    assert client.get(ROOM).json()["messages"][0]["text"] == "hi"
