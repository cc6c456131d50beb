"""The event stream of a real server, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
import time
from pathlib import Path

import httpx

from tests.conftest import Serve
from tests.e2e.accounts import make_account, sign_in
from tests.e2e.bare import LIMIT_SECONDS, welcomed
from tests.e2e.browser import Browser
from tests.e2e.project import project
from tests.e2e.streams import PATH, Stream, curl, running, streaming
from tests.event_stream import EventParser
from tests.servers import HeadgateServer
from tests.steady import BUSY_SECONDS, SteadyClock

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "event-stream.md"
STOP_SECONDS = 8.0  # for a server with open streams, where it would wait for 30
# Until the end of a stream whose reader has signed out.
REVOKED_SECONDS = 2.0 + BUSY_SECONDS
LARGE = "x" * 4000


def seqs(stream: Stream, room: str = "general") -> list[int]:
    said = [event.said for event in stream.heard if event.name == "message"]
    return [each["seq"] for each in said if each["room"] == room]


async def test_curl_shows_a_chat(serve: Serve, tmp_path: Path) -> None:
    server = serve("--guests", "--demo")

    with curl(tmp_path, f"{server.url}{PATH}?rooms=general,help") as shown:
        await shown.prints("event: welcome\n")
        async with welcomed(server.ws_url, "general/", name="Ada") as ada:
            await ada.ask(cmd="send", id=1, room="general", text="Tea, anybody? 👋")
            await ada.ask(cmd="send", id=2, room="help", text="first\nsecond")
        await shown.prints("second")
        server.stop()
        assert await shown.ended() == 0  # the answer was ended, not cut off
    lines = shown.printed.split("\n")

    assert lines[0].startswith("retry: ")
    assert lines[1:3] == ["", "event: welcome"]
    assert "event: message" in lines
    assert any('"name":"Ada"},"text":"Tea, anybody? 👋"' in line for line in lines)
    assert any(r'"text":"first\nsecond"' in line for line in lines)
    assert len([line for line in lines if line.startswith("id: ")]) == 3
    assert not server.stderr


async def test_a_reader_that_comes_back_misses_nothing(
    serve: Serve, database_url: str | None
) -> None:
    server = serve("--guests", "--demo", database_url=database_url)
    async with streaming(server, "general,help") as first:
        async with welcomed(server.ws_url, "general/") as ada:
            for number in range(3):
                await ada.ask(cmd="send", id=number, room="general", text=f"{number}")
        while len(seqs(first)) < 3:
            await first.event()
        server.kill()
        with contextlib.suppress(httpx.HTTPError):
            await first.over()
    server.start()
    async with project(server) as shop:
        await shop.send("general", "while nobody looks")
        await shop.send("help", "here too")
        async with streaming(server, "help,general", last_id=first.last_id) as back:
            await shop.send("general", "written elsewhere")
            while len(seqs(back)) < 2 or not seqs(back, "help"):
                await back.event()

    assert seqs(first) == [1, 2, 3]
    assert seqs(back) == [4, 5]
    assert seqs(back, "help") == [1]
    assert "reset" not in {event.name for event in back.heard}


async def test_a_stream_and_a_websocket_see_the_same(
    serve: Serve, database_url: str | None
) -> None:
    server = serve("--guests", "--demo", database_url=database_url)
    async with (
        streaming(server, "general") as stream,
        welcomed(server.ws_url, "general/") as watcher,
        welcomed(server.ws_url, "general/") as ada,
        welcomed(server.ws_url, "general/") as bob,
    ):
        numbers = range(1, 31)
        for writer in (ada, bob):
            for number in numbers:
                await writer.say(
                    cmd="send", id=number, room="general", text=str(number)
                )
        for writer in (ada, bob):
            await writer.hear_until(lambda said: said.get("reply") == 30)
        edit = {"cmd": "edit", "room": "general", "target": 1}
        author = ada if (await ada.ask(**edit, id=31, text="a")).get("seq") else bob
        await author.ask(**edit, id=32, text="b")
        last = await author.ask(cmd="delete", id=33, room="general", target=1)
        while stream.heard[-1].said.get("seq") != last["seq"]:
            await stream.event()
        for bare in (watcher, ada, bob):  # who has not read all is slow to close
            if bare.heard[-1].get("seq") != last["seq"]:
                await bare.hear_until(lambda said: said.get("seq") == last["seq"])

    # Who is there is told whenever a second is over; the watcher leaves it out.
    heard = [event.said for event in stream.heard[1:]]
    over_stream = [said for said in heard if said.get("push") != "presence"]
    assert over_stream == watcher.heard[1:]
    assert [said["seq"] for said in over_stream] == list(range(1, last["seq"] + 1))


async def test_a_server_stops_at_once_with_streams_open(
    serve: Serve, steady: SteadyClock
) -> None:
    server = serve("--guests", "--demo")
    async with contextlib.AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(streaming(server, "general,help"))
            for _ in range(20)
        ]
        begun = time.monotonic()
        code = await asyncio.to_thread(server.stop)
        took_seconds = steady.since(begun)
        for stream in streams:
            await stream.over()  # raises where the answer was cut off

    assert code == 0
    assert took_seconds < STOP_SECONDS
    assert not server.stderr


def stalled(server: HeadgateServer) -> socket.socket:
    """Open a stream and take nothing of it, with a small window."""
    host, port = server.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.settimeout(LIMIT_SECONDS)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    request = f"GET {PATH}?rooms=general HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
    client.sendall(request.encode())
    return client


async def test_readers_that_take_nothing_hold_up_nobody(serve: Serve) -> None:
    server = serve("--guests", "--demo")
    async with (
        streaming(server, "general") as quick,
        welcomed(server.ws_url) as ada,
    ):

        async def write(count: int) -> None:
            for _ in range(count):
                await ada.say(cmd="send", id=1, room="general", text=LARGE)
            for _ in range(count):
                await ada.hear_until(lambda said: said.get("reply") == 1)

        async def take(upto: int) -> None:
            while len(seqs(quick)) < upto:
                await quick.event()

        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(stalled(server)) for _ in range(5)]
            heads = [client.recv(200) for client in clients]
            for _ in range(5):
                await write(50)
            # Long before it would be cut off, one of them begins to read.
            reading = asyncio.create_task(
                asyncio.to_thread(_read_seqs, clients[0], heads[0], 1000)
            )
            for _ in range(15):
                await write(50)  # in all 4 MB for each of them
            await take(1000)
            arrived = await reading
        # The others have gone without a word.
        async with streaming(server, "general", last_id=quick.last_id) as back:
            await write(1)
            assert (await back.named("message")).said["seq"] == 1001

    assert all(head.startswith(b"HTTP/1.1 200") for head in heads)
    assert seqs(quick) == arrived == list(range(1, 1001))


def _read_seqs(client: socket.socket, head: bytes, upto: int) -> list[int]:
    """Read a stream whose body comes in chunks, and return the seqs of its messages."""
    while b"\r\n\r\n" not in head:
        head += client.recv(65_536)
    body, parser, found = head.partition(b"\r\n\r\n")[2], EventParser(), [0]
    while found[-1] < upto:
        size, end, rest = body.partition(b"\r\n")
        length = int(size, 16) if end else 0
        if not end or len(rest) < length + 2:
            more = client.recv(65_536)
            assert more, "the stream has ended"
            body += more
            continue
        found += [
            event.said["seq"]
            for event in parser.feed(rest[:length])
            if event.name == "message"
        ]
        body = rest[length + 2 :]
    return found[1:]


async def test_a_ticket_and_a_session_say_who_reads(
    serve: Serve, database_url: str | None
) -> None:
    server = serve("--demo", database_url=database_url)
    make_account(server, "ada")
    cookie = sign_in(server, "ada")
    async with httpx.AsyncClient(
        base_url=server.url, trust_env=False, timeout=30
    ) as client:
        stranger = await client.get(PATH, params={"rooms": "general"})
        pages = await client.get(
            PATH,
            params={"rooms": "general"},
            headers={"Cookie": cookie, "Origin": "https://evil.example"},
        )
    async with streaming(server, "general", headers={"Cookie": cookie}) as stream:
        pass
    async with welcomed(server.ws_url, origin=server.url, cookie=cookie) as ada:
        ticket = ada.heard[0]["ticket"]
    authorized = {"Authorization": f"Ticket {ticket}"}
    async with streaming(server, "general", headers=authorized) as by_ticket:
        pass

    assert (stranger.status_code, pages.status_code) == (401, 403)
    assert stream.heard[0].said["user"]["kind"] == "user"
    assert by_ticket.heard[0].said["user"] == stream.heard[0].said["user"]
    assert ticket not in server.stdout + server.stderr


async def test_the_documented_program_misses_nothing(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve("--guests", "--demo")
    page = HOW_TO.read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "read.py"
    file.write_text(program.replace("http://127.0.0.1:8000", server.url), "utf-8")
    texts = ["one", "two\u2028 👋", "three", "four"]

    async def say(text: str) -> None:
        async with welcomed(server.ws_url, "general/", name="Ada") as ada:
            await ada.ask(cmd="send", id=1, room="general", text=text)

    with running(tmp_path, sys.executable, file) as reader:
        while "Ada: " not in reader.printed:
            await say("are you there?")
            await asyncio.sleep(0.1)
        for text in texts[:2]:
            await say(text)
        await reader.prints(texts[1])
        server.kill()
        server.start()
        await say(texts[2])
        await reader.prints(texts[2])
        await say(texts[3])
        await reader.prints(texts[3])
    said = [line for line in reader.printed.split("\n") if "there?" not in line]

    assert said == [*[f"Ada: {text}" for text in texts], ""]


async def test_signing_out_ends_a_stream(
    serve: Serve, steady: SteadyClock, database_url: str | None
) -> None:
    server = serve("--demo", database_url=database_url)
    make_account(server, "ada")
    laptop, phone = Browser(server), Browser(server)
    laptop.sign_in("ada")
    phone.sign_in("ada")
    async with (
        streaming(server, "general", headers={"Cookie": laptop.cookie}) as ended,
        streaming(server, "general", headers={"Cookie": phone.cookie}) as other,
    ):
        await asyncio.to_thread(laptop.sign_out)
        signed_out_at = time.monotonic()
        await ended.over()
        assert steady.since(signed_out_at) < REVOKED_SECONDS
        origin = {"origin": server.url, "cookie": phone.cookie}
        async with welcomed(server.ws_url, "general/", **origin) as ada:
            await ada.ask(cmd="send", id=1, room="general", text="still here")
        await other.named("message")

    assert [event.name for event in ended.heard] == ["welcome", "failure"]
    assert ended.heard[-1].said["error"]["code"] == "unauthenticated"
