"""An HTTP request connects the caller: `client.http` against a project as people have.

Ada is a user; order 7 is hers, and only its members may join the room. Everybody may
join that of order 8. `headgate serve --app` serves it, with guests and without.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from headgate.client import Client, ClosedByServer
from headgate.protocol.pushes import Message
from tests.small_project import ProjectServer, SmallProject

LIMIT_SECONDS = 30.0
PASSWORD = "correct horse battery staple"
PAGE = Path(__file__).parents[2] / "docs/how-to/python-client.md"
HEADGATE = Path(sys.executable).with_name("headgate")

SETTINGS = """
import os

INSTALLED_APPS += ["rest_framework", "rest_framework.authtoken"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
HEADGATE = {
    "GUESTS": os.environ["SHOP_GUESTS"] == "yes",
    "THROTTLING_ENABLED": False,
}
"""

VIEWS = """
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.http import HttpResponse, JsonResponse
from rest_framework.authentication import TokenAuthentication
from rest_framework.decorators import (
    api_view, authentication_classes, permission_classes,
)
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
import json

import headgate
from headgate.chat.people import SYSTEM


def write(request, pk, text):
    author = request.user if request.user.is_authenticated else SYSTEM
    sent = headgate.send_message(f"order-{pk}", author, text)
    return {"seq": sent.seq}


@headgate.connects("order-{pk}")
def comment(request, pk):
    text = json.loads(request.body)["text"]
    return JsonResponse(write(request, pk, text), status=201)


@headgate.connects("order-{pk}")
async def async_comment(request, pk):
    text = json.loads(request.body)["text"]
    return JsonResponse(await sync_to_async(write)(request, pk, text), status=201)


@headgate.connects("order-{pk}")
@api_view(["POST"])
@authentication_classes([TokenAuthentication])
@permission_classes([IsAuthenticated])
def api_comment(request, pk):
    return Response(write(request, pk, request.data["text"]), status=201)


class Comment(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

    @headgate.connects("order-{pk}")
    def post(self, request, pk):
        return Response(write(request, pk, request.data["text"]), status=201)


def quiet(request, pk):
    ada = get_user_model().objects.get()
    headgate.send_message(f"order-{pk}", ada, "From elsewhere.")
    return JsonResponse({}, status=201)
"""

URLS = """
from django.contrib import admin
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from app import views

urlpatterns = [
    path("orders/<int:pk>/comment", views.comment),
    path("orders/<int:pk>/async-comment", views.async_comment),
    path("api/orders/<int:pk>/comment", views.api_comment),
    path("api/orders/<int:pk>/class-comment", views.Comment.as_view()),
    path("orders/<int:pk>/quiet", csrf_exempt(views.quiet)),
    path("admin/", admin.site.urls),
    path("", include("headgate.urls")),
]
"""

MAKE = f"""
from django.contrib.auth import get_user_model
from rest_framework.authtoken.models import Token
from headgate.chat.models import Member, Room

ada = get_user_model().objects.create(email="ada@example.com", full_name="Ada")
ada.set_password({PASSWORD!r})
ada.save()
Room.objects.create(slug="order-8", title="Order 8")
room = Room.objects.create(slug="order-7", title="Order 7", kind=Room.Kind.GROUP)
Member.objects.create(room=room, author_key=f"u:{{ada.pk}}")
found = Token.objects.create(user=ada).key
"""


class Shop:
    """The project's two servers, on one database; `token` is Ada's."""

    def __init__(self, project: SmallProject, stack: ExitStack) -> None:
        self.token = str(project.shell(MAKE))
        self.servers = {
            guests: ProjectServer(
                project,
                [
                    *("env", f"SHOP_GUESTS={guests}", HEADGATE, "serve"),
                    *("--app", "mysite.asgi:application"),
                ],
            )
            for guests in ("yes", "no")
        }
        for server in self.servers.values():
            stack.callback(_end, server)
            server.start()

    def url(self, guests: str = "no") -> str:
        return self.servers[guests].url

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("SHOP_GUESTS", "yes")
        project = SmallProject(tmp_path_factory.mktemp("shop"))
        project.add("mysite/settings.py", SETTINGS)
        project.write("mysite/urls.py", URLS)
        project.write("app/views.py", VIEWS)
        project.manage("makemigrations", "people", "app", code=0)
        project.manage("migrate", code=0)
        yield Shop(project, stack)


def _end(server: ProjectServer) -> None:
    try:
        if server.running:
            server.stop()
    finally:
        sys.stderr.write(server.stderr)


async def sign_in(url: str) -> dict[str, str]:
    """Return Ada's session cookie."""
    visitor = Client(url)
    form = {"username": "ada@example.com", "password": PASSWORD}
    answer = await visitor.http.post("/sign-in/", data=form)
    assert answer.status_code == 302, answer.text
    session = answer.cookies["sessionid"]
    await visitor.close()
    return {"sessionid": session}


async def message(client: Client) -> Message:
    async with asyncio.timeout(LIMIT_SECONDS):
        async for push in client:
            if isinstance(push, Message):
                return push
    raise AssertionError("the client has ended")


async def is_in_room(client: Client, url: str, pk: int) -> None:
    """Whatever is said in the order's room now reaches the client."""
    async with Client(url) as other:
        said = await other.http.post(f"/orders/{pk}/quiet")
        assert said.status_code == 201
    heard = await message(client)
    assert (heard.room, heard.text) == (f"order-{pk}", "From elsewhere.")


async def cut(client: Client) -> None:
    """End the connection as if the network were gone."""
    connection = client._link._connection
    assert connection is not None
    connection._socket.transport.abort()
    await connection._socket.wait_closed()


async def back(client: Client) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        await client.history("order-8", limit=1)


DJANGO = ["/orders/{}/comment", "/orders/{}/async-comment"]
FRAMEWORK = ["/api/orders/{}/comment", "/api/orders/{}/class-comment"]


@pytest.mark.parametrize("guests", ["yes", "no"])
@pytest.mark.parametrize("path", DJANGO)
async def test_a_session_cookie(shop: Shop, guests: str, path: str) -> None:
    url = shop.url(guests)
    async with Client(url, cookies=await sign_in(url)) as client:
        assert client.user is not None
        answer = await client.http.post(path.format(7), json={"text": "Where is it?"})
        assert answer.status_code == 201, answer.text
        assert client.user.name == "Ada"
        await is_in_room(client, url, 7)


@pytest.mark.parametrize("guests", ["yes", "no"])
@pytest.mark.parametrize("path", FRAMEWORK)
async def test_a_token_that_only_the_view_knows(
    shop: Shop, guests: str, path: str
) -> None:
    url = shop.url(guests)
    async with Client(url, headers=shop.bearer) as client:
        kind = client.user.kind if client.user else None
        assert kind == ("guest" if guests == "yes" else None)
        answer = await client.http.post(path.format(7), json={"text": "Where is it?"})
        assert answer.status_code == 201, answer.text
        assert client.user is not None
        assert client.user.name == "Ada"
        await is_in_room(client, url, 7)


@pytest.mark.parametrize("path", DJANGO)
async def test_a_guest(shop: Shop, path: str) -> None:
    url = shop.url("yes")
    async with Client(url, name="Gus") as client:
        user, guest = client.user, client.guest
        assert user is not None
        answer = await client.http.post(path.format(8), json={"text": "Is it open?"})
        assert answer.status_code == 201, answer.text
        assert (client.user, client.guest) == (user, guest)
        await is_in_room(client, url, 8)

    again = Client(url, guest=guest)
    await again.http.post(path.format(8), json={"text": "And now?"})
    assert again.user == user
    await is_in_room(again, url, 8)
    await again.close()


async def test_a_client_that_was_never_opened(shop: Shop) -> None:
    url = shop.url("yes")
    client = Client(url)
    await client.http.post("/orders/8/comment", json={"text": "Is it open?"})
    assert client.user is not None
    assert client.user.kind == "guest"
    assert client.guest is not None
    await is_in_room(client, url, 8)
    await client.close()


async def test_a_room_that_is_not_theirs_stays_closed(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    url = shop.url("yes")
    async with Client(url) as client:
        answer = await client.http.post("/orders/7/comment", json={"text": "Let me in"})
        assert answer.status_code == 201
        assert "room 'order-7'" in caplog.text
        await client.ping()


async def test_a_cut_connection_comes_back_by_its_ticket(shop: Shop) -> None:
    """Nothing else would: neither the WebSocket nor the API knows the token."""
    url = shop.url("no")
    path = "/api/orders/7/comment"
    async with Client(url, headers=shop.bearer) as client:
        await client.http.post(path, json={"text": "Where is it?"})
        ada = client.user
        api = await client.http.post("/api/v1/connect", json={})
        assert api.status_code == 401
        for text in ("first", "second"):
            await cut(client)
            assert (await client.http.post(path, json={"text": text})).is_success
            heard = await message(client)
            assert (heard.text, heard.author.id) == (text, ada.id if ada else "")
        assert client.user == ada


async def test_so_it_does_after_a_restart_of_the_server(shop: Shop) -> None:
    url = shop.url("no")
    async with Client(url, headers=shop.bearer, max_backoff_seconds=1.0) as client:
        await client.http.post("/api/orders/7/comment", json={"text": "Where is it?"})
        ada = client.user
        await asyncio.to_thread(shop.servers["no"].restart)
        await back(client)
        assert client.user == ada
        await is_in_room(client, url, 7)


async def test_without_any_ticket_it_is_the_end(shop: Shop) -> None:
    async with Client(shop.url("no"), headers=shop.bearer) as client:
        await client.http.post("/api/orders/7/comment", json={"text": "Where is it?"})
        client._link.identity.forget_ticket()
        await cut(client)
        with pytest.raises(ClosedByServer, match="Sign in first"):
            await message(client)


async def test_a_used_ticket_leaves_the_cookie(shop: Shop) -> None:
    url = shop.url("no")
    async with Client(url, cookies=await sign_in(url), rooms=["order-7"]) as client:
        ada, identity = client.user, client._link.identity
        await cut(client)
        await back(client)
        ticket = identity._ticket
        await cut(client)
        await back(client)
        identity._ticket = ticket
        await cut(client)
        await back(client)
        assert client.user == ada
        await is_in_room(client, url, 7)


async def test_signing_in_over_http_and_then_joining(shop: Shop) -> None:
    """The answer does not connect: the cookie that it sets does."""
    url = shop.url("no")
    async with Client(url) as client:
        assert client.user is None
        form = {"username": "ada@example.com", "password": PASSWORD}
        assert (await client.http.post("/sign-in/", data=form)).status_code == 302
        await client.join("order-7")
        assert client.user is not None
        assert client.user.name == "Ada"
        await is_in_room(client, url, 7)


async def test_a_descriptor_in_a_body(shop: Shop) -> None:
    url = shop.url("no")
    async with Client(url, cookies=await sign_in(url)) as client:
        body = {"rooms": ["order-7", "order-8"]}
        answer = await client.http.post("/api/v1/connect", json=body)
        assert answer.status_code == 200, answer.text
        await client.attach(answer.json())
        await is_in_room(client, url, 7)
        await is_in_room(client, url, 8)


async def test_the_example_of_the_documentation(shop: Shop) -> None:
    url = shop.url("no")
    session = (await sign_in(url))["sessionid"]
    blocks = PAGE.read_text().split("```python\n")[1:]
    (code,) = (each.split("```")[0] for each in blocks if "client.http.post" in each)
    code = code.replace("http://127.0.0.1:8000", url)
    code = code.replace("the value of your cookie", session)
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", code, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(LIMIT_SECONDS), Client(url) as other:
        assert running.stdout is not None
        said = asyncio.ensure_future(running.stdout.readline())
        while not said.done():  # until it is in the room
            await other.http.post("/orders/7/quiet")
            await asyncio.wait([said], timeout=0.2)
        assert await said == b"Ada in order-7 says: From elsewhere.\n"
        assert await running.wait() == 0


async def test_as_django_sees_it_under_https(shop: Shop) -> None:
    """It wants an Origin or a Referer of its own with each request that changes."""
    url = shop.url("no")
    secure = {
        "headers": {"X-Forwarded-Proto": "https"},
        "origin": url.replace("http://", "https://"),
    }
    cookies = await sign_in(url)
    async with Client(url, cookies=cookies, **secure) as client:
        answer = await client.http.post("/orders/7/comment", json={"text": "Safe?"})
        assert answer.status_code == 201, answer.text
        assert '"wss://' in answer.headers["Headgate-Connect"]
        await is_in_room(client, url, 7)

    wrong: dict[str, Any] = secure | {"origin": "https://evil.example"}
    stranger = Client(url, cookies=cookies, **wrong)
    answer = await stranger.http.post("/orders/7/comment", json={"text": "Safe?"})
    assert answer.status_code == 403
    await stranger.close()


async def test_no_ticket_is_in_a_log_or_a_url(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Client(shop.url("no"), headers=shop.bearer) as client:
        answer = await client.http.post(
            "/api/orders/7/comment", json={"text": "Where is it?"}
        )
        tickets = [json.loads(answer.headers["Headgate-Connect"])["ticket"]]
        for _ in range(2):
            kept = client._link.identity._ticket
            assert kept is not None
            tickets.append(kept.value)
            await cut(client)
            await back(client)
    said = "\n".join(record.getMessage() for record in caplog.records)
    said += shop.servers["no"].stderr + shop.servers["no"].stdout
    assert "headers left out" in said
    for secret in (*tickets, shop.token):
        assert secret
        assert secret not in said
