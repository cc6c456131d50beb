"""What an application calls, against a server that behaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.client import (
    Client,
    ClientClosed,
    NotConnected,
    NotSent,
    OutboxFull,
    Refused,
    RoomLost,
    RoomRefused,
    Sent,
    Status,
)
from headgate.protocol import commands, pushes
from headgate.protocol.codes import Code
from tests.client.conftest import Connect
from tests.client.model_server import Fault, ModelServer, refusal


async def test_send_and_read(server: ModelServer, connect: Connect) -> None:
    ada = await connect(rooms=["general"], name="Ada")
    bob = await connect(rooms=["general"], name="Bob")

    sent = await ada.client.send("general", "hi", data={"a": 1})

    assert sent == Sent(1, "2026-01-01T00:00:00Z", server.log["general"][0].client_id)
    for each in (ada, bob):
        (push,) = await each.read(1)
        assert isinstance(push, pushes.Message)
        assert (push.text, push.author.name, push.data) == ("hi", "Ada", {"a": 1})
    assert ada.client.user.name == "Ada"
    assert ada.client.state.status is Status.ONLINE


async def test_join_is_live_from_now_and_with_after_from_there(
    server: ModelServer, connect: Connect
) -> None:
    for n in range(5):
        server.write("general", str(n))
    now, after = await connect(), await connect()

    info = await now.client.join("general")
    await after.client.join("general", 2)
    server.write("general", "new")

    assert (info.head, info.epoch) == (5, "e1")
    assert await now.client.join("general") is info
    assert [push.text for push in await now.read(1)] == ["new"]
    assert [push.text for push in await after.read(4)] == ["2", "3", "4", "new"]


async def test_after_leave_nothing_comes(server: ModelServer, connect: Connect) -> None:
    ada = await connect(rooms=["a", "b"])
    await ada.client.leave("a")
    await ada.client.leave("a")
    server.write("a", "unheard")
    server.write("b", "heard")

    assert [push.text for push in await ada.read(1)] == ["heard"]


async def test_leave_while_joining(server: ModelServer, connect: Connect) -> None:
    ada = await connect()
    server.on_command = lambda _, command: (
        Fault.SILENCE if isinstance(command, commands.Join) else None
    )
    joining = asyncio.ensure_future(ada.client.join("a"))
    await server.until(lambda: isinstance(server.seen[-1], commands.Join))
    await ada.client.leave("a")

    with pytest.raises(NotSent):
        await joining


async def test_edit_delete_history(server: ModelServer, connect: Connect) -> None:
    ada = await connect(rooms=["a"])
    first = await ada.client.send("a", "one")
    edit = await ada.client.edit("a", first.seq, "two")
    await ada.client.delete("a", first.seq)

    assert (edit.seq, edit.client_id) == (2, None)
    kinds = [type(push) for push in await ada.read(3)]
    assert kinds == [pushes.Message, pushes.Edited, pushes.Deleted]
    events = await ada.client.history("a", of="events", after=1)
    assert [event.seq for event in events.events] == [2, 3]
    messages = await ada.client.history("a", limit=10)
    assert [message.seq for message in messages.messages] == [1]


async def test_signals_and_marks(server: ModelServer, connect: Connect) -> None:
    ada = await connect(rooms=["a"])
    ada.client.typing("a")
    ada.client.read("a", 3)
    assert await ada.client.ping() >= 0
    author = pushes.Author(id="b", kind="user", name="Bob")
    signals = [
        pushes.TypingSignal(room="a", author=author, typing=True),
        pushes.ReadMark(room="a", author=author, seq=1),
        pushes.Rooms(joined=["c"]),
        pushes.RoomChanged(room="a", slow_mode_ms=30_000),
    ]
    for signal in signals:
        server.push_all(signal)

    assert await ada.read(4) == signals
    await server.until(lambda: isinstance(server.seen[-1], commands.Read))
    sent = [c for c in server.seen if isinstance(c, commands.Typing | commands.Read)]
    assert [getattr(c, "typing", None) for c in sent] == [True, None]


async def test_a_refused_message_does_not_stop_the_next(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    server.on_command = lambda _, command: (
        refusal(Code.FORBIDDEN)
        if isinstance(command, commands.Send) and command.text == "bad"
        else None
    )
    outcomes = await asyncio.gather(
        *(ada.client.send("a", text) for text in ("one", "bad", "two")),
        return_exceptions=True,
    )

    assert isinstance(outcomes[1], Refused)
    assert outcomes[1].code == "forbidden"
    assert server.texts("a") == ["one", "two"]


async def test_a_mute_is_told_to_the_caller(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect()
    server.on_command = lambda _, command: (
        refusal(Code.MUTED, retry_after_ms=60_000)
        if isinstance(command, commands.Send)
        else None
    )
    with pytest.raises(Refused) as caught:
        await ada.client.send("a", "x")
    assert (caught.value.code, caught.value.retry_after_ms) == ("muted", 60_000)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"text": "x" * 17_000}, "too_large", None),
        ({"text": "x" * 70_000}, "too_large", None),  # would close with 1009
        ({"text": "  "}, "bad_command", "text"),
        ({"text": "x", "kind": "system"}, "bad_command", "kind"),
        ({"text": "x", "room": "no room"}, "bad_command", "room"),
    ],
)
async def test_what_no_server_takes_is_not_sent(
    server: ModelServer,
    connect: Connect,
    fields: dict[str, Any],
    code: str,
    field: str | None,
) -> None:
    ada = await connect()
    with pytest.raises(Refused) as caught:
        await ada.client.send(**({"room": "a"} | fields))

    assert (caught.value.code, caught.value.field) == (code, field)
    assert [type(command) for command in server.seen] == [commands.Hello]


async def test_a_full_outbox_refuses(server: ModelServer, connect: Connect) -> None:
    ada = await connect(max_outbox_items=2)
    server.on_command = lambda *_: Fault.SILENCE
    sends = [asyncio.ensure_future(ada.client.send("a", "x")) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(OutboxFull):
        await ada.client.send("a", "x")
    for send in sends:
        send.cancel()
    await asyncio.wait(sends)


async def test_the_first_rooms_must_be_for_us(server: ModelServer) -> None:
    server.refused["secret"] = refusal(Code.NOT_FOUND)
    client = Client(server.url, rooms=["a", "secret"])
    with pytest.raises(RoomRefused) as caught:
        await client.open()

    assert (caught.value.room, caught.value.code) == ("secret", "not_found")
    assert client.state.status is Status.CLOSED


async def test_a_later_room_that_is_not_for_us(
    server: ModelServer, connect: Connect
) -> None:
    server.refused["secret"] = refusal(Code.NOT_FOUND)
    ada = await connect(rooms=["a"])
    with pytest.raises(RoomRefused):
        await ada.client.join("secret")

    server.write("a", "still here")
    assert [push.text for push in await ada.read(1)] == ["still here"]


async def test_a_room_that_is_taken_away_while_we_were_gone(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a", "b"])
    server.refused["a"] = refusal(Code.FORBIDDEN)
    server.cut_all()

    assert await ada.read(1) == [RoomLost(room="a", error=server.refused["a"])]
    await ada.until(Status.ONLINE, times=2)
    await server.until(lambda: server.peers and server.peers[0].rooms == {"b"})


async def test_join_waits_out_a_limit(server: ModelServer, connect: Connect) -> None:
    refusals = [refusal(Code.RATE_LIMITED, retry_after_ms=10)] * 3
    server.on_command = lambda _, command: (
        refusals.pop() if isinstance(command, commands.Join) and refusals else None
    )
    ada = await connect(rooms=["a"])

    assert not refusals
    assert ada.times(Status.ONLINE) == 1


async def test_history_waits_out_a_limit(server: ModelServer, connect: Connect) -> None:
    ada = await connect(rooms=["a"])
    refusals = [refusal(Code.RATE_LIMITED, retry_after_ms=1)] * 4
    server.on_command = lambda *_: refusals.pop() if refusals else None

    page = await ada.client.history("a")

    assert page.messages == []
    assert not refusals


async def test_close_ends_everything(server: ModelServer, connect: Connect) -> None:
    ada = await connect(rooms=["a"])
    server.on_command = lambda _, command: (
        Fault.SILENCE if isinstance(command, commands.Send) else None
    )
    sends = [asyncio.ensure_future(ada.client.send("a", t)) for t in ("one", "two")]
    reading = asyncio.ensure_future(anext(ada.client))
    await server.until(lambda: isinstance(server.seen[-1], commands.Send))
    await ada.client.close()
    await ada.client.close()

    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NotSent, NotSent]
    assert [getattr(o, "unanswered", None) for o in outcomes] == [True, False]
    assert isinstance(getattr(outcomes[0], "__cause__", None), ClientClosed)
    with pytest.raises(StopAsyncIteration):
        await reading
    with pytest.raises(ClientClosed):
        await ada.client.join("b")
    with pytest.raises(NotSent):
        await ada.client.send("a", "three")
    await server.until(lambda: not server.peers)


async def test_before_open_nothing_works() -> None:
    client = Client("http://127.0.0.1:1")
    with pytest.raises(ClientClosed):
        await client.send("a", "x")
    with pytest.raises(ClientClosed):
        await client.ping()
    await client.close()


async def test_a_client_is_opened_once(connect: Connect) -> None:
    ada = await connect()
    with pytest.raises(RuntimeError):
        await ada.client.open()


async def test_open_can_be_given_up() -> None:
    client = Client("http://127.0.0.1:1", min_backoff_seconds=0.01)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.open()

    assert client.state.status is Status.CLOSED


async def test_a_wrong_room_name_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="names no room"):
        Client("http://127.0.0.1:1", rooms=["no room"])


async def test_a_cancelled_message_is_not_sent_later(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect()
    server.on_command = lambda _, command: (
        Fault.SILENCE if isinstance(command, commands.Send) else None
    )
    sends = [asyncio.ensure_future(ada.client.send("a", t)) for t in ("one", "two")]
    await server.until(lambda: isinstance(server.seen[-1], commands.Send))
    for send in sends:
        send.cancel()
    await asyncio.wait(sends)
    server.on_command = lambda *_: None
    server.cut_all()

    await ada.client.send("a", "three")

    assert server.texts("a") == ["three"]


async def test_a_cancelled_message_makes_way_for_the_next(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect()
    refusals = [refusal(Code.RATE_LIMITED, retry_after_ms=3_600_000)]
    server.on_command = lambda *_: refusals.pop() if refusals else None
    first, second = (
        asyncio.ensure_future(ada.client.send("a", text)) for text in ("one", "two")
    )
    await server.until(lambda: not refusals)
    await ada.client.ping()  # the refusal has arrived
    first.cancel()
    async with asyncio.timeout(60):
        await second

    assert server.texts("a") == ["two"]


async def test_ping_needs_a_connection(server: ModelServer, connect: Connect) -> None:
    ada = await connect(min_backoff_seconds=60, max_backoff_seconds=60)
    server.on_command = lambda *_: Fault.DROP
    with pytest.raises(NotConnected):
        await ada.client.ping()
    with pytest.raises(NotConnected):
        await ada.client.ping()
    ada.client.typing("a")  # lost, as it may be


async def test_a_client_id_of_ones_own(server: ModelServer, connect: Connect) -> None:
    ada = await connect()
    first = await ada.client.send("a", "x", client_id="c-1")
    again = await ada.client.send("a", "x", client_id="c-1")

    assert first == again
    assert server.client_ids("a") == ["c-1"]
