"""Who a request comes from, whatever the project puts before its views."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import User
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory
from django.utils.functional import SimpleLazyObject
from pytest_django import Settings

from headgate.asgi import with_chat
from headgate.chat.access import session_digest
from headgate.chat.identity import Identity, guest, identity_of_request, renamed
from headgate.chat.people import actor_for, guest_token, new_guest
from headgate.chat.tickets import TicketRefused, redeem_ticket
from tests.chat.http.browsers import Browsers, browse_fixture, session_of  # noqa: F401
from tests.chat.talker import guests_fixture, in_thread  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SESSIONS = "django.contrib.sessions.middleware.SessionMiddleware"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
USERS = "django.contrib.auth.middleware.AuthenticationMiddleware"


def sync_only(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    """Be a middleware as most projects have one: sync, and with a look at the user."""

    def middleware(request: HttpRequest) -> Any:
        assert threading.current_thread() is not threading.main_thread()
        _ = request.user.is_authenticated
        return get_response(request)

    return middleware


def users_by_header(get_response: Callable[[HttpRequest], Any]) -> Callable[..., Any]:
    """Be a middleware that knows users by a header, and looks them up when asked."""

    def middleware(request: HttpRequest) -> Any:
        name = request.headers.get("X-User")
        if name is not None:
            # As JWT middlewares do it: an object that asks the database when used.
            request.user = SimpleLazyObject(  # type: ignore[assignment]
                lambda: User.objects.get(username=name)
            )
        return get_response(request)

    return middleware


def request_of(**headers: str) -> HttpRequest:
    """Return a request that no middleware has seen."""
    return AsyncRequestFactory().get("/", headers=headers)


async def who(browse: Browsers, user: Any = None, **more: Any) -> str:
    """Return the id of whom a new application sees."""
    app = with_chat(get_asgi_application())  # with the middleware as it is set now
    browser = await browse(user, app=app, **more)
    answer = await browser.post("/api/v1/connect", json={})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["user"]["id"])


async def test_a_cookie(browse: Browsers, ada: User) -> None:
    assert await who(browse, ada) == f"u:{ada.pk}"


async def test_a_sync_middleware_in_between(
    browse: Browsers, ada: User, settings: Settings
) -> None:
    settings.MIDDLEWARE = [SESSIONS, CSRF, USERS, f"{__name__}.{sync_only.__name__}"]

    assert await who(browse, ada) == f"u:{ada.pk}"


async def test_a_middleware_that_knows_users_by_other_means(
    browse: Browsers, ada: User, grace: User, settings: Settings
) -> None:
    settings.MIDDLEWARE = [
        SESSIONS,
        CSRF,
        USERS,
        f"{__name__}.{users_by_header.__name__}",
    ]
    by_header = {"X-User": "grace"}

    assert await who(browse, ada) == f"u:{ada.pk}"
    assert await who(browse, ada, headers=by_header) == f"u:{grace.pk}"
    assert await who(browse, headers=by_header) == f"u:{grace.pk}"


async def test_without_middleware_all_are_guests(
    browse: Browsers, ada: User, settings: Settings, guests: None
) -> None:
    settings.MIDDLEWARE = []

    assert (await who(browse, ada)).startswith("g:")


async def test_a_session_that_is_gone(
    browse: Browsers, ada: User, guests: None
) -> None:
    browser = await browse(ada)
    browser.cookies.set("sessionid", "nothing-of-ours")

    answer = await browser.post("/api/v1/connect", json={})

    assert answer.json()["user"]["kind"] == "guest"


async def test_an_account_that_is_not_active(
    browse: Browsers, ada: User, guests: None
) -> None:
    browser = await browse(ada)
    ada.is_active = False
    await ada.asave()

    answer = await browser.post("/api/v1/connect", json={})

    assert answer.json()["user"]["kind"] == "guest"


async def test_the_session_is_named_by_its_digest(
    chat: None, ada: User, settings: Settings
) -> None:
    key = await in_thread(session_of, ada)
    seen: list[Identity | None] = []

    async def view(request: HttpRequest) -> Any:
        seen.append(await identity_of_request(request))
        return HttpResponse()

    request = request_of()
    request.COOKIES["sessionid"] = key
    await SessionMiddleware(AuthenticationMiddleware(view))(request)

    (found,) = seen
    assert found is not None
    assert (found.by, found.actor.user) == ("cookie", ada)
    assert found.actor.session == session_digest(key)
    assert key not in repr(found)


async def test_a_session_of_an_older_secret_is_named_by_its_new_key(
    browse: Browsers, ada: User, settings: Settings
) -> None:
    browser = await browse(ada)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"

    first = await browser.post("/api/v1/connect", json={})
    await browser.post("/sign-out/")  # with the cookie that the first answer set

    assert first.cookies["sessionid"]
    with pytest.raises(TicketRefused):
        await redeem_ticket(first.json()["ticket"])


# --- guests --------------------------------------------------------------------


async def test_where_guests_are_not_taken_there_is_nobody(chat: None) -> None:
    assert await identity_of_request(request_of()) is None
    assert guest(None) is None


async def test_a_guest_comes_back(chat: None, guests: None) -> None:
    zoe = new_guest("Zoe")

    found = await identity_of_request(
        request_of(**{"Headgate-Guest": guest_token(zoe)})
    )

    assert found == Identity(zoe, "guest")


@pytest.mark.parametrize("token", ["", "x", "a:b:c", "ü", "." * 5000])
async def test_a_token_that_is_none_makes_a_new_guest(
    chat: None, guests: None, token: str
) -> None:
    found = await identity_of_request(request_of(**{"Headgate-Guest": token}))

    assert found is not None
    assert (found.by, found.actor.user) == ("guest", None)


async def test_a_guest_takes_a_name(browse: Browsers, guests: None) -> None:
    browser = await browse()

    first = (await browser.post("/api/v1/connect", json={"name": "Zoe"})).json()
    headers = {"Headgate-Guest": first["guest"]}
    again = await browser.post("/api/v1/connect", json={}, headers=headers)
    other = await browser.post(
        "/api/v1/connect", json={"name": "Zora"}, headers=headers
    )

    assert first["user"]["name"] == "Zoe"
    assert again.json()["user"] == first["user"]
    assert other.json()["user"] == first["user"] | {"name": "Zora"}


async def test_whoever_has_an_account_takes_no_name(
    browse: Browsers, ada: User
) -> None:
    browser = await browse(ada)

    said = (await browser.post("/api/v1/connect", json={"name": "Zoe"})).json()

    assert said["user"]["name"] == "Ada Lovelace"
    assert "guest" not in said


def test_nobody_is_renamed_but_guests(ada: User) -> None:
    zoe = Identity(new_guest("Zoe"), "guest")
    known = Identity(actor_for(ada), "cookie")

    assert renamed(known, "Zoe") == known
    assert renamed(zoe, None) == zoe
    assert renamed(zoe, "Zora").actor.name == "Zora"
    assert renamed(zoe, "Zora").actor.key == zoe.actor.key


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"name": ""}', "name"),
        ('{"name": 5}', "name"),
        ('{"name": "' + "x" * 41 + '"}', "name"),
        ('{"rooms": "general"}', "rooms"),
        ('{"rooms": null}', "rooms"),
        ('{"rooms": [5]}', "rooms"),
        ('{"rooms": ["a b"]}', "rooms"),
        ('{"rooms": ["a\\u0000"]}', "rooms"),
        ('{"rooms": [' + ",".join(['"a"'] * 101) + "]}", "rooms"),
        ("[]", None),
        ("nonsense", None),
    ],
)
async def test_what_connect_does_not_take(
    browse: Browsers, guests: None, body: str, field: str | None
) -> None:
    refused = await (await browse()).post(
        "/api/v1/connect", content=body, headers={"Content-Type": "application/json"}
    )

    assert refused.status_code == 400
    assert refused.json().get("field") == field


async def test_rooms_are_named_once(browse: Browsers, guests: None) -> None:
    answer = await (await browse()).post(
        "/api/v1/connect", json={"rooms": ["b", "a", "b"]}
    )

    assert answer.json()["rooms"] == ["b", "a"]


async def test_what_connect_does_not_know_is_ignored(
    browse: Browsers, guests: None
) -> None:
    more = {"pending": [], "resume": 5, "ticket": 7, "cmd": "leave", "id": "x"}

    answer = await (await browse()).post("/api/v1/connect", json=more | {"name": "Zoe"})

    assert answer.json()["user"]["name"] == "Zoe"
