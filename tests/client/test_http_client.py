"""What requests carry, and where to, and what becomes of answers that connect."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from typing import Any

import httpx2
import pytest

from headgate.client import Client, ClientClosed
from headgate.protocol.codes import Code
from tests.client.conftest import Visit
from tests.client.model_server import LIMIT_SECONDS, ModelServer, refusal
from tests.client.model_site import ADA, Answer, ModelSite

COMMENT = "/orders/7/comment"


async def test_an_answer_leaves_the_client_in_the_room(
    site: ModelSite, visit: Visit
) -> None:
    ada = await visit(headers={"Authorization": "Token 1"})
    found = site.descriptor(ada.client.user, "order-7")
    site.connect(COMMENT, found)

    answer = await ada.client.http.post(COMMENT, json={"text": "Where is it?"})

    assert isinstance(answer, httpx2.Response)
    assert answer.status_code == 201
    assert site.asked[0].body == b'{"text":"Where is it?"}'
    assert site.chat.peers[0].rooms == {"order-7"}
    site.chat.write("order-7", "On its way.")
    assert [push.text for push in await ada.read(1)] == ["On its way."]
    assert site.chat.presented() == [None]


async def test_a_request_says_who_asks(site: ModelSite, visit: Visit) -> None:
    ada = await visit(
        cookies={"sessionid": "s-1"},
        headers={"Authorization": "Token 1", "User-Agent": "bot/1"},
    )
    await ada.client.http.post("/a")
    await ada.client.http.get("/b")

    posted, got = site.asked
    assert posted.cookies["sessionid"] == got.cookies["sessionid"] == "s-1"
    for asked in (posted, got):
        assert asked.headers["authorization"] == "Token 1"
        assert asked.headers["headgate-guest"] == ada.client.guest
        assert asked.headers["user-agent"] == "bot/1"
    assert posted.headers["origin"] == site.url
    assert "origin" not in got.headers
    handshake = site.chat.requests[0].headers
    assert handshake["Origin"] == site.url
    assert handshake["Authorization"] == "Token 1"
    assert handshake["Cookie"] == "sessionid=s-1"


async def test_what_a_caller_sets_counts(site: ModelSite, visit: Visit) -> None:
    ada = await visit(headers={"Authorization": "Token 1"})
    mine = {"Authorization": "Token 2", "X-CSRFToken": "t", "Origin": "http://o"}
    await ada.client.http.post("/a", headers=mine)
    await ada.client.http.post("/a", auth=("u", "p"))

    first, second = site.asked
    assert first.headers["authorization"] == "Token 2"
    assert first.headers["x-csrftoken"] == "t"
    assert first.headers["origin"] == "http://o"
    assert second.headers["authorization"].startswith("Basic ")


async def test_csrf_without_a_page_before(site: ModelSite, visit: Visit) -> None:
    ada = await visit()
    await ada.client.http.get("/a")
    assert "x-csrftoken" not in site.asked[0].headers
    assert site.asked[0].cookies == {}
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        await ada.client.http.request(method, "/a")

    tokens = {asked.headers["x-csrftoken"] for asked in site.asked[1:]}
    assert tokens == {asked.cookies["csrftoken"] for asked in site.asked[1:]}
    (token,) = tokens
    assert (len(token), token.isalnum()) == (32, True)


async def test_csrf_with_the_cookie_of_the_server(
    site: ModelSite, visit: Visit
) -> None:
    ada = await visit(cookies={"csrftoken": "old"})
    site.answers["/page"].append(Answer(headers={"Set-Cookie": "csrftoken=new;Path=/"}))
    for method, path in (("POST", "/a"), ("GET", "/page"), ("POST", "/a")):
        await ada.client.http.request(method, path)

    seen = [
        (asked.headers["x-csrftoken"], asked.cookies["csrftoken"])
        for asked in site.asked_for("/a")
    ]
    assert seen == [("old", "old"), ("new", "new")]


async def test_cookies_that_an_answer_sets_go_with_the_next_handshake(
    site: ModelSite, visit: Visit
) -> None:
    ada = await visit(rooms=["a"], cookies={"sessionid": "old"})
    cookie = "sessionid=new; Path=/; HttpOnly; SameSite=Lax"
    site.answers["/password"].append(Answer(headers={"Set-Cookie": cookie}))
    await ada.client.http.get("/password")
    site.chat.cut_all()
    await site.chat.until(lambda: len(site.chat.requests) == 2)

    cookies = [request.headers["Cookie"] for request in site.chat.requests]
    assert cookies == ["sessionid=old", "sessionid=new"]


async def test_another_server_gets_nothing_and_connects_nobody(
    site: ModelSite, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await visit(
        cookies={"sessionid": "secret-s"}, headers={"X-Api-Key": "secret-k"}
    )
    async with ModelSite() as other:
        elsewhere = other.url.replace("127.0.0.1", "localhost") + "/a"
        other.connect("/a", site.descriptor(ada.client.user, "order-7"))
        await ada.client.http.post(elsewhere)
        moved = Answer(307, {"Location": elsewhere})
        site.answers["/moved"].append(moved)
        await ada.client.http.post("/moved", follow_redirects=True)

        assert len(other.asked) == 2
        for asked in other.asked:
            assert asked.cookies == {}
            assert not {"x-api-key", "headgate-guest", "x-csrftoken", "origin"} & set(
                asked.headers
            )
    assert site.asked[0].headers["x-api-key"] == "secret-k"
    assert site.chat.peers[0].rooms == set()
    assert "Not connected by the answer of localhost" in caplog.text
    assert "secret" not in caplog.text


async def test_a_descriptor_of_another_host_is_not_followed(
    site: ModelSite, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await visit()
    url = "ws://evil.example/ws/chat/"
    site.connect(COMMENT, site.descriptor(ADA, "order-7", url=url))

    assert (await ada.client.http.post(COMMENT)).status_code == 201

    assert site.chat.peers[0].rooms == set()
    assert "names the host 'evil.example'" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("header", ["secret", "{}", '{"ticket": "secret"}'])
async def test_nor_is_what_is_none(
    site: ModelSite, visit: Visit, caplog: pytest.LogCaptureFixture, header: str
) -> None:
    ada = await visit()
    site.answers[COMMENT].append(Answer(headers={"Headgate-Connect": header}))
    assert (await ada.client.http.post(COMMENT)).status_code == 200
    assert f"Not connected by the answer of {COMMENT}" in caplog.text
    assert "secret" not in caplog.text


async def test_a_room_that_is_not_for_us_costs_no_answer(
    site: ModelSite, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await visit()
    site.chat.refused["order-7"] = refusal(Code.NOT_FOUND)
    site.connect(COMMENT, site.descriptor(ada.client.user, "order-7"))

    assert (await ada.client.http.post(COMMENT)).status_code == 201

    assert "room 'order-7'" in caplog.text
    assert await ada.client.ping() >= 0


async def test_an_answer_does_not_wait_for_ever(
    site: ModelSite, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await visit(open_timeout_seconds=0.2)
    refusals = [refusal(Code.RATE_LIMITED, retry_after_ms=600)]
    site.chat.on_command = lambda _, command: (
        refusals.pop() if refusals and hasattr(command, "room") else None
    )
    site.connect(COMMENT, site.descriptor(ada.client.user, "order-7"))

    assert (await ada.client.http.post(COMMENT)).status_code == 201

    assert "Not connected in time" in caplog.text
    await site.chat.until(lambda: site.chat.peers[0].rooms == {"order-7"})


async def test_a_429_is_the_callers(site: ModelSite, visit: Visit) -> None:
    ada = await visit()
    limited = Answer(429, {"Retry-After": "1"}, {"code": "rate_limited"})
    site.answers[COMMENT].append(limited)
    answer = await ada.client.http.post(COMMENT)

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert len(site.asked) == 1


async def test_a_guest_that_an_answer_made_goes_on_as_that_guest(
    site: ModelSite,
) -> None:
    client = Client(site.url)
    made = Answer(201, {"Headgate-Guest": "guest-of-http"})
    site.answers["/api/v1/rooms/a/messages"].append(made)
    await client.http.post("/api/v1/rooms/a/messages", json={"text": "hi"})
    await client.http.get("/b")
    assert client.user is None
    async with client:
        assert client.user is not None
        assert client.user.id == "guest-of-http"
    assert site.asked[1].headers["headgate-guest"] == "guest-of-http"


async def test_the_url_and_who_it_names(site: ModelSite) -> None:
    url = site.url.replace("http://", "ws://us%40er:secret@") + "/sub"
    client = Client(url)
    await client.http.post("/orders/7/comment")
    answer = await client.http.post("api/v1/connect")
    await client.close()

    paths = [each.path for each in site.asked]
    assert paths == ["/sub/orders/7/comment", "/sub/api/v1/connect"]
    basic = httpx2.BasicAuth("us@er", "secret")._auth_header
    assert site.asked[0].headers["authorization"] == basic
    assert "secret" not in str(answer.url)


async def test_nothing_secret_is_logged_even_at_the_loudest(
    site: ModelSite, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    site.chat.gives_tickets = True
    secret = {"sessionid": "secret-session"}
    ada = await visit(cookies=secret, headers={"Authorization": "Token secret-token"})
    site.connect(COMMENT, site.descriptor(ada.client.user, "order-7"))
    await ada.client.http.post(COMMENT)
    site.chat.cut_all()
    await site.chat.until(lambda: len(site.chat.hellos) == 2)

    assert site.chat.presented()[1] is not None
    ours = ("headgate", "httpx2", "httpcore2", "asyncio")
    said = [r.getMessage() for r in caplog.records if r.name.startswith(ours)]
    assert any("headers left out" in line for line in said)
    assert not [line for line in said if "secret-" in line]
    assert "secret" not in repr([ada.client, ada.client._link._dial, ada.client._door])
    assert all("secret" not in request.path for request in site.chat.requests)


async def test_after_the_end_there_is_no_http(site: ModelSite, visit: Visit) -> None:
    ada = await visit()
    http = ada.client.http
    assert ada.client.http is http
    await ada.client.close()

    assert http.is_closed
    with pytest.raises(ClientClosed):
        _ = ada.client.http


async def test_a_client_that_never_opens_can_be_closed(site: ModelSite) -> None:
    client = Client(site.url)
    http = client.http
    await client.close()
    assert http.is_closed
    with pytest.raises(ClientClosed):
        await client.attach(site.descriptor(ADA))
    with pytest.raises(ClientClosed):
        await client.open()


async def test_posting_in_parallel(site: ModelSite, visit: Visit) -> None:
    ada = await visit()
    rooms = [f"order-{n}" for n in range(20)]
    for room in rooms:
        site.connect(f"/{room}", site.descriptor(ada.client.user, room))
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(*(ada.client.http.post(f"/{room}") for room in rooms))

    assert site.chat.peers[0].rooms == set(rooms)
    assert site.chat.presented() == [None]


NO_HTTPX2 = """
import asyncio, sys
sys.modules["httpx2"] = None
from headgate.client import Client, ClosedByServer

