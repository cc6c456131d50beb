"""Coming back: what is resumed, what is sent again, and when it is over."""

from __future__ import annotations

import asyncio

import pytest

from headgate.client import (
    Client,
    ClosedByServer,
    HandshakeRefused,
    IdentityChanged,
    NotSent,
    Sent,
    Status,
)
from headgate.protocol import commands, pushes
from headgate.protocol.codes import Close, Code
from headgate.protocol.commands import Position
from tests.client.conftest import Connect, Watched
from tests.client.model_server import (
    LIMIT_SECONDS,
    Fault,
    Hook,
    ModelServer,
    Peer,
    refusal,
)


def first_send(fault: Fault | pushes.Error) -> Hook:
    """Return a hook that lets `fault` befall the first message only."""
    faults = [fault]
    return lambda _, command: (
        faults.pop() if isinstance(command, commands.Send) and faults else None
    )


async def test_nothing_is_missed_while_away(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"], name="Ada")
    server.write("a", "1")
    await ada.read(1)
    server.cut_all()
    for n in range(2, 300):
        server.write("a", str(n))

    assert [push.text for push in await ada.read(298)] == [
        str(n) for n in range(2, 300)
    ]
    hello = server.hellos[1]
    assert hello.resume == {"a": Position(1, "e1")}
    assert hello.guest == ada.client.guest == "guest-1"


async def test_a_lost_acknowledgement_comes_with_the_welcome(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    server.on_command = first_send(Fault.LOSE_REPLY)

    sent = await ada.client.send("a", "x", client_id="c-1")

    assert sent == Sent(1, None, "c-1")
    assert server.hellos[1].pending == {"a": ["c-1"]}
    assert len([c for c in server.seen if isinstance(c, commands.Send)]) == 1


async def test_a_lost_message_is_sent_again_first(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    server.on_command = first_send(Fault.DROP)

    await asyncio.gather(*(ada.client.send("a", str(n)) for n in range(20)))

    assert server.texts("a") == [str(n) for n in range(20)]


async def test_a_message_to_a_room_that_is_not_watched_lands_too(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect()
    server.on_command = first_send(Fault.LOSE_REPLY)

    assert (await ada.client.send("a", "x")).seq == 1
    assert not server.peers[0].rooms


@pytest.mark.parametrize(
    "code", [Code.RATE_LIMITED, Code.OVERLOADED, Code.UNAVAILABLE, Code.INTERNAL]
)
async def test_refusals_that_pass_are_waited_out_in_order(
    server: ModelServer, connect: Connect, code: Code
) -> None:
    ada = await connect()
    refusals = [refusal(code, retry_after_ms=5)] * 20
    server.on_command = lambda _, command: (
        refusals.pop() if isinstance(command, commands.Send) and refusals else None
    )

    await asyncio.gather(*(ada.client.send("a", str(n)) for n in range(5)))

    assert server.texts("a") == [str(n) for n in range(5)]
    sent = [c.client_id for c in server.seen if isinstance(c, commands.Send)]
    assert sent[:21] == [sent[0]] * 21


async def test_a_wait_is_as_long_as_the_server_says(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect()
    loop = asyncio.get_running_loop()
    server.on_command = first_send(refusal(Code.RATE_LIMITED, retry_after_ms=120))
    began = loop.time()
    send = asyncio.ensure_future(ada.client.send("a", "x"))
    await server.until(lambda: isinstance(server.seen[-1], commands.Send))
    await ada.client.send("b", "another room does not wait")
    assert loop.time() - began < 0.12
    await send
    assert loop.time() - began >= 0.12


async def test_without_a_reply_the_connection_is_given_up(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(reply_timeout_seconds=0.1)
    server.on_command = first_send(Fault.SILENCE)

    await ada.client.send("a", "x")

    assert server.texts("a") == ["x"]
    reasons = [s.reason for s in ada.states if s.status is Status.WAITING]
    assert reasons == ["no reply in time"]


async def test_a_server_that_comes_back_on_its_port(connect: Connect) -> None:
    first, second = ModelServer(), ModelServer()
    await first.start(0)
    watched = Watched(first.url, rooms=["a"])
    async with watched.client as client:
        await first.stop()
        send = asyncio.ensure_future(client.send("a", "x"))
        await watched.until(Status.WAITING, times=3)
        await second.start(first.port)
        async with asyncio.timeout(LIMIT_SECONDS):
            assert (await send).seq == 1
    await second.stop()


@pytest.mark.parametrize("code", [4500, 4503, 4999, 1009])
async def test_closes_that_mean_stay_away(
    server: ModelServer, connect: Connect, code: int
) -> None:
    ada = await connect(rooms=["a"])
    server.on_command = first_send(Fault.SILENCE)
    send = asyncio.ensure_future(ada.client.send("a", "x", client_id="c-1"))
    await server.until(lambda: isinstance(server.seen[-1], commands.Send))
    server.write("a", "last words")
    error = refusal(Code.FORBIDDEN)
    server.peers[0].put(pushes.Failure(reply=None, error=error))
    assert [push.text for push in await ada.read(1)] == ["last words"]
    await server.peers[0].socket.close(code, "go away")

    for _ in range(2):
        with pytest.raises(ClosedByServer) as caught:
            await ada.read(1)
    assert (caught.value.code, caught.value.reason) == (code, "go away")
    assert caught.value.error == error
    with pytest.raises(NotSent) as not_sent:
        await send
    assert not_sent.value.unanswered
    assert not_sent.value.__cause__ is caught.value
    with pytest.raises(ClosedByServer):
        await ada.client.join("b")
    assert ada.client.state.status is Status.CLOSED
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 4000, 4003, 4012, 4499])
async def test_closes_that_mean_come_back(
    server: ModelServer, connect: Connect, code: int
) -> None:
    ada = await connect()
    await server.peers[0].socket.close(code)
    await ada.until(Status.ONLINE, times=2)


async def test_going_away_says_when_to_come_back(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect()
    server.push_all(pushes.GoingAway(reconnect_in_ms=150))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await ada.client.ping()
    await server.peers[0].socket.close(1012)
    await ada.until(Status.ONLINE, times=2)

    assert loop.time() - began >= 0.14


async def test_going_away_is_no_failure_to_wait_longer_for(
    server: ModelServer, connect: Connect
) -> None:
    """The server has spread the returns; our own spread would only add to them."""
    ada = await connect(
        min_backoff_seconds=600.0, max_backoff_seconds=600.0, random=lambda: 1.0
    )
    for times in (2, 3):
        server.push_all(pushes.GoingAway(reconnect_in_ms=5))
        await ada.client.ping()
        await server.peers[0].socket.close(1012)
        await ada.until(Status.ONLINE, times=times)


async def test_a_server_that_goes_before_it_welcomes(
    server: ModelServer, connect: Connect
) -> None:
    ticket = server.ticket_for(pushes.Author(id="guest-1", kind="guest", name="Ada"))
    hellos = 0

    def goes(peer: Peer, command: commands.Command) -> Fault | None:
        nonlocal hellos
        hellos += isinstance(command, commands.Hello)
        if hellos > 1:
            return None
        peer.put(pushes.GoingAway(reconnect_in_ms=150, ticket=ticket))
        peer.outgoing.put_nowait(Close.GOING_AWAY)
        return Fault.SILENCE

    server.on_command = goes
    loop = asyncio.get_running_loop()
    began = loop.time()
    await connect()
    assert loop.time() - began >= 0.14
    assert server.presented() == [None, ticket]


async def test_an_error_before_the_close_says_when_to_come_back(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect()
    error = refusal(Code.RATE_LIMITED, retry_after_ms=3_600_000)
    server.peers[0].put(pushes.Failure(reply=None, error=error))
    await ada.client.ping()
    await server.peers[0].socket.close(4000)
    await ada.until(Status.WAITING)

    at = ada.client.state.next_try_at
    assert 3590 < at - asyncio.get_running_loop().time() < 3601


async def test_a_refused_hello_that_passes(server: ModelServer) -> None:
    refusals = [refusal(Code.UNAVAILABLE, retry_after_ms=1)]
    server.on_command = lambda *_: refusals.pop() if refusals else None
    watched = Watched(server.url)
    async with asyncio.timeout(LIMIT_SECONDS), watched.client:
        assert watched.times(Status.WAITING) == 1


async def test_a_refused_hello_that_does_not(server: ModelServer) -> None:
    server.on_command = lambda *_: refusal(Code.UNAUTHENTICATED)
    with pytest.raises(ClosedByServer, match="Sign in first"):
        await Watched(server.url, rooms=["a"]).client.open()


async def test_no_welcome_in_time(server: ModelServer) -> None:
    silences = [Fault.SILENCE]
    server.on_command = lambda *_: silences.pop() if silences else None
    watched = Watched(server.url, open_timeout_seconds=0.1)
    async with asyncio.timeout(LIMIT_SECONDS), watched.client:
        reasons = [s.reason for s in watched.states if s.status is Status.WAITING]
        assert reasons == ["no welcome in time"]


async def test_a_refused_handshake(server: ModelServer) -> None:
    server.refused_handshakes = [(503, {}), (429, {}), (403, {})]
    watched = Watched(server.url)
    with pytest.raises(HandshakeRefused) as caught:
        await watched.client.open()

    assert caught.value.status == 403
    assert watched.times(Status.WAITING) == 2
    with pytest.raises(HandshakeRefused):
        await anext(watched.client)


async def test_another_identity_is_the_end(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    hook = first_send(Fault.LOSE_REPLY)

    def forget(peer: Peer, command: commands.Command) -> Fault | pushes.Error | None:
        if isinstance(command, commands.Hello):
            command.guest = None
        return hook(peer, command)

    server.on_command = forget
    with pytest.raises(NotSent) as caught:
        await ada.client.send("a", "x")

    assert isinstance(caught.value.__cause__, IdentityChanged)
    with pytest.raises(IdentityChanged, match="guest-1"):
        await ada.read(2)
    assert server.texts("a") == ["x"]


async def test_a_guest_of_before(server: ModelServer, connect: Connect) -> None:
    ada = await connect(name="Ada")
    await ada.client.close()
    again = await connect(guest=ada.client.guest)

    assert again.client.user.id == ada.client.user.id


async def test_another_epoch_is_told_and_followed(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    for n in range(5):
        server.write("a", str(n))
    await ada.read(5)
    del server.log["a"][2:]
    server.epochs["a"] = "e2"
    server.cut_all()

    reset = pushes.Reset(room="a", oldest=1, head=2, epoch="e2")
    assert await ada.read(1) == [reset]
    server.write("a", "new")
    assert [push.seq for push in await ada.read(1)] == [3]


async def test_more_rooms_than_a_hello_holds(
    server: ModelServer, connect: Connect
) -> None:
    rooms = [f"{n:03}-{'x' * 60}" for n in range(100)]
    for room in rooms:
        server.epochs[room] = "e" * 100
    ada = await connect(rooms=rooms)
    server.cut_all()
    for room in rooms:
        server.write(room, "while away")

    assert {push.room for push in await ada.read(100)} == set(rooms)
    assert 0 < len(server.hellos[1].resume) < 100


async def test_more_unanswered_messages_than_a_hello_holds(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["r0"])
    rooms = [f"r{n}" for n in range(100)]
    client_id = "\N{GRINNING FACE}" * 64
    server.on_command = lambda _, command: (
        Fault.SILENCE if isinstance(command, commands.Send) else None
    )
    sends = [
        asyncio.ensure_future(ada.client.send(room, "x", client_id=client_id))
        for room in rooms
    ]
    await server.until(lambda: len(server.seen) == 2 + len(rooms))
    server.on_command = lambda *_: None
    server.cut_all()
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(*sends)

    assert [server.client_ids(room) for room in rooms] == [[client_id]] * len(rooms)
    assert server.hellos[1].pending == {}
    assert set(server.hellos[1].resume) == {"r0"}


async def test_a_frame_that_is_too_large_for_us_is_no_order_to_stay_away(
    server: ModelServer, connect: Connect
) -> None:
    """We close with 1009 ourselves then, and the server repeats it."""
    ada = await connect()
    server.push_all(pushes.Rooms(left=["x" * 9 * 2**20]))
    await ada.until(Status.ONLINE, times=2)


async def test_a_bug_inside_is_not_hidden(server: ModelServer) -> None:
    def on_state(state: object) -> None:
        raise ZeroDivisionError

    client = Client(server.url, on_state=on_state)
    with pytest.raises(ZeroDivisionError):
        await client.open()
