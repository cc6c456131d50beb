"""Messages that grow, against a server that behaves, and one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.client import ClientClosed, Refused
from headgate.client.growing import MOST_CHARACTERS, GrowingTexts
from headgate.protocol import commands, pushes
from headgate.protocol.codes import Code
from tests.client.conftest import Connect
from tests.client.growing_server import GrowingServer
from tests.client.model_server import LIMIT_SECONDS, Fault, Peer, refusal

BOT = pushes.Author(id="b:x", kind="bot", name="X")
AT = "2026-01-01T00:00:00Z"


@pytest.fixture(name="server")
async def server_fixture() -> AsyncIterator[GrowingServer]:
    async with GrowingServer() as server:
        yield server


def ended(server: GrowingServer, room: str = "a") -> tuple[str, str | None]:
    """Return the text and the state of the last event."""
    event = server.log[room][-1]
    assert isinstance(event, pushes.Edited)
    return event.text, event.state


# --- writing ----------------------------------------------------------------------


async def test_what_is_written_goes_together(
    server: GrowingServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    async with ada.client.grow("a", "so ", reply_to=7) as out:
        for number in range(40):
            await out.write(f"{number} ")
            await asyncio.sleep(0.005)
        assert out.seq == 1
    whole = "so " + "".join(f"{number} " for number in range(40))
    assert (out.text, out.state) == (whole, "done")
    assert ended(server) == (whole, "done")
    assert len(server.appends()) < 10
    (send,) = [each for each in server.seen if isinstance(each, commands.Send)]
    assert (send.open, send.reply_to, send.format) == (True, 7, "markdown")


async def test_much_at_once_goes_in_parts(
    server: GrowingServer, connect: Connect
) -> None:
    ada = await connect()
    async with ada.client.grow("a") as out:
        await out.write("x" * 3 * MOST_CHARACTERS)
        with pytest.raises(Refused) as refused:
            await out.write("x" * (16_385 - 3 * MOST_CHARACTERS))
        assert refused.value.code == Code.TOO_LARGE
    assert ended(server) == ("x" * 3 * MOST_CHARACTERS, "done")


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.LOSE_REPLY])
@pytest.mark.parametrize("every", [1, 2, 3])
async def test_lost_connections_are_waited_out(
    server: GrowingServer, connect: Connect, fault: Fault, every: int
) -> None:
    """Each append is lost so often, the first time with or without being done."""
    seen: dict[tuple[int, Any], int] = {}

    def lose(_: Peer, command: commands.Command) -> Fault | None:
        if not isinstance(command, commands.Append):
            return None
        key = command.at, command.state
        seen[key] = seen.get(key, 0) + 1
        return fault if seen[key] <= every else None

    server.on_command = lose
    ada = await connect(rooms=["a"])
    async with asyncio.timeout(LIMIT_SECONDS), ada.client.grow("a") as out:
        for word in ("one ", "two ", "three"):
            await out.write(word)
            await asyncio.sleep(0.05)
    assert ended(server) == ("one two three", "done")
    assert out.state == "done"
    assert len(server.log["a"]) == 2


async def test_it_goes_on_from_what_the_server_has(
    server: GrowingServer, connect: Connect
) -> None:
    ada = await connect()
    async with ada.client.grow("a") as out:
        await out.write("one two")
        await server.until(lambda: server.texts_of["a", 1] == "one two")
        server.texts_of["a", 1] = "one"  # another process, and not all was saved
        server.cut_all()
        await out.write(" three")
    assert ended(server) == ("one two three", "done")


async def test_one_that_is_silent_says_that_it_is_there(
    server: GrowingServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a new connection, and so it learns of what the server has lost."""
    monkeypatch.setattr("headgate.client.growing.THERE_SECONDS", 0.05)
    ada = await connect()

    def said() -> int:
        texts = [(each.text, each.state) for each in server.appends()]
        return texts.count(("", None))

    async with ada.client.grow("a") as out:
        await out.write("so far")
        await server.until(lambda: said() > 1)
        before = said()
        server.texts_of["a", 1] = "so"
        server.cut_all()
        await server.until(lambda: server.texts_of["a", 1] == "so far")
        await server.until(lambda: said() > before + 1)
    assert ended(server) == ("so far", "done")