async def main():
    client = Client(sys.argv[1], rooms=["a"])
    try:
        client.http
    except ImportError as exc:
        print(exc)
    try:
        await client.open()
    except ClosedByServer as exc:
        print(exc)

asyncio.run(main())
"""


async def test_without_httpx2_all_else_works(server: ModelServer) -> None:
    server.takes_guests = False
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", NO_HTTPX2, server.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    async with asyncio.timeout(LIMIT_SECONDS):
        said, _ = await process.communicate()
    first, second = said.decode().splitlines()
    assert 'pip install "headgate[client]"' in first
    assert "Sign in first" in second


def test_importing_the_client_does_not_import_httpx2() -> None:
    code = "import sys, headgate.client; print('httpx2' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert run.stdout == "False\n"


async def test_a_header_is_what_the_body_is(site: ModelSite, visit: Visit) -> None:
    """What `POST /api/v1/connect` answers has more in it, and connects as well."""
    ada = await visit()
    user: Any = ada.client.user
    shown = {"id": user.id, "kind": user.kind, "name": user.name}
    body = site.descriptor(user, "order-7", user=shown, limits=[])
    site.answers["/api/v1/connect"].append(Answer(body=body))
    answer = await ada.client.http.post("/api/v1/connect", json={"rooms": ["order-7"]})
    assert site.chat.peers[0].rooms == set()

    await ada.client.attach(answer.json())

    assert site.chat.peers[0].rooms == {"order-7"}
    assert json.loads(site.asked[0].body) == {"rooms": ["order-7"]}
