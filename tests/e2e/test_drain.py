"""Deploys that nobody notices: the drain, and restarts under load."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from headgate.client import Client
from tests.conftest import Serve
from tests.e2e.bare import LIMIT_SECONDS, Bare, plain, v1, welcomed
from tests.e2e.crowd import CROWD, Crowd, is_running, log_of, workers_of
from tests.e2e.streams import PATH, streaming
from tests.servers import HeadgateServer
from tests.steady import SteadyClock

pytestmark = pytest.mark.skipif(
    os.name != "posix", reason="signals are those of a Unix"
)

# How long an end may take where nobody holds it up, on a busy machine. Who never reads
# holds it up for 10 s unless told otherwise, and the bound itself is 30 s.
SOON_SECONDS = 8.0
END_SECONDS = 45.0  # past which it hangs
RESTARTS = 10 if os.environ.get("HEADGATE_SOAK") else 3
WINDOW_MS = max(1000, CROWD * 4)  # over which the crowd is to come back


def tell(server: HeadgateServer, number: signal.Signals = signal.SIGTERM) -> None:
    os.kill(server.pid, number)


async def ended(server: HeadgateServer, limit_seconds: float = END_SECONDS) -> int:
    """Wait for the end of a server and return its exit code."""
    async with asyncio.timeout(limit_seconds):
        return await asyncio.to_thread(server._started.wait)


async def until(condition: Any, limit_seconds: float = LIMIT_SECONDS) -> None:
    """Wait for what only looking at the system tells."""
    async with asyncio.timeout(limit_seconds):
        while not condition():  # noqa: ASYNC110 - processes have no event
            await asyncio.sleep(0.02)


# --- nothing lost, nothing doubled ---


async def test_a_restart_under_load(
    serve: Serve, steady: SteadyClock, database_url: str | None
) -> None:
    server = serve("--guests", database_url=database_url)
    async with Crowd(server.url) as crowd:
        await crowd.talk(200)
        began = time.monotonic()
        tell(server)
        assert await ended(server) == 0
        took = steady.since(began)
        await asyncio.to_thread(server.start)
        await crowd.come_back(1)
        await crowd.talk(200)
        await crowd.check(server)
    assert took < SOON_SECONDS + CROWD / 200
    ends = [why for why in crowd.lost if "could not connect" not in why]
    assert len(ends) == CROWD
    assert {why.partition(" ")[0] + why.split(" ")[1] for why in ends} == {
        "received1012"
    }, ends


async def test_rolling_restarts_under_load(serve: Serve) -> None:
    server = serve("--guests", "--workers", "2")
    async with Crowd(server.url) as crowd:
        for round_number in range(1, RESTARTS + 1):
            await crowd.talk(100)
            before = set(workers_of(server.pid))
            tell(server, signal.SIGHUP)
            await until(
                lambda before=before: (
                    len(now := set(workers_of(server.pid))) == 2 and not now & before
                ),
                limit_seconds=40,
            )
            await crowd.come_back(round_number)
        await crowd.talk(100)
        await crowd.check(server)
    # There was a server all the time, and each said goodbye.
    assert not [why for why in crowd.lost if not why.startswith("received 1012")]
    assert server.stop() == 0
    assert "worker_ended" not in server.stderr


# --- what each client is told ---


async def test_each_is_told_when_to_come_back_and_gets_a_ticket(serve: Serve) -> None:
    server = serve("--guests", "--demo")
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        bares = [await enter(welcomed(server.ws_url, "general/")) for _ in range(CROWD)]
        tell(server)
        codes = await asyncio.gather(*(bare.closed() for bare in bares))
        assert await ended(server) == 0
        server.start()
        farewells = [bare.heard[-1] for bare in bares]
        users = [bare.heard[0]["user"]["id"] for bare in bares]
        again = await enter(v1(server.ws_url, "general/"))
        await again.say(cmd="hello", ticket=farewells[0]["ticket"])
        assert (await again.hear())["user"]["id"] == users[0]

    assert set(codes) == {1012}
    assert {each["push"] for each in farewells} == {"going_away"}
    assert len({each["ticket"] for each in farewells}) == CROWD
    waits = sorted(each["reconnect_in_ms"] for each in farewells)
    # Evenly over the window: each tenth of it has some, and none has most.
    tenths = [sum(w * 10 // WINDOW_MS == tenth for w in waits) for tenth in range(10)]
    assert waits[-1] < WINDOW_MS
    assert 0 < min(tenths) <= max(tenths) < CROWD * 0.3


async def test_our_client_comes_back_when_it_was_told_with_its_ticket(
    serve: Serve,
) -> None:
    server = serve("--guests", "--demo")
    async with Client(server.url, rooms=["general"]) as client:
        before = client.user
        # Whoever has only its ticket comes back as the same guest.
        client._link.identity.guest = None
        tell(server)
        await ended(server)
        server.start()
        async with asyncio.timeout(LIMIT_SECONDS):
            await client.send("general", "back")
        assert client.user == before


async def test_what_was_begun_is_answered_after_the_farewell(serve: Serve) -> None:
    server = serve("--guests", "--demo")
    async with (
        welcomed(server.ws_url, "general/") as ada,
        plain(server.ws_url, "general/") as bob,
    ):
        with held(server):
            await ada.say(cmd="send", id=1, room="general", text="from Ada")
            await ada.ask(cmd="ping", id=2)  # so that is in the journal
            await bob.say(message="from Bob")
            await (await bob.socket.ping())  # so that has come, too
            await bob.say(message=1)  # what is answered in its turn is not answered
            tell(server)
            await ada.hear_until(lambda said: said.get("push") == "going_away")
            await ada.say(cmd="send", id=3, room="general", text="late")
            await (await ada.socket.ping())  # so that has come, and is not heard
            assert server.running
        assert await ada.closed() == 1012
        assert 3 not in {each.get("reply") for each in ada.heard}
        assert await bob.closed() == 1012
    assert await ended(server) == 0
    assert [each["seq"] for each in ada.heard if each.get("reply") == 1] == [1]
    assert [each.get("seq") for each in bob.heard if "author" not in each][:1] == [2]
    server.start()
    assert await log_of(server, "general") == [(1, "from Ada"), (2, "from Bob")]


async def test_plain_mode_is_closed_and_says_nothing_new(serve: Serve) -> None:
    server = serve("--guests", "--demo")
    async with plain(server.ws_url, "general/") as bob:
        tell(server)
        assert await bob.closed() == 1012
    assert bob.heard == []


async def test_streams_end_with_when_to_come_back(serve: Serve) -> None:
    server = serve("--guests", "--demo")
    async with streaming(server, "general") as stream:
        first = stream.parser.retry_ms
        tell(server)
        await stream.over()
    assert first is not None
    assert first >= 1000
    assert stream.parser.retry_ms is not None
    assert stream.parser.retry_ms < 1000
    assert await ended(server) == 0


# --- who comes in meanwhile ---


async def test_who_comes_in_a_drain_is_told_to_come_back(serve: Serve) -> None:
    """Over connections that are open already: the server takes no new ones."""
    server = serve("--guests", "--demo", "--drain-seconds", "60")
    held_up = silent(server, "general")
    kept = [kept_open(server) for _ in range(4)]
    async with welcomed(server.ws_url, "general/") as ada, v1(server.ws_url) as late:
        tell(server)
        assert await ada.closed() == 1012
        # Who has not said hello is not waited for.
        assert await late.closed() == 1012
        assert_come_back(late.heard[-1])

        health = [ask(each, path) for each, path in zip(kept, HEALTH, strict=False)]
        assert [each.status for each in health] == [200, 503]
        assert [each.getheader("connection") for each in health] == ["close", "close"]
        for subprotocols in ([Subprotocol("headgate.v1")], None):
            async with over(kept.pop(), server, subprotocols) as bare:
                assert await bare.closed() == 1012
                assert_come_back(bare.heard[-1])
        with pytest.raises(OSError, match="refused"):
            kept_open(server)
    held_up.close()
    assert await ended(server) == 0


HEALTH = ("/healthz", "/readyz")


def assert_come_back(said: dict[str, Any]) -> None:
    """Check that a refusal is one for now, in either mode."""
    failure = said["error"] if "reply" in said else said
    code = failure["code"] if "reply" in said else failure["error"]
    assert code == "unavailable"
    assert 0 < failure["retry_after_ms"] <= 1000


def kept_open(server: HeadgateServer) -> HTTPConnection:
    """Return an open connection that has had its first answer."""
    http = HTTPConnection(urlsplit(server.url).netloc, timeout=LIMIT_SECONDS)
    assert ask(http, "/readyz").status == 200
    return http


def ask(http: HTTPConnection, path: str) -> HTTPResponse:
    http.request("GET", path)
    answer = http.getresponse()
    answer.read()
    return answer


@contextlib.asynccontextmanager
async def over(
    http: HTTPConnection,
    server: HeadgateServer,
    subprotocols: list[Subprotocol] | None,
) -> AsyncIterator[Bare]:
    """Make a WebSocket of an open connection."""
    http.sock.setblocking(False)
    socket_: ClientConnection
    async with connect(
        f"{server.ws_url}/ws/chat/general/", sock=http.sock, subprotocols=subprotocols
    ) as socket_:
        yield Bare(socket_)


# --- who holds it up ---


def silent(server: HeadgateServer, room: str, *, stream: bool = False) -> socket.socket:
    """Return a connection to a room, of which nothing is read after its welcome.

    It says hello and answers nothing, not even the close.
    """
    url = urlsplit(server.url)
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.settimeout(LIMIT_SECONDS)
    made.connect((url.hostname, url.port))
    path = f"{PATH}?rooms={room}" if stream else f"/ws/chat/{room}/"
    lines = [f"GET {path} HTTP/1.1", f"Host: {url.netloc}"]
    if not stream:
        lines += [
            *("Upgrade: websocket", "Connection: Upgrade"),
            *(
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            ),
            "Sec-WebSocket-Protocol: headgate.v1",
        ]
    made.sendall("\r\n".join([*lines, "", ""]).encode())
    assert made.recv(15) in {
        b"HTTP/1.1 101 Swi",
        b"HTTP/1.1 200 OK\r"[:15],
        b"HTTP/1.1 101 Sw",
    }
    if not stream:
        hello = json.dumps({"cmd": "hello"}).encode()
        made.sendall(b"\x81" + bytes([0x80 | len(hello)]) + bytes(4) + hello)
    said = b""
    while b'"welcome"' not in said:
        said = said[-16:] + made.recv(64)
    return made


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("drain_seconds", "limit_seconds"),
    # The second is how long somebody is waited for of whom nothing is taken.
    [(4, SOON_SECONDS), (30, 12.0 + SOON_SECONDS)],
)
async def test_who_never_reads_does_not_hold_it(
    serve: Serve,
    steady: SteadyClock,
    workers: str,
    drain_seconds: int,
    limit_seconds: float,
) -> None:
    server = serve(
        *("--guests", "--demo", "--workers", workers),
        *("--drain-seconds", str(drain_seconds)),
    )
    never = [silent(server, "general", stream=each) for each in (False, True, False)]
    async with welcomed(server.ws_url, "general/") as reader:
        hearing = asyncio.create_task(reader.closed(60))
        async with welcomed(server.ws_url) as writer:
            for number in range(500):  # more than all buffers take
                text = f"{number} " + "x" * 15_000
                reply = await writer.ask(
                    cmd="send", id=number, room="general", text=text
                )
                assert reply["seq"] == number + 1
        began = time.monotonic()
        tell(server)
        assert await hearing == 1012
        assert await ended(server) == 0
        took = steady.since(began)
    for each in never:
        each.close()
    assert took < limit_seconds
    if drain_seconds == 4:
        assert "drain_cut_off connections=" in server.stderr
        assert ("worker=" in server.stderr) == (workers == "2")


async def test_a_second_signal_ends_at_once_and_what_was_begun_is_saved(
    serve: Serve,
    steady: SteadyClock,
) -> None:
    server = serve("--guests", "--demo")
    never = silent(server, "help")
    async with welcomed(server.ws_url, "general/") as ada:
        with held(server):
            await ada.say(cmd="send", id=1, room="general", text="begun")
            await ada.ask(cmd="ping", id=2)
            tell(server)
            await ada.hear_until(lambda said: said.get("push") == "going_away")
            began = time.monotonic()
            tell(server, signal.SIGINT)
            assert await ada.closed() in {1012, 1006}
            with pytest.raises(TimeoutError):  # what was begun is not saved yet
                await ended(server, 0.7)
            assert server.running
        assert await ended(server) == 0
    assert steady.since(began) < SOON_SECONDS
    never.close()
    server.start()
    assert await log_of(server, "general") == [(1, "begun")]


@contextlib.contextmanager
def held(server: HeadgateServer) -> Iterator[None]:
    """Have nothing be written meanwhile: the database is somebody else's."""
    database = sqlite3.connect(server.sqlite_file, isolation_level=None)
    with contextlib.closing(database):
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("ROLLBACK")