async def test_a_silent_one_that_was_ended_unseen_is_stopped(
    server: GrowingServer, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its room is not joined, so nobody tells."""
    monkeypatch.setattr("headgate.client.growing.THERE_SECONDS", 0.05)
    ada = await connect()
    async with asyncio.timeout(LIMIT_SECONDS), ada.client.grow("a") as out:
        await server.until(server.appends)
        server.end(("a", 1), "cancelled")
        await asyncio.Event().wait()
    assert out.state == "cancelled"


async def test_an_end_of_which_nobody_knew_is_ones_own(
    server: GrowingServer, connect: Connect
) -> None:
    """It was `unavailable`, and had been written with another text."""
    ada = await connect()

    def unsure(_: Peer, command: commands.Command) -> pushes.Error | None:
        if isinstance(command, commands.Append) and ("a", 1) in server.texts_of:
            server.end(("a", 1), command.state)
            return refusal(Code.UNAVAILABLE, retry_after_ms=20)
        return None

    async with asyncio.timeout(LIMIT_SECONDS), ada.client.grow("a", "so far") as out:
        server.on_command = unsure
    assert out.state == "done"


async def test_an_exception_cuts_it(server: GrowingServer, connect: Connect) -> None:
    ada = await connect()
    with pytest.raises(ZeroDivisionError):
        await _fail(ada.client)
    assert ended(server) == ("so far", "cut")


async def _fail(client: Any) -> None:
    async with client.grow("a") as out:
        await out.write("so far")
        raise ZeroDivisionError


@pytest.mark.parametrize("rooms", [["a"], []], ids=["watched", "not watched"])
async def test_who_cancels_it_stops_the_task(
    server: GrowingServer, connect: Connect, rooms: list[str]
) -> None:
    ada, bob = await connect(rooms=rooms), await connect(rooms=["a"])
    steps: list[str] = []

    async def write() -> str | None:
        async with ada.client.grow("a") as out:
            steps.append("begun")
            try:
                while True:
                    await out.write("x")
                    await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                steps.append("stopped")
                raise
        await asyncio.sleep(0)
        return out.state

    task = asyncio.create_task(write())
    await server.until(lambda: server.texts_of.get(("a", 1)))
    sent = await bob.client.cancel("a", 1)
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await task == "cancelled"
    assert steps == ["begun", "stopped"]
    assert sent.seq == 2
    with pytest.raises(Refused) as refused:
        await bob.client.cancel("a", 1)
    assert refused.value.code == Code.NOT_GROWING


async def test_a_cancellation_by_anybody_else_stays_one(
    server: GrowingServer, connect: Connect
) -> None:
    ada = await connect()

    async def write() -> None:
        async with ada.client.grow("a") as out:
            await out.write("so far")
            await asyncio.Event().wait()

    task = asyncio.create_task(write())
    await server.until(lambda: server.texts_of.get(("a", 1)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended(server) == ("so far", "cut")


async def test_one_given_up_at_its_end_is_forgotten(
    server: GrowingServer, connect: Connect
) -> None:
    ada = await connect()
    server.on_command = lambda _, command: (
        Fault.SILENCE if isinstance(command, commands.Append) else None
    )
    writing = asyncio.create_task(_say(ada.client, "x"))
    await server.until(server.appends)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert not ada.client._link.own_growing._open


async def test_what_is_refused_is_raised(
    server: GrowingServer, connect: Connect
) -> None:
    ada = await connect()
    server.on_command = lambda _, command: (
        refusal(Code.FORBIDDEN) if isinstance(command, commands.Append) else None
    )
    with pytest.raises(Refused):
        await _say(ada.client, "x")


async def test_a_client_that_ends_tells_whoever_writes(
    server: GrowingServer, connect: Connect
) -> None:
    ada = await connect()
    server.on_command = lambda _, command: (
        Fault.SILENCE if isinstance(command, commands.Append) else None
    )
    writing = asyncio.create_task(_say(ada.client, "x"))
    await server.until(server.appends)
    await ada.client.close()
    with pytest.raises(ClientClosed):
        await writing


async def _say(client: Any, text: str) -> None:
    async with client.grow("a") as out:
        await out.write(text)


async def test_a_refusal_for_now_is_waited_out(
    server: GrowingServer, connect: Connect
) -> None:
    ada = await connect()
    refusals = [refusal(Code.RATE_LIMITED, policy="append", retry_after_ms=20)] * 2

    def refuse(_: Peer, command: commands.Command) -> pushes.Error | None:
        is_append = isinstance(command, commands.Append)
        return refusals.pop() if is_append and refusals else None

    server.on_command = refuse
    await _say(ada.client, "all")
    assert ended(server) == ("all", "done")


# --- reading ----------------------------------------------------------------------


async def test_partials_are_read_as_what_is_new(
    server: GrowingServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    seq = server.begin("a", "one")
    for at, text in (
        (3, " two"),
        (0, "one two"),
        (20, "hole"),
        (5, "wo three"),
        (0, "o"),
    ):
        server.grow("a", seq, at, text)
    server.texts_of["a", seq] = "one two three"
    server.end(("a", seq), "done")
    server.grow("a", seq, 0, "late")
    server.grow("a", 9, 0, "unknown")
    server.write("a", "next")

    read = await ada.read_to(3)
    assert [(type(push).__name__, push.text) for push in read] == [
        ("Message", "one"),
        ("Partial", " two"),
        ("Partial", " three"),
        ("Edited", "one two three"),
        ("Message", "next"),
    ]
    assert [push.at for push in read[1:3]] == [3, 7]


async def test_a_list_tells_how_long_a_text_is(
    server: GrowingServer, connect: Connect
) -> None:
    seq = server.begin("a", "one")
    ada = await connect(rooms=["a"])
    page = await ada.client.history("a")
    assert page.messages[0].open
    server.grow("a", seq, 0, "one two")
    (partial,) = await ada.read(1)
    assert (partial.at, partial.text) == (3, " two")


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=30))
def test_whatever_comes_the_text_has_no_hole(spans: list[tuple[int, int]]) -> None:
    whole = "abcdefghijklmnopqrstuvwxyzäöü👋"
    texts, have = GrowingTexts(), ""
    begun = pushes.Message(room="a", seq=1, author=BOT, text="", at=AT, open=True)
    assert texts.take(begun) is begun
    for first, last in spans:
        part = pushes.Partial(room="a", seq=1, at=first, text=whole[first:last])
        seen = texts.take(part)
        reaches = first <= len(have) < last
        assert (seen is not None) == (reaches and first < last)
        if isinstance(seen, pushes.Partial):
            assert seen.at == len(have)
            have += seen.text
        assert whole.startswith(have)
