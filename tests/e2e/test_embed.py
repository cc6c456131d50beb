"""The example project from end to end: through nginx and TLS, on two workers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from headgate.client import Client, ClosedByServer
from headgate.protocol.pushes import Message
from tests.e2e.shop import Shop
from tests.steady import SteadyClock

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("needs_nginx")]

ACCOUNTS = """
from accounts.models import User
from rest_framework.authtoken.models import Token
for email, name, staff in [
    ("ada@example.com", "Ada", False),
    ("grace@example.com", "", False),
    ("boss@example.com", "The shop", True),
]:
    user = User.objects.create_user(
        email, "correct-horse", display_name=name, is_staff=staff
    )
    print(email, Token.objects.create(user=user).key)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The running example, with its accounts."""
    with Shop(tmp_path_factory.mktemp("shop")) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(shop: Shop) -> dict[str, str]:
    """The API tokens of the accounts, by their e-mail addresses."""
    lines = shop.manage("shell", "-v", "0", "-c", ACCOUNTS).splitlines()
    return dict(line.split() for line in lines if "@" in line)


def bearer(tokens: dict[str, str], name: str) -> dict[str, str]:
    return {"Authorization": f"Token {tokens[f'{name}@example.com']}"}


@contextlib.asynccontextmanager
async def browser(shop: Shop, name: str) -> AsyncIterator[httpx.AsyncClient]:
    """Sign in as a browser does, with e-mail address and password."""
    async with httpx.AsyncClient(
        base_url=shop.url,
        verify=shop.trust,
        follow_redirects=True,
        headers={"Referer": shop.url, "Origin": shop.origin},
        timeout=30,
    ) as client:
        await client.get("sign-in/")
        answer = await client.post(
            "sign-in/",
            data={
                "username": f"{name}@example.com",
                "password": "correct-horse",
                "csrfmiddlewaretoken": client.cookies["csrftoken"],
            },
        )
        assert answer.status_code == 200
        assert "sign-out" in answer.text
        yield client


async def new_order(shop: Shop, headers: dict[str, str]) -> int:
    async with httpx.AsyncClient(
        base_url=shop.url, verify=shop.trust, headers=headers, timeout=30
    ) as client:
        answer = await client.post("orders/", json={"what": "tea"})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["order"])


async def heard(client: Client, text: str) -> Message:
    """Return the message with a text, once it comes."""
    async with asyncio.timeout(60):
        async for push in client:
            if isinstance(push, Message) and push.text == text:
                return push
    raise AssertionError(f"{text!r} did not come")


async def test_a_post_connects_the_caller_to_the_orders_room(
    shop: Shop, tokens: dict[str, str]
) -> None:
    ada, boss = bearer(tokens, "ada"), bearer(tokens, "boss")
    order = await new_order(shop, ada)
    room = f"order-{order}"
    async with (
        Client(shop.url, ssl=shop.trust, headers=ada) as customer,
        Client(shop.url, ssl=shop.trust, headers=boss, rooms=[room]) as clerk,
    ):
        answer = await customer.http.post(
            f"orders/{order}/comment", json={"text": "When will it come?"}
        )
        assert answer.status_code == 201
        descriptor = json.loads(answer.headers["Headgate-Connect"])
        assert descriptor["url"] == shop.url.replace("https", "wss") + "ws/chat/"
        assert "no-store" in answer.headers["Cache-Control"]

        question = await heard(clerk, "When will it come?")
        assert question.author.name == "Ada"  # and not the e-mail address
        await clerk.send(room, "Tomorrow.")
        assert (await heard(customer, "Tomorrow.")).author.name == "The shop"

        # A Celery task writes in a third process.
        answer = await customer.http.post(f"orders/{order}/shipped")
        assert answer.status_code == 202
        told = await heard(customer, "Your order is on its way.")
        assert told.author.kind == "system"


async def test_both_workers_serve_one_chat(shop: Shop, tokens: dict[str, str]) -> None:
    assert len(shop.workers()) == 2
    ada = bearer(tokens, "ada")
    room = f"order-{await new_order(shop, ada)}"
    async with contextlib.AsyncExitStack() as open_clients:
        # With two workers that share a listener, some on each; no more than one person
        # may have open, in both together.
        clients = [
            await open_clients.enter_async_context(
                Client(shop.url, ssl=shop.trust, headers=ada, rooms=[room])
            )
            for _ in range(9)
        ]
        for number, client in enumerate(clients[:4]):
            await client.send(room, f"from {number}")
        for client in clients:
            assert (await heard(client, "from 3")).seq >= 4


async def test_a_ticket_is_good_once_on_whichever_worker(
    shop: Shop, tokens: dict[str, str]
) -> None:
    async with httpx.AsyncClient(
        base_url=shop.url, verify=shop.trust, headers=bearer(tokens, "ada"), timeout=30
    ) as client:
        answer = await client.post("api/v1/connect", json={"rooms": []})
        assert answer.status_code == 200, answer.text
    found = answer.json()

    async def attempt() -> dict[str, Any]:
        async with connect(
            found["url"], ssl=shop.trust, subprotocols=["headgate.v1"]
        ) as socket:
            await socket.send(json.dumps({"cmd": "hello", "ticket": found["ticket"]}))
            said: dict[str, Any] = json.loads(await socket.recv())
            return said

    said = await asyncio.gather(*[attempt() for _ in range(20)])
    assert sum(each.get("push") == "welcome" for each in said) == 1


async def test_signing_out_closes_the_connection(
    shop: Shop, tokens: dict[str, str], steady: SteadyClock
) -> None:
    async with browser(shop, "grace") as window:
        cookies = dict(window.cookies.items())
        async with contextlib.AsyncExitStack() as open_clients:
            # On both workers, so that one learns of it from the other.
            clients = [
                await open_clients.enter_async_context(
                    Client(shop.url, ssl=shop.trust, cookies=cookies)
                )
                for _ in range(8)
            ]
            assert clients[0].user is not None
            assert clients[0].user.name.startswith("Customer ")
            answer = await window.post(
                "sign-out/",
                data={"csrfmiddlewaretoken": window.cookies["csrftoken"]},
            )
            assert answer.status_code == 200
            began = time.monotonic()
            for client in clients:
                with pytest.raises(ClosedByServer):
                    await heard(client, "what nobody says")
            assert steady.since(began) < 10


async def test_the_stream_passes_nginx_as_it_comes(
    shop: Shop, tokens: dict[str, str]
) -> None:
    ada = bearer(tokens, "ada")
    order = await new_order(shop, ada)
    async with (
        httpx.AsyncClient(
            base_url=shop.url, verify=shop.trust, headers=ada, timeout=30
        ) as client,
        client.stream("GET", f"api/v1/stream?rooms=order-{order}") as stream,
    ):
        assert stream.status_code == 200
        lines = stream.aiter_lines()
        async with asyncio.timeout(60):
            async for line in lines:
                if line == "event: welcome":
                    break
            await client.post(f"orders/{order}/comment", json={"text": "hello, stream"})
            async for line in lines:
                if "hello, stream" in line:
                    break


async def test_a_page_of_another_host_may_connect_if_it_is_listed(
    shop: Shop, tokens: dict[str, str]
) -> None:
    async with httpx.AsyncClient(
        base_url=shop.url, verify=shop.trust, headers=bearer(tokens, "ada"), timeout=30
    ) as client:
        listed = {"Origin": "https://app.example"}
        preflight = await client.options(
            "api/v1/connect",
            headers=listed
            | {
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,content-type",
            },
        )
        assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example"
        answer = await client.post("api/v1/connect", json={}, headers=listed)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        foreign = await client.post(
            "api/v1/connect", json={}, headers={"Origin": "https://evil.example"}
        )
        assert "Access-Control-Allow-Origin" not in foreign.headers
    found = answer.json()
    async with connect(
        found["url"],
        ssl=shop.trust,
        origin="https://app.example",  # type: ignore[arg-type]
        subprotocols=["headgate.v1"],
    ) as socket:
        await socket.send(json.dumps({"cmd": "hello", "ticket": found["ticket"]}))
        assert json.loads(await socket.recv())["user"]["name"] == "Ada"


async def test_the_page_works_under_the_prefix_in_german(
    shop: Shop, tokens: dict[str, str]
) -> None:
    async with browser(shop, "ada") as window:
        order = await new_order(shop, bearer(tokens, "ada"))
        page = await window.get(
            f"chat/order-{order}/", headers={"Accept-Language": "de"}
        )
        assert page.status_code == 200
        assets = re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css|svg))"', page.text)
        assert assets
        for asset in assets:
            assert asset.startswith("/sub/")
            assert (await window.get(shop.origin + asset)).status_code == 200
        assert "/sub/ws/chat/" in page.text


async def test_the_page_of_an_order_has_its_chat(
    shop: Shop, tokens: dict[str, str]
) -> None:
    order = await new_order(shop, bearer(tokens, "ada"))
    async with browser(shop, "ada") as window:
        page = await window.get(f"orders/{order}/")
        assert page.status_code == 200
        found = re.search(r'<headgate-chat room="(.*?)" bootstrap="(.*?)"', page.text)
        assert found
        assert found.groups() == (f"order-{order}", "/sub/api/v1/connect")
        assets = re.findall(r'(?:src|href)="(/[^"]+\.(?:js|css))"', page.text)
        assert len(assets) == 2
        for asset in assets:
            assert (await window.get(shop.origin + asset)).status_code == 200
        # As the script does with what the page says.
        answer = await window.post(
            shop.origin + found[2],
            json={"rooms": [found[1]]},
            headers={"X-CSRFToken": window.cookies["csrftoken"]},
        )
        assert answer.status_code == 200
        assert answer.json()["rooms"] == [f"order-{order}"]
    async with browser(shop, "grace") as window:
        assert (await window.get(f"orders/{order}/")).status_code == 404


def test_the_old_chat_is_brought_in(shop: Shop, tokens: dict[str, str]) -> None:
    shop.manage(
        "shell",
        "-c",
        "from datetime import timedelta\n"
        "from django.utils import timezone\n"
        "from accounts.models import User\n"
        "from chat.models import Messages\n"
        "ada = User.objects.get(email='ada@example.com')\n"
        "for n in range(30):\n"
        "    at = timezone.now() - timedelta(days=30 - n)\n"
        "    Messages.objects.create(\n"
        "        chat_id='tea-lovers', user=ada, message=f'old {n}', created=at)\n",
    )
    command = [
        *("headgate", "import", "--model", "chat.Messages"),
        *("--room-field", "chat_id", "--text-field", "message"),
        *("--author-field", "user", "--at-field", "created"),
    ]
    shop.manage(*command)
    shop.manage(*command)  # adds nothing
    found = shop.manage(
        "shell",
        "-v",
        "0",
        "-c",
        "from headgate.chat.models import Message\n"
        "rows = Message.objects.filter(room__slug='tea-lovers').order_by('seq')\n"
        "print([(m.seq, m.text) for m in rows])\n"
        "print(all(a.at < b.at for a, b in zip(rows, rows[1:])))\n",
    )
    assert str([(n + 1, f"old {n}") for n in range(30)]) in found
    assert "True" in found


def test_no_secret_is_in_a_log(shop: Shop, tokens: dict[str, str]) -> None:
    logs = "".join(
        log.read_text(encoding="utf-8", errors="replace")
        for log in Path(shop.folder).glob("*.log")
    )
    for token in tokens.values():
        assert token not in logs
    assert "ticket" not in logs
