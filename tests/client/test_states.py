"""Being told what the client does about its connection, and hurrying it."""

from __future__ import annotations

import asyncio

import pytest

from headgate.client import Client, ClientClosed, State, Status
from headgate.client.state import States
from headgate.protocol import pushes
from headgate.protocol.codes import Close
from tests.client.conftest import Connect
from tests.client.model_server import LIMIT_SECONDS, ModelServer

LONG = {
    "min_backoff_seconds": 60,
    "max_backoff_seconds": 60,
    "random": lambda: 1.0,
    "clock": lambda: 1000.0,
}


async def test_each_state_comes_to_everybody() -> None:
    states = States(None)
    one, other = states.each(), states.each()
    for each in (one, other):
        assert await anext(each) == State(Status.CONNECTING)
    waiting = [asyncio.ensure_future(anext(each)) for each in (one, other)]
    await asyncio.sleep(0)
    assert not any(each.done() for each in waiting), "nothing has changed"

    states.move(State(Status.ONLINE))

    async with asyncio.timeout(LIMIT_SECONDS):
        assert await asyncio.gather(*waiting) == [State(Status.ONLINE)] * 2
    states.move(State(Status.WAITING, 7.0, "gone"))
    states.move(State(Status.CLOSED, reason="over"))
    assert [each async for each in one] == [State(Status.CLOSED, reason="over")]
    assert [each async for each in states.each()] == [states.now]


async def test_from_the_first_to_the_last(server: ModelServer) -> None:
    client = Client(server.url)
    states = client.states()
    async with asyncio.timeout(LIMIT_SECONDS):
        assert (await anext(states)).status is Status.CONNECTING
        next_one = asyncio.ensure_future(anext(states))
        await asyncio.sleep(0)
        async with client:
            assert (await next_one).status is Status.ONLINE
        assert [state.status async for state in states] == [Status.CLOSED]


async def test_the_next_try_is_told_and_can_be_had_now(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(**LONG)
    server.cut_all()
    await ada.until(Status.WAITING)
    assert ada.client.state.next_try_at == 1060.0

    ada.client.retry_now()

    await ada.until(Status.ONLINE, times=2)
    tries = [state.next_try_at for state in ada.states if state.next_try_at]
    assert tries == [1060.0, 1000.25], "at once, and still no flood"


async def test_what_the_server_has_asked_to_wait_is_waited(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(**LONG)
    server.push_all(pushes.GoingAway(reconnect_in_ms=30_000))
    await ada.client.ping()
    await server.peers[0].socket.close(Close.GOING_AWAY)
    await ada.until(Status.WAITING)

    ada.client.retry_now()
    await ada.until(Status.WAITING, times=2)

    assert ada.client.state.next_try_at == 1030.0
    assert len(server.requests) == 1


async def test_a_hurry_is_over_with_the_wait(
    server: ModelServer, connect: Connect
) -> None:
    """One that comes while there is a connection hurries nothing later."""
    ada = await connect(**LONG)
    ada.client.retry_now()
    server.cut_all()
    await ada.until(Status.WAITING)
    await asyncio.sleep(0)
    assert ada.client.state.next_try_at == 1060.0
    assert ada.times(Status.WAITING) == 1


async def test_who_was_not_known_may_be_by_now(
    server: ModelServer, connect: Connect
) -> None:
    server.takes_guests = False
    ada = await connect()
    assert ada.times(Status.WAITING) == 1
    ada.client.retry_now()
    await ada.until(Status.WAITING, times=2)
    assert ada.client.user is None

    server.takes_guests = True
    ada.client.retry_now()
    await ada.until(Status.ONLINE)


async def test_there_is_nothing_to_hurry_before_and_after(server: ModelServer) -> None:
    client = Client(server.url)
    with pytest.raises(ClientClosed):
        client.retry_now()
    async with client:
        client.retry_now()
    with pytest.raises(ClientClosed):
        client.retry_now()
