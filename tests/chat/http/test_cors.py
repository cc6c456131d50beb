"""CORS: pages of allowed origins read the answers, and pages of others do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils.cache import patch_vary_headers
from pytest_django import Settings

from headgate.asgi import with_chat
from headgate.chat.http.cors import EXPOSED, cors_headers, preflight_headers, scope_of
from headgate.chat.models import Room
from tests.chat.http.browsers import Browsers, browse_fixture  # noqa: F401
from tests.chat.talker import guests_fixture  # noqa: F401

APP = "https://app.example"
SHOP = "https://shop.example"
EVIL = "https://evil.example"
OWN = "http://testserver"
ROOM = "/api/v1/rooms/general/messages"
ALLOW = "access-control-allow-"

REFUSED = [
    EVIL,
    "null",
    "*",
    "",
    "http://app.example",
    "https://app.example:8443",
    "https://app.example.evil.example",
    "https://evil-app.example",
    "https://APP.example",
    "https://app.example/",
    OWN,  # the own origin counts only where nothing is listed
]


@pytest.fixture
def listed(settings: Settings) -> None:
    """A project with pages of another origin."""
    settings.HEADGATE = {"GUESTS": True, "ALLOWED_ORIGINS": [APP]}


def cors_of(response: httpx.Response) -> dict[str, str]:
    """Return the headers of CORS, each of which is there once."""
    found = [
        (name, value)
        for name, value in response.headers.multi_items()
        if name.startswith("access-control-")
    ]
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


def varies(response: httpx.Response) -> list[str]:
    """Return what an answer varies by."""
    assert len(response.headers.get_list("vary")) == 1
    return [name.strip() for name in response.headers["vary"].lower().split(",")]


ANSWERS: list[tuple[str, str, int]] = [
    ("GET", ROOM, 200),
    ("GET", "/api/v1/rooms", 200),
    ("GET", "/api/v1/openapi.json", 200),
    ("POST", "/api/v1/connect", 200),
    ("GET", "/ws/chat/general/", 200),
    ("POST", "/ws/chat/general/", 201),
    ("GET", "/ws/chat/", 200),
    # refusals too: a page is to read why
    ("GET", "/api/v1/rooms/grouq", 404),
    ("GET", "/api/v1/nothing", 404),
    ("PUT", ROOM, 405),
    ("GET", "/api/v1/rooms?limit=x", 400),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
async def test_an_allowed_page_reads_every_answer(
    browse: Browsers, room: Room, listed: None, method: str, path: str, status: int
) -> None:
    browser = await browse(headers={"Origin": APP})

    answer = await browser.request(method, path, json={"message": "hi"})

    assert answer.status_code == status
    assert cors_of(answer) == {
        f"{ALLOW}origin": APP,
        f"{ALLOW}credentials": "true",
        "access-control-expose-headers": EXPOSED,
    }
    assert "origin" in varies(answer)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
async def test_another_page_reads_none(
    browse: Browsers, room: Room, listed: None, method: str, path: str, status: int
) -> None:
    browser = await browse(headers={"Origin": EVIL})

    answer = await browser.request(method, path, json={"message": "hi"})

    assert cors_of(answer) == {}
    assert "origin" in varies(answer)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("origin", REFUSED)
async def test_origins_are_exact(
    browse: Browsers, room: Room, listed: None, origin: str
) -> None:
    browser = await browse(headers={"Origin": origin})

    assert cors_of(await browser.get(ROOM)) == {}
    assert cors_of(await browser.options(ROOM)) == {}


@pytest.mark.django_db(transaction=True)
async def test_without_a_list_the_own_and_the_trusted_are_allowed(
    browse: Browsers, room: Room, guests: None, settings: Settings
) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [SHOP]
    browser = await browse()

    allowed = [
        f"{ALLOW}origin"
        in (await browser.get(ROOM, headers={"Origin": origin})).headers
        for origin in (OWN, SHOP, APP, EVIL)
    ]

    assert allowed == [True, True, False, False]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/connect", "OPTIONS, POST"),
        (ROOM, "GET, OPTIONS, POST"),
        (f"{ROOM}/1", "DELETE, OPTIONS, PATCH"),
        ("/ws/chat/general/", "GET, OPTIONS, POST"),
    ],
)
async def test_a_preflight_is_answered(
    browse: Browsers, listed: None, path: str, methods: str
) -> None:
    headers = {
        "Origin": APP,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, x-csrftoken",
    }
    answer = await (await browse()).options(path, headers=headers)

    assert (answer.status_code, answer.content) == (204, b"")
    found = cors_of(answer)
    assert found.pop(f"{ALLOW}headers").lower().split(", ") == [
        "authorization",
        "content-type",
        "headgate-guest",
        "last-event-id",
        "x-csrftoken",
    ]
    assert found == {
        f"{ALLOW}origin": APP,
        f"{ALLOW}credentials": "true",
        f"{ALLOW}methods": methods,
        "access-control-max-age": "600",
    }
    assert "origin" in varies(answer)


@pytest.mark.django_db(transaction=True)
async def test_a_preflight_makes_no_room_and_no_session(
    browse: Browsers, settings: Settings
) -> None:
    settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True}

    answer = await (await browse()).options("/ws/chat/new/", headers={"Origin": OWN})

    assert "set-cookie" not in answer.headers
    assert await Room.objects.acount() == 0


@pytest.mark.django_db(transaction=True)
async def test_a_page_elsewhere_connects_with_its_cookie(
    browse: Browsers, room: Room, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {"ALLOWED_ORIGINS": [APP]}
    browser = await browse(ada, headers={"Origin": APP})

    reads = await browser.get("/ws/chat/general/")
    writes = await browser.post(ROOM, json={"text": "hi"})
    settings.CSRF_TRUSTED_ORIGINS = [APP]
    now_writes = await browser.post(ROOM, json={"text": "hi"})

    assert reads.json()["user"]["id"] == f"u:{ada.pk}"
    # To write with a cookie it must be trusted by Django as well.
    assert (writes.status_code, now_writes.status_code) == (403, 201)
    assert cors_of(writes)[f"{ALLOW}origin"] == APP  # and can read why


def another_cors(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    """Do as django-cors-headers: set by name what it says, and join the `Vary`."""

    def middleware(request: HttpRequest) -> Any:
        response = get_response(request)
        response["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")
        response["Access-Control-Allow-Credentials"] = "true"
        patch_vary_headers(response, ("origin",))
        return response

    return middleware


@pytest.mark.django_db(transaction=True)
async def test_beside_a_middleware_for_it_nothing_is_said_twice(
    browse: Browsers, room: Room, listed: None, settings: Settings
) -> None:
    settings.MIDDLEWARE = [
        f"{__name__}.{another_cors.__name__}",
        *settings.MIDDLEWARE,
    ]
    app = with_chat(get_asgi_application())

    answer = await (await browse(app=app)).get(ROOM, headers={"Origin": APP})

    assert cors_of(answer)[f"{ALLOW}origin"] == APP
    assert varies(answer).count("origin") == 1


# --- the functions themselves, for what is no view ------------------------------


def scope(*origins: str, host: str = "app.example") -> dict[str, Any]:
    """Return an ASGI scope."""
    headers = [(b"host", host.encode())]
    headers += [(b"origin", origin.encode()) for origin in origins]
    return {"type": "http", "scheme": "https", "headers": headers}


def test_headers_of_a_plain_scope(listed: None) -> None:
    assert cors_headers(scope(APP)) == {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": EXPOSED,
    }


@pytest.mark.parametrize("origins", [(), (EVIL,), (APP, APP), (APP, EVIL)])
def test_none_or_two_origins_say_nothing(
    listed: None, origins: tuple[str, ...]
) -> None:
    assert cors_headers(scope(*origins)) == {"Vary": "Origin"}
    assert preflight_headers(scope(*origins), "GET") == {
        "Vary": "Origin",
        "Allow": "GET",
    }


def test_a_request_by_wsgi_has_what_a_scope_has(
    rf: RequestFactory, settings: Settings
) -> None:
    settings.HEADGATE = {}
    settings.ALLOWED_HOSTS = ["chat.example"]
    request = rf.get(
        "/",
        secure=True,
        headers={"Host": "chat.example", "Origin": "https://chat.example"},
    )

    found = cors_headers(scope_of(request))

    assert found["Access-Control-Allow-Origin"] == "https://chat.example"


@pytest.mark.django_db
def test_it_works_by_wsgi(client: Client, listed: None) -> None:
    answer = client.get("/api/v1/rooms", headers={"Origin": APP})

    assert answer["Access-Control-Allow-Origin"] == APP
