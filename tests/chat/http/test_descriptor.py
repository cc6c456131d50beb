"""An HTTP request to a view of the project connects the caller."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.test import Client, RequestFactory
from pytest_django import Settings
from rest_framework.authtoken.models import Token

import headgate
from headgate.asgi import with_chat
from headgate.chat.authenticators import NotAuthenticated
from headgate.chat.tickets import TicketRefused, redeem_ticket
from tests.chat.http.browsers import (
    CONNECT,
    Browsers,
    browse_fixture,  # noqa: F401
    descriptor_of,
)
from tests.chat.talker import guests_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True)]

BY_SESSION = [
    "function/7/",
    "async-function/7/",
    "class/7/",
    "async-class/7/",
    "whole-class/7/",
    "whole-async-class/7/",
    "ninja/session/7",
    "ninja/response/7",
]
BY_REST_TOKEN = ["above/7/", "below/7/", "rest/7/", "open-rest/7/"]
BY_NINJA_TOKEN = ["ninja/sync/7", "ninja/async/7", "ninja/above/7"]


def refusing(_: Any) -> None:
    """Refuse whoever comes, as an authenticator of a project."""
    raise NotAuthenticated


@pytest.fixture(autouse=True)
def project(settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.chat.http.connecting_urls"


async def answer_of(
    browse: Browsers, path: str, user: Any = None, **headers: str
) -> httpx.Response:
    """Return the answer to a GET."""
    browser = await browse(user, headers=headers, app=with_chat(get_asgi_application()))
    return await browser.get(f"/{path}")


async def holder_of(response: httpx.Response) -> str:
    """Return whose ticket is in an answer, which is not to be stored."""
    said = response.headers["cache-control"]
    assert "no-store" in said
    assert "private" in said
    exposed = response.headers["access-control-expose-headers"].split(", ")
    assert CONNECT in exposed
    found = descriptor_of(response)
    assert found["url"] == "ws://testserver/sub/ws/chat/"
    return (await redeem_ticket(found["ticket"])).key


# --- views of every kind -------------------------------------------------------


@pytest.mark.parametrize("path", BY_SESSION)
async def test_views_of_django_and_ninja_by_session(
    browse: Browsers, ada: User, path: str
) -> None:
    answer = await answer_of(browse, path, ada)

    assert answer.json() == {"said": True}
    assert descriptor_of(answer)["rooms"][0] == "order-7"
    assert await holder_of(answer) == f"u:{ada.pk}"


@pytest.mark.parametrize("path", BY_REST_TOKEN)
async def test_views_of_rest_framework_by_token(
    browse: Browsers, ada: User, path: str
) -> None:
    token = await Token.objects.acreate(user=ada)

    answer = await answer_of(browse, path, Authorization=f"Token {token.key}")

    assert answer.json() == {"said": True}
    assert descriptor_of(answer)["rooms"] == ["order-7"]
    assert await holder_of(answer) == f"u:{ada.pk}"


@pytest.mark.parametrize("path", BY_NINJA_TOKEN)
async def test_operations_of_ninja_with_its_auth(
    browse: Browsers, ada: User, path: str
) -> None:
    token = await Token.objects.acreate(user=ada)

    answer = await answer_of(browse, path, Authorization=f"Bearer {token.key}")

    assert answer.json() == {"said": True}
    assert descriptor_of(answer)["rooms"] == ["order-7"]
    assert await holder_of(answer) == f"u:{ada.pk}"


@pytest.mark.parametrize("path", [*BY_REST_TOKEN, *BY_NINJA_TOKEN])
async def test_the_views_own_authentication_wins_over_the_cookie(
    browse: Browsers, ada: User, grace: User, path: str
) -> None:
    token = await Token.objects.acreate(user=ada)
    kind = "Token" if path in BY_REST_TOKEN else "Bearer"

    answer = await answer_of(browse, path, grace, Authorization=f"{kind} {token.key}")

    assert await holder_of(answer) == f"u:{ada.pk}"


async def test_and_over_authenticators_that_know_nothing_of_it(
    browse: Browsers, ada: User, settings: Settings
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [f"{__name__}.{refusing.__name__}"]}
    token = await Token.objects.acreate(user=ada)

    by_token = await answer_of(browse, "rest/7/", Authorization=f"Token {token.key}")
    by_nothing = await answer_of(browse, "open-rest/7/")

    assert await holder_of(by_token) == f"u:{ada.pk}"
    assert CONNECT not in by_nothing.headers


@pytest.mark.parametrize("path", BY_SESSION)
def test_by_wsgi(client: Client, ada: User, path: str) -> None:
    client.force_login(ada)

    answer = client.get(f"/{path}")

    assert json.loads(answer[CONNECT])["rooms"][0] == "order-7"


@pytest.mark.django_db
def test_in_a_test_case(client: Client) -> None:
    # In one transaction, as a TestCase: what is written there is seen.
    ada = User.objects.create_user("ada")
    client.force_login(ada)

    assert CONNECT in client.get("/function/7/")
    assert CONNECT in client.get("/async-function/7/")


async def test_several_rooms(browse: Browsers, ada: User) -> None:
    answer = await answer_of(browse, "async-function/7/", ada)

    assert descriptor_of(answer)["rooms"] == ["order-7", "general"]


async def test_no_rooms(browse: Browsers, ada: User) -> None:
    assert descriptor_of(await answer_of(browse, "nowhere/", ada))["rooms"] == []


async def test_the_place_that_it_names_is_the_websockets(
    browse: Browsers, ada: User
) -> None:
    found = descriptor_of(await answer_of(browse, "function/7/", ada))
    path = found["url"].removeprefix("ws://testserver/")

    handshake = await answer_of(browse, path, Upgrade="websocket")

    assert handshake.status_code == 426  # the socket's view knows what was wanted
    assert found["protocol"] == "headgate.v1"
    assert found["ticket_expires_in_ms"] == 30_000


# --- who is not connected ------------------------------------------------------


@pytest.mark.parametrize("path", [*BY_SESSION, "open-rest/7/"])
async def test_nobody_is_not_connected(browse: Browsers, path: str) -> None:
    answer = await answer_of(browse, path)

    assert (answer.status_code, answer.json()) == (200, {"said": True})
    assert CONNECT not in answer.headers
    assert "cache-control" not in answer.headers
    assert "access-control-expose-headers" not in answer.headers


@pytest.mark.parametrize("path", [*BY_SESSION, "open-rest/7/"])
async def test_a_guest_is(browse: Browsers, guests: None, path: str) -> None:
    first = await answer_of(browse, path)
    token = descriptor_of(first)["guest"]

    again = await answer_of(browse, path, **{"Headgate-Guest": token})

    holder = await holder_of(first)
    assert holder.startswith("g:")
    assert await holder_of(again) == holder


@pytest.mark.parametrize("path", ["above/7/", "below/7/", "rest/7/", "ninja/sync/7"])
async def test_who_may_not_is_refused_as_before(browse: Browsers, path: str) -> None:
    answer = await answer_of(browse, path)

    assert answer.status_code == 401
    assert CONNECT not in answer.headers


@pytest.mark.parametrize("status", [400, 403, 404, 418, 500, 503])
async def test_bad_answers_stay_as_they_were(
    browse: Browsers, ada: User, status: int
) -> None:
    answer = await answer_of(browse, f"status/{status}/", ada)

    assert (answer.status_code, answer.content) == (status, b"as it was")
    assert CONNECT not in answer.headers
    assert "cache-control" not in answer.headers


@pytest.mark.parametrize("status", [200, 201, 204, 302, 303])
async def test_good_answers_connect(browse: Browsers, ada: User, status: int) -> None:
    answer = await answer_of(browse, f"status/{status}/", ada)

    assert answer.status_code == status
    assert await holder_of(answer) == f"u:{ada.pk}"


async def test_a_streamed_answer(browse: Browsers, ada: User) -> None:
    answer = await answer_of(browse, "streamed/", ada)

    assert answer.content == b"ab"
    assert await holder_of(answer) == f"u:{ada.pk}"


async def test_what_the_answer_said_of_itself_is_joined(
    browse: Browsers, ada: User
) -> None:
    answer = await answer_of(browse, "exposing/", ada)

    exposed = answer.headers["access-control-expose-headers"]
    assert exposed == f"X-Total, {CONNECT}"
    assert await holder_of(answer) == f"u:{ada.pk}"


async def test_decorated_twice_the_inner_one_counts(
    browse: Browsers, ada: User
) -> None:
    answer = await answer_of(browse, "twice/7/", ada)

    assert descriptor_of(answer)["rooms"] == ["inner"]
    assert len(answer.headers.get_list(CONNECT)) == 1


# --- mistakes ------------------------------------------------------------------


def test_a_template_that_names_no_argument_says_so(client: Client, ada: User) -> None:
    with pytest.raises(ValueError, match=r"names \{number\}.* arguments are: pk"):
        client.get("/misnamed/7/")


async def test_a_name_that_names_no_room_is_logged(
    browse: Browsers, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await answer_of(browse, "named/a b/", ada)

    assert (answer.status_code, CONNECT in answer.headers) == (200, False)
    assert "room_not_connected" in caplog.text


def test_on_what_is_no_view_it_says_so() -> None:
    @headgate.connects("general")
    def no_view() -> HttpResponse:
        return HttpResponse()

    with pytest.raises(TypeError, match="takes a request"):
        no_view()


def test_a_view_keeps_its_name_and_what_was_set_on_it() -> None:
    def view(request: Any) -> None:
        """Say what it does."""

    view.csrf_exempt = True  # type: ignore[attr-defined]
    decorated: Any = headgate.connects("general")(view)

    assert (decorated.__name__, decorated.__doc__) == ("view", "Say what it does.")
    assert decorated.csrf_exempt


# --- the function --------------------------------------------------------------


@pytest.mark.parametrize("path", ["described/", "async-described/"])
async def test_in_the_body_of_an_own_answer(
    browse: Browsers, ada: User, path: str
) -> None:
    said = (await answer_of(browse, path, ada)).json()

    assert said["rooms"] == ["general"]
    assert (await redeem_ticket(said["ticket"])).key == f"u:{ada.pk}"


def test_for_nobody_it_raises(rf: RequestFactory) -> None:
    with pytest.raises(NotAuthenticated, match="Sign in"):
        headgate.descriptor(rf.get("/"))


@pytest.mark.parametrize("room", ["a b", "", "-a", "a" * 65])
def test_a_name_that_names_no_room_raises(
    rf: RequestFactory, guests: None, room: str
) -> None:
    with pytest.raises(ValueError, match="names no room"):
        headgate.descriptor(rf.get("/"), [room])


def test_a_room_is_named_once(rf: RequestFactory, guests: None) -> None:
    assert headgate.descriptor(rf.get("/"), ["b", "a", "b"])["rooms"] == ["b", "a"]


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ({}, "ws://testserver/sub/ws/chat/"),
        ({"secure": True}, "wss://testserver/sub/ws/chat/"),
        ({"headers": {"Host": "[::1]:8000"}}, "ws://[::1]:8000/sub/ws/chat/"),
    ],
)
def test_the_url_is_as_the_client_sees_it(
    rf: RequestFactory,
    guests: None,
    settings: Settings,
    more: dict[str, Any],
    url: str,
) -> None:
    settings.ALLOWED_HOSTS = ["testserver", "[::1]"]

    assert headgate.descriptor(rf.get("/", **more))["url"] == url


async def test_behind_a_prefix_of_the_server(browse: Browsers, ada: User) -> None:
    app = with_chat(get_asgi_application())

    async def under_prefix(scope: Any, receive: Any, send: Any) -> None:
        path = f"/prefix{scope['path']}"
        await app({**scope, "root_path": "/prefix", "path": path}, receive, send)

    browser = await browse(ada, app=under_prefix)

    found = descriptor_of(await browser.get("/function/7/"))
    answer = await browser.get("/sub/ws/chat/")
    described = (await browser.get("/sub/api/v1/openapi.json")).json()

    assert found["url"] == "ws://testserver/prefix/sub/ws/chat/"
    assert answer.json()["url"] == "ws://testserver/prefix/sub/ws/chat/"
    assert "/prefix/sub/api/v1/rooms" in described["paths"]


def test_the_ticket_is_for_the_origin_of_the_page(
    rf: RequestFactory, guests: None
) -> None:
    page = {"Origin": "https://chat.example"}
    ticket = headgate.descriptor(rf.get("/", headers=page))["ticket"]

    with pytest.raises(TicketRefused):
        async_to_sync(redeem_ticket)(ticket, origin="https://evil.example")


async def test_nothing_is_logged_of_it(
    browse: Browsers, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")

    found = descriptor_of(await answer_of(browse, "function/7/", ada))

    assert caplog.records
    assert found["ticket"] not in caplog.text
