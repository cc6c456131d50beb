"""The work on one connection: bounds, repair, and who waits for whom."""

from __future__ import annotations

import asyncio
from typing import Any

from headgate.client import RoomLost, Status
from headgate.protocol import commands, pushes
from headgate.protocol.codes import Code
from tests.client.conftest import Connect
from tests.client.model_server import (
    LIMIT_SECONDS,
    Fault,
    ModelServer,
    Peer,
    refusal,
)


async def test_doubles_and_holes_and_gaps(
    server: ModelServer, connect: Connect
) -> None:
    """Every third push is doubled, lost, or becomes a gap."""

    def on_push(peer: Peer, push: Any) -> list[Any]:
        if not isinstance(push, pushes.Message) or push.text == "end":
            return [push]
        gap = pushes.Gap(room=push.room, from_=push.seq, to=push.seq)
        return [[push, push], [], [gap], [push]][push.seq % 4]

    ada = await connect(rooms=["a"])
    server.on_push = on_push
    for n in range(500):
        server.write("a", str(n))
    server.write("a", "end")

    assert await ada.read(501) == server.log["a"]
    assert ada.times(Status.ONLINE) == 1


async def test_an_application_that_does_not_read_stops_the_socket(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"], max_inbox_items=10)
    text = "x" * 2000
    for _ in range(5000):
        server.write("a", text)
    peer = server.peers[0]
    async with asyncio.timeout(LIMIT_SECONDS):
        while peer.socket.transport.get_write_buffer_size() == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # until the kernel's buffers are full

    assert len(ada.client._inbox) <= 10
    assert peer.outgoing.qsize() > 0, "the server could not write everything"
    assert [push.seq for push in await ada.read(5000)] == list(range(1, 5001))
    assert ada.times(Status.ONLINE) == 1


async def test_a_reply_is_found_behind_pushes_that_nobody_reads(
    server: ModelServer, connect: Connect
) -> None:
    """An application that sends while it handles a push does not read meanwhile."""
    ada = await connect(rooms=["a"], max_inbox_items=5)
    for n in range(1000):
        server.write("a", str(n))
    answered = []
    async with asyncio.timeout(LIMIT_SECONDS):
        async for push in ada.client:
            if push.seq % 100 == 0 and push.client_id is None:
                answered.append((await ada.client.send("a", "answer")).seq)
            if push.seq == 1010:
                break
            assert len(ada.client._inbox) <= 5

    assert len(answered) == 10
    assert server.texts("a")[1000:] == ["answer"] * 10
    assert ada.times(Status.ONLINE) == 1


async def test_signals_may_be_lost_but_resets_are_not(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"], max_inbox_items=2)
    author = pushes.Author(id="b", kind="user", name="Bob")
    reset = pushes.Reset(room="a", oldest=1, head=0, epoch="e2")
    for _ in range(50):
        server.push_all(pushes.TypingSignal(room="a", author=author, typing=True))
    await ada.client.ping()
    server.push_all(reset)

    read = []
    async with asyncio.timeout(LIMIT_SECONDS):
        while not read or read[-1] != reset:
            read.append(await anext(ada.client))
    assert 3 <= len(read) <= 51


async def test_a_log_that_is_no_longer_for_us_loses_the_room(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    server.on_command = lambda _, command: (
        refusal(Code.FORBIDDEN) if isinstance(command, commands.History) else None
    )
    server.push_all(pushes.Gap(room="a", from_=1, to=2))

    (lost,) = await ada.read(1)
    assert isinstance(lost, RoomLost)
    assert lost.error.code == "forbidden"


async def test_a_repair_waits_out_limits(server: ModelServer, connect: Connect) -> None:
    ada = await connect(rooms=["a"])
    refusals = [refusal(Code.RATE_LIMITED, retry_after_ms=1)] * 5
    server.on_command = lambda *_: refusals.pop() if refusals else None
    server.on_push = lambda _, push: [push] if push.seq == 450 else []
    for n in range(450):
        server.write("a", str(n))

    assert [push.seq for push in await ada.read(450)] == list(range(1, 451))
    assert not refusals


async def test_a_connection_that_is_lost_during_a_repair(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"], reply_timeout_seconds=0.2)
    faults = [Fault.DROP, Fault.SILENCE, Fault.LOSE_REPLY]
    used = []

    def on_command(peer: Peer, command: commands.Command) -> Fault | None:
        if isinstance(command, commands.History) and faults:
            used.append(faults.pop())
            return used[-1]
        return None

    server.on_command = on_command
    server.on_push = lambda _, push: [] if push.seq % 5 == 3 and faults else [push]
    stream = []
    for n in range(1, 5):
        for _ in range(10):
            server.write("a", "x")
        stream += await ada.read_to(10 * n)
        await server.until(lambda: server.peers and server.peers[-1].rooms)

    assert [push.seq for push in stream] == list(range(1, 41))
    assert len(used) == 3
    assert ada.times(Status.ONLINE) == 4


async def test_a_silent_server_is_found_out(
    server: ModelServer, connect: Connect
) -> None:
    server.heartbeat_ms = 100
    ada = await connect(reply_timeout_seconds=0.1)
    transport = server.peers[0].socket.transport
    transport.pause_reading()  # as a network that has gone

    await ada.until(Status.ONLINE, times=2)
    reasons = [s.reason for s in ada.states if s.status is Status.WAITING]
    assert reasons == ["no answer to a ping"]


async def test_a_quiet_server_is_not_a_silent_one(
    server: ModelServer, connect: Connect
) -> None:
    """Neither is one whose pongs wait behind pushes that nobody reads."""
    server.heartbeat_ms = 100
    reader = await connect(rooms=["a"], reply_timeout_seconds=0.1)
    sleeper = await connect(rooms=["a"], reply_timeout_seconds=0.1, max_inbox_items=1)
    for _ in range(2000):
        server.write("a", "x" * 2000)
    await asyncio.sleep(0.6)  # some heartbeats: the point is that nothing happens

    assert reader.times(Status.ONLINE) == sleeper.times(Status.ONLINE) == 1
    assert len(await sleeper.read(2000)) == 2000


async def test_what_is_not_of_this_wire_ends_the_connection(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    server.peers[0].outgoing.put_nowait(b"[]")
    await ada.until(Status.ONLINE, times=2)
    server.write("a", "x")

    assert [push.text for push in await ada.read(1)] == ["x"]


async def test_an_odd_reply_ends_the_connection(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect()
    odd = [True]

    def on_command(peer: Peer, command: commands.Command) -> Fault | None:
        if isinstance(command, commands.Send) and odd:
            odd.pop()
            peer.put({"reply": command.id, "seq": "seven"})
            return Fault.SILENCE
        return None

    server.on_command = on_command

    assert (await ada.client.send("a", "x")).seq == 1
    assert ada.times(Status.ONLINE) == 2


async def test_closing_with_much_unread_is_quick(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"], max_inbox_items=1)
    for _ in range(2000):
        server.write("a", "x" * 2000)
    await server.until(lambda: server.peers)
    async with asyncio.timeout(1):
        await ada.client.close()
