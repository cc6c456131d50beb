"""Two clients over a real server: what one types, the other sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from headgate.client import Client
from headgate.protocol.pushes import Message
from tests.conftest import Serve
from tests.e2e.accounts import make_account, sign_in
from tests.e2e.bare import LIMIT_SECONDS, Bare, plain, v1, welcomed
from tests.steady import SteadyClock

SAVED = "Message received and saved."


async def next_message(client: Client) -> Message:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not isinstance(push := await anext(client), Message):
            pass
        return push


async def test_plain_mode_and_resuming(serve: Serve, database_url: str | None) -> None:
    server = serve("--guests", "--demo", database_url=database_url)

    async with plain(server.ws_url, "general/") as ada:
        async with plain(server.ws_url, "general/") as bob:
            await ada.say(message="hi 👋", client_id="a-1")
            assert await ada.hear() == {"message": SAVED, "seq": 1, "client_id": "a-1"}
            own, seen = await ada.hear(), await bob.hear()
            assert own == seen
            assert seen["message"] == "hi 👋"
            assert (seen["seq"], seen["client_id"]) == (1, "a-1")
            assert seen["author"].startswith("Guest ")
            assert seen["at"].endswith("Z")

            await bob.say(message="hello")
            assert await bob.hear() == {"message": SAVED, "seq": 2}
            assert (await ada.hear())["message"] == "hello"
        await ada.say(message="are you there?")
        await ada.say(message="anybody?")
        for seq in (3, 4):
            reply = await ada.hear_until(lambda said: "author" not in said)
            assert reply == {"message": SAVED, "seq": seq}

    async with plain(server.ws_url, "general/?after=2") as bob:
        missed = [await bob.hear(), await bob.hear()]
        assert [(said["seq"], said["message"]) for said in missed] == [
            (3, "are you there?"),
            (4, "anybody?"),
        ]
    async with plain(server.ws_url, "general/?after=soon") as bob:
        refused = await bob.hear()
        assert (refused["error"], refused["field"]) == ("bad_command", "after")
    async with plain(server.ws_url, "general/?after=99") as bob:
        assert await bob.hear() == {"reset": {"oldest": 1, "head": 4}}


async def test_v1_with_bare_sockets(serve: Serve, database_url: str | None) -> None:
    server = serve("--guests", "--demo", database_url=database_url)

    async with (
        welcomed(server.ws_url, "general/", name="Ada", id=0) as ada,
        welcomed(server.ws_url, name="Bob") as bob,
    ):
        welcome = ada.heard[0]
        assert welcome["user"]["kind"] == "guest"
        assert welcome["user"]["name"] == "Ada"
        assert welcome["rooms"]["general"]["head"] == 0
        joined = await bob.ask(cmd="join", id=1, room="general")
        assert (joined["head"], joined["title"]) == (0, "General")

        saved = await ada.ask(
            cmd="send", id=2, room="general", client_id="a-1", text="hi"
        )
        assert saved["seq"] == 1
        seen = await bob.hear()
        assert seen == {
            "push": "message",
            "room": "general",
            "seq": 1,
            "client_id": "a-1",
            "author": welcome["user"],
            "text": "hi",
            "at": saved["at"],
        }
        assert await ada.hear() == seen

        again = await ada.ask(
            cmd="send", id=3, room="general", client_id="a-1", text="hi"
        )
        assert again == {"reply": 3, "seq": 1, "at": saved["at"]}
        edited = await ada.ask(cmd="edit", id=4, room="general", target=1, text="hey")
        deleted = await ada.ask(cmd="delete", id=5, room="general", target=1)
        assert [edited["seq"], deleted["seq"]] == [2, 3]
        pushes = [await bob.hear(), await bob.hear()]
        assert [(said["push"], said["seq"], said["target"]) for said in pushes] == [
            ("edited", 2, 1),
            ("deleted", 3, 1),
        ]

        await bob.say(cmd="typing", room="general")
        typing = await ada.hear_until(lambda said: said.get("push") == "typing")
        assert (typing["author"]["name"], typing["typing"]) == ("Bob", True)

    async with welcomed(
        server.ws_url,
        resume={"general": 0},
        pending={"general": ["a-1", "a-2"]},
        guest=welcome["guest"],
    ) as ada:
        back = ada.heard[0]
        assert back["user"] == welcome["user"]
        assert back["rooms"]["general"]["landed"] == {"a-1": 1}
        events = [await ada.hear() for _ in range(3)]
        assert [event["seq"] for event in events] == [1, 2, 3]
        assert [event.get("deleted") for event in events] == [True, True, None]
        assert "hi" not in json.dumps(events)


async def test_the_python_client(serve: Serve, database_url: str | None) -> None:
    server = serve("--guests", "--demo", database_url=database_url)

    async with (
        Client(server.url, rooms=["general"], name="Ada") as ada,
        Client(server.url, rooms=["general"], name="Bob") as bob,
    ):
        sent = await ada.send("general", "hi", client_id="a-1", data={"mood": "good"})
        assert (sent.seq, sent.client_id) == (1, "a-1")
        for client in (ada, bob):
            seen = await next_message(client)
            assert (seen.seq, seen.text, seen.client_id) == (1, "hi", "a-1")
            assert (seen.author, seen.at) == (ada.user, sent.at)
            assert seen.data == {"mood": "good"}
        await bob.send("general", "hello", reply_to=1)
        answer = await next_message(ada)
        assert (answer.seq, answer.author.name, answer.reply_to) == (2, "Bob", 1)

        page = await ada.history("general")
        assert [message.text for message in page.messages] == ["hi", "hello"]
        assert (page.head, page.more) == (2, False)


async def test_signed_in_by_cookie(serve: Serve, database_url: str | None) -> None:
    server = serve("--demo", database_url=database_url)
    make_account(server, "ada")
    make_account(server, "bob")
    cookies = [sign_in(server, name) for name in ("ada", "bob")]

    # A cookie and no Origin, or the Origin of another page: refused before it opens.
    for origin in (None, "https://evil.example", "null", f"{server.url}.evil.example"):
        with pytest.raises(InvalidStatus) as refused:
            async with plain(
                server.ws_url, "general/", cookie=cookies[0], origin=origin
            ):
                pass
        assert refused.value.response.status_code == 403

    async with (
        plain(server.ws_url, "general/", cookie=cookies[0], origin=server.url) as ada,
        welcomed(
            server.ws_url, "general/", cookie=cookies[1], origin=server.url
        ) as bob,
    ):
        assert bob.heard[0]["user"]["kind"] == "user"
        assert bob.heard[0]["user"]["name"] == "bob"
        assert "guest" not in bob.heard[0]
        await ada.say(message="hi")
        assert await ada.hear() == {"message": SAVED, "seq": 1}
        seen = await bob.hear()
        assert (seen["author"]["kind"], seen["author"]["name"]) == ("user", "ada")
        assert (seen["seq"], seen["text"]) == (1, "hi")

    # The same with our client, whose Origin is the server's own.
    name, value = cookies[0].split("=", 1)
    async with Client(server.url, cookies={name: value}, rooms=["general"]) as client:
        assert client.user is not None
        assert client.user.name == "ada"
        assert (await client.send("general", "again")).seq == 2

    # Nobody else may come in, in neither mode.
    async with plain(server.ws_url, "general/") as stranger:
        assert await stranger.closed() == 4501
        assert stranger.heard[0]["error"] == "unauthenticated"
    async with v1(server.ws_url, "general/") as stranger:
        await stranger.say(cmd="hello", id=1)
        assert await stranger.closed() == 4501
        assert stranger.heard[0]["reply"] == 1
        assert stranger.heard[0]["error"]["code"] == "unauthenticated"


async def test_a_refused_origin_is_no_fault_of_the_server(serve: Serve) -> None:
    server = serve("--guests", "--demo")

    with pytest.raises(InvalidStatus) as refused:
        async with plain(server.ws_url, "general/", origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403
    server.stop()

    # Anybody can have an origin refused; what operators are woken for is not that.
    assert "origin_refused origin=['https://evil.example']" in server.stderr
    assert "ERROR" not in server.stderr


async def say_badly(bare: Bare, frames: Sequence[str | bytes]) -> list[dict[str, Any]]:
    """Send frames and return what was answered to each."""
    for frame in frames:
        await bare.socket.send(frame)
    return [await bare.hear() for _ in frames]


async def test_bad_frames(serve: Serve, database_url: str | None) -> None:
    server = serve("--guests", "--demo", database_url=database_url)
    large = json.dumps({"message": "x" * 17_000})
    at_the_limit, huge = "x" * (64 * 1024), "x" * (64 * 1024 + 1)

    async with plain(server.ws_url, "general/") as bystander:
        async with plain(server.ws_url, "general/") as bare:
            answers = await say_badly(bare, [b"\x00", "{", "[]", "{}", large])
            codes = [answer["error"] for answer in answers]
            assert codes == ["binary", *["bad_command"] * 3, "too_large"]
            await bare.say(message="I mean well.")
            assert await bare.hear() == {"message": SAVED, "seq": 1}
            await bare.hear()  # the broadcast
            answers = await say_badly(bare, ["{"] * 5)
            assert {answer["error"] for answer in answers} == {"bad_command"}
            assert await bare.closed() == 4500

        async with welcomed(server.ws_url, "general/") as bare:
            answers = await say_badly(
                bare,
                [
                    b'{"cmd":"ping","id":1}',
                    *["no JSON"] * 6,
                    '{"cmd":"send","id":7,"room":"general"}',
                    '{"cmd":"sing","id":8}',
                    json.dumps({"cmd": "ping", "id": 9, "more": "x" * 17_000}),
                ],
            )
            assert [answer["error"]["code"] for answer in answers] == [
                "binary",
                *["bad_command"] * 7,
                "unknown_command",
                "too_large",
            ]
            assert (answers[7]["reply"], answers[7]["error"]["field"]) == (7, "text")
            assert await bare.closed() == 4500
            assert bare.heard[-1]["reply"] is None

        async with v1(server.ws_url) as bare:
            answers = await say_badly(bare, ["{"] * 9 + ['{"cmd":"ping","id":1}'])
            assert answers[-1]["error"]["code"] == "hello_expected"
            assert await bare.closed() == 4500

        async with plain(server.ws_url, "general/") as bare:
            assert (await say_badly(bare, [at_the_limit]))[0]["error"] == "too_large"
            await bare.socket.send(huge)
            assert await bare.closed() == 1009
        async with welcomed(server.ws_url, "general/") as bare:
            await bare.socket.send(huge)
            assert await bare.closed() == 1009

        # Nobody else noticed any of it.
        assert (await bystander.hear())["message"] == "I mean well."
        await bystander.say(message="Nothing happened here.")
        assert (await bystander.hear())["seq"] == 2


async def test_no_hello(serve: Serve, steady: SteadyClock) -> None:
    server = serve("--guests", "--demo")
    loop = asyncio.get_running_loop()

    async with v1(server.ws_url, "general/") as silent:
        began = loop.time()
        assert await silent.closed() == 4001
        assert loop.time() - began > 9
        assert steady.since(began) < 13
        assert silent.heard[-1]["error"]["code"] == "hello_expected"
