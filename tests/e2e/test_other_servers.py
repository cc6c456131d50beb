"""The chat on servers beside ours: each joins, sends, receives, resumes.

What a server does otherwise than the others stands in its `Kind`, and for people in
docs/reference/servers.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from headgate.client import Client
from headgate.protocol.pushes import Message
from tests.e2e.bare import LIMIT_SECONDS, Bare, plain, welcomed
from tests.e2e.other_servers import KINDS, Kind, OtherServer, Site, make_site
from tests.fault_proxy import FaultProxy, Faults

SAVED = "Message received and saved."
ROOMS = ("kitchen", "garden")
KILOBYTE, MEGABYTE = 1024, 1024 * 1024


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The project's database, made once."""
    return make_site(tmp_path_factory.mktemp("site"))


Start = Callable[[Kind], OtherServer]


@pytest.fixture(scope="module")
def start(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start servers, each on a database of its own."""
    with contextlib.ExitStack() as stack:

        def start_one(kind: Kind) -> OtherServer:
            server = OtherServer(kind, site, tmp_path_factory.mktemp(kind.name))
            stack.callback(server.close)
            server.start()
            return server

        yield start_one


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def server(request: pytest.FixtureRequest, start: Start) -> Iterator[OtherServer]:
    """One of each, for all tests but those that stop it."""
    running = start(request.param)
    yield running
    running.close()
    sys.stderr.write(running.output)  # shown where a test failed


async def messages(client: Client, last: int) -> dict[str, list[tuple[int, str]]]:
    """Return the messages of both rooms, as they came, up to the seq `last` of each."""
    seen: dict[str, list[tuple[int, str]]] = {room: [] for room in ROOMS}
    async with asyncio.timeout(LIMIT_SECONDS):
        while any(not rows or rows[-1][0] < last for rows in seen.values()):
            push = await anext(client)
            if isinstance(push, Message):
                seen[push.room].append((push.seq, push.text))
    return seen


async def test_it_joins_sends_receives_resumes(server: OtherServer) -> None:
    count = 30
    texts = [f"Message {number}" for number in range(count)]
    expected = {room: list(enumerate(texts, 1)) for room in ROOMS}
    faults = Faults(cut=9, seed=5)

    async with (
        FaultProxy("127.0.0.1", server.port, faults) as proxy,
        Client(server.url, rooms=ROOMS, name="Ada") as ada,
        Client(
            f"http://127.0.0.1:{proxy.port}",
            rooms=ROOMS,
            name="Bob",
            min_backoff_seconds=0.01,
            max_backoff_seconds=0.05,
        ) as bob,
    ):
        watching = asyncio.gather(messages(ada, count), messages(bob, count))
        for text in texts:
            await asyncio.gather(*(ada.send(room, text) for room in ROOMS))
        assert await watching == [expected, expected]
        assert proxy.done["cut"] > 0

        sent = await bob.send("kitchen", "Good night.", reply_to=1)
        page = await ada.history("kitchen", limit=2)
        assert [(m.seq, m.text, m.author) for m in page.messages] == [
            (count, texts[-1], ada.user),
            (count + 1, "Good night.", bob.user),
        ]
        assert (page.head, sent.seq) == (count + 1, count + 1)


async def test_plain_mode_and_its_sizes(server: OtherServer) -> None:
    largest = "é" * 100 + "x" * (16 * KILOBYTE - 200 - len('{"message":""}'))
    async with plain(server.ws_url, "sizes/") as bare:
        assert bare.socket.subprotocol is None
        await bare.say(message="hi", client_id="a-1")
        assert await bare.hear() == {"message": SAVED, "seq": 1, "client_id": "a-1"}
        assert (await bare.hear())["author"].startswith("Guest ")
        await bare.socket.send(f'{{"message":"{largest}"}}')
        assert await bare.hear() == {"message": SAVED, "seq": 2}
        assert (await bare.hear())["message"] == largest
        await bare.socket.send("x" * 64 * KILOBYTE)
        assert (await bare.hear())["error"] == "too_large"
        await bare.socket.send(b"\x00")
        assert (await bare.hear())["error"] == "binary"

    async with plain(server.ws_url, "sizes/?after=1") as bare:
        assert (await bare.hear())["message"] == largest


@pytest.mark.parametrize("huge", ["x" * 64 * KILOBYTE + "x", b"x" * 65 * KILOBYTE])
async def test_a_huge_message_closes(server: OtherServer, huge: str | bytes) -> None:
    """On the server's side of our bound or on ours, the client sees the same."""
    async with plain(server.ws_url, "sizes/") as bare:
        await bare.socket.send(huge)
        assert await bare.closed() == (1009 if server.kind.any_code else 4500)
        assert bare.heard == []


async def test_a_close_by_policy(server: OtherServer) -> None:
    async with plain(server.ws_url, "general/") as bare:
        for _ in range(10):
            await bare.socket.send("{")
        assert await bare.closed() == 4500
        assert [said["error"] for said in bare.heard] == ["bad_command"] * 11
        reason = "Too many bad commands." if server.kind.explains else ""
        assert bare.socket.close_reason == reason


async def test_a_fault_closes_and_is_logged_once(server: OtherServer) -> None:
    async with welcomed(server.ws_url) as bare:
        await bare.say(cmd="join", id=1, room="broken")
        assert await bare.closed() == (1011 if server.kind.any_code else 4002)
    assert server.output.count("ZeroDivisionError: a fault of the project") == 1


async def test_a_cookie_counts_with_our_origin_alone(
    server: OtherServer,
    site: Site,
) -> None:
    for origin in (None, "https://evil.example"):
        with pytest.raises(InvalidStatus) as refused:
            async with plain(
                server.ws_url, "general/", origin=origin, cookie=site.cookie
            ):
                pass
        assert refused.value.response.status_code == 403
        body = bytes(refused.value.response.body or b"")
        assert (b"ALLOWED_ORIGINS" in body) is server.kind.explains

    async with welcomed(
        server.ws_url, "general/", origin=server.url, cookie=site.cookie
    ) as bare:
        user = bare.heard[0]["user"]
        assert (user["kind"], user["name"]) == ("user", "Ada")


async def test_a_server_that_does_not_wait_is_warned_of_once(
    server: OtherServer,
) -> None:
    for _ in range(2):
        async with plain(server.ws_url, "general/") as bare:
            await bare.say(message="hi")
            await bare.hear()
    warned = server.output.count("no_write_flow_control server=daphne version=")
    assert warned == (0 if server.kind.waits else 1)


@contextlib.asynccontextmanager
async def not_reading(
    server: OtherServer, path: str
) -> AsyncIterator[ClientConnection]:
    """Connect, with little room in the kernel, and do not read."""
    plug = socket.socket()
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plug.connect(("127.0.0.1", server.port))
    plug.setblocking(False)
    socket_ = await connect(
        f"{server.ws_url}/ws/chat/{path}",
        sock=plug,
        compression=None,
        ping_interval=None,
        max_queue=1,
        proxy=None,
    )
    try:
        yield socket_
    finally:
        socket_.transport.abort()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
@pytest.mark.parametrize(
    "server",
    [kind for kind in KINDS if kind.heading],  # the other one is Daphne again
    ids=lambda kind: kind.name,
    indirect=True,
)
async def test_slow_readers_cost_little_and_miss_nothing(server: OtherServer) -> None:
    """What is not read is fed from the log later, where the server waits."""
    readers, count, text = 16, 400, "x" * 15_000

    async with Client(server.url, rooms=["slow"]) as ada:
        await asyncio.gather(*(ada.send("slow", text) for _ in range(50)))
        async with contextlib.AsyncExitStack() as stack:
            slow = [
                await stack.enter_async_context(not_reading(server, "slow/?after=50"))
                for _ in range(readers)
            ]
            before = server.memory_bytes()
            seqs = []
            for _ in range(count // 50):
                sends = [ada.send("slow", text) for _ in range(50)]
                await asyncio.gather(*sends)
                # Who takes nothing at all for ten seconds is cut off.
                seqs.append(json.loads(await slow[0].recv())["seq"])
            # The last one is with everybody who reads.
            async with asyncio.timeout(LIMIT_SECONDS):
                while getattr(await anext(ada), "seq", 0) < 50 + count:
                    pass
            grown = server.memory_bytes() - before
            if server.kind.waits:
                assert grown < 45 * MEGABYTE  # mostly two workers that warm up
            else:
                assert grown > 55 * MEGABYTE  # should it wait one day, tell everybody

            async with asyncio.timeout(LIMIT_SECONDS):
                while len(seqs) < count:
                    seqs.append(json.loads(await slow[0].recv())["seq"])
            assert seqs == list(range(51, 51 + count))


async def test_a_message_reaches_every_worker(server: OtherServer) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ada = await stack.enter_async_context(plain(server.ws_url, "workers/"))
        if server.kind.workers > 1:
            bob = await on_another_worker(server, ada, stack)
        else:
            bob = await stack.enter_async_context(plain(server.ws_url, "workers/"))
            assert worker(server, bob) == worker(server, ada)
        await ada.say(message="Hello over there!")
        assert (await bob.hear())["message"] == "Hello over there!"
        await bob.say(message="Hello to you!")
        heard = await ada.hear_until(lambda said: said.get("seq") == 2)
        assert heard["message"] == "Hello to you!"


async def on_another_worker(
    server: OtherServer,
    other: Bare,
    stack: contextlib.AsyncExitStack,
) -> Bare:
    """Connect to another process: the one that `other` is on is held meanwhile."""
    held = worker(server, other)
    opened = [
        asyncio.create_task(
            stack.enter_async_context(plain(server.ws_url, "workers/")),
        )
        for _ in range(10)
    ]
    os.kill(held, signal.SIGSTOP)
    try:
        await asyncio.wait(opened, return_when=asyncio.FIRST_COMPLETED)
    finally:
        os.kill(held, signal.SIGCONT)
    for bare in await asyncio.gather(*opened):
        if worker(server, bare) != held:
            return bare
    raise AssertionError("one worker took all connections, though it was held")


def worker(server: OtherServer, bare: Bare) -> int:
    """Return the id of the process that serves a client."""
    return server.worker_of(bare.socket.local_address[1])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
async def test_a_stop_is_seen_and_a_start_resumed(kind: Kind, start: Start) -> None:
    server = start(kind)

    async with Client(
        server.url,
        rooms=ROOMS,
        min_backoff_seconds=0.01,
        max_backoff_seconds=0.05,
    ) as client:
        for room in ROOMS:
            await client.send(room, "before")
        async with plain(server.ws_url, "kitchen/") as bare:
            stopping = asyncio.create_task(asyncio.to_thread(server.stop))
            assert await bare.closed() == kind.stop_code
            await stopping
        sending = [asyncio.create_task(client.send(room, "after")) for room in ROOMS]
        await asyncio.to_thread(server.start)
        sent = await asyncio.gather(*sending)
        assert [each.seq for each in sent] == [2, 2]
        expected = [(1, "before"), (2, "after")]
        assert await messages(client, 2) == dict.fromkeys(ROOMS, expected)
    server.close()