# --- several processes ---


async def test_a_killed_worker_is_replaced_and_its_clients_come_back(
    serve: Serve,
) -> None:
    server = serve("--guests", "--workers", "2")
    async with Crowd(server.url) as crowd:
        await crowd.talk(100)
        victim, other = workers_of(server.pid)
        os.kill(victim, signal.SIGKILL)

        def is_replaced() -> bool:
            now = workers_of(server.pid)
            return len(now) == 2 and victim not in now

        await until(is_replaced)  # it is there for a moment after it was killed
        assert other in workers_of(server.pid)
        await crowd.talk(100)
        await crowd.check(server)
    assert 0 < len([why for why in crowd.lost if "no close frame" in why]) < CROWD
    assert f"pid={victim} exit_code=-9" in server.stderr
    assert server.stop() == 0


async def test_workers_whose_supervisor_is_killed_send_everybody_away(
    serve: Serve,
) -> None:
    server = serve("--guests", "--demo", "--workers", "2")
    workers = workers_of(server.pid)
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        bares = [await enter(welcomed(server.ws_url, "general/")) for _ in range(20)]
        server.kill()
        codes = await asyncio.gather(*(bare.closed() for bare in bares))
    assert set(codes) == {1012}
    assert {bare.heard[-1]["push"] for bare in bares} == {"going_away"}
    await until(lambda: not any(is_running(pid) for pid in workers))


async def test_a_worker_that_is_told_to_end_is_replaced(serve: Serve) -> None:
    """Twice is as good as once: only the supervisor has it hurry."""
    server = serve("--guests", "--demo", "--workers", "2")
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        bares = [await enter(welcomed(server.ws_url, "general/")) for _ in range(20)]
        before = set(workers_of(server.pid))
        with held(server):
            for bare in bares:
                await bare.say(cmd="send", id=1, room="general", text="begun")
                await bare.ask(cmd="ping", id=2)
            for pid in before:
                os.kill(pid, signal.SIGTERM)
            for bare in bares:
                await bare.hear_until(lambda said: said.get("push") == "going_away")
            for pid in before:
                os.kill(pid, signal.SIGTERM)
            await asyncio.sleep(0.3)  # longer than a signal takes to be looked at
        codes = await asyncio.gather(*(bare.closed() for bare in bares))
    assert set(codes) == {1012}
    for bare in bares:
        assert [said for said in bare.heard if said.get("reply") == 1]
    await until(
        lambda: len(now := set(workers_of(server.pid))) == 2 and not now & before
    )
    await until(lambda: server.running)
    assert server.stop() == 0
