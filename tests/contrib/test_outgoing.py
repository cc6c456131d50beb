"""Frames that go out: joined, or dropped."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from headgate.contrib.asgi_types import Message
from headgate.contrib.outgoing import (
    OutgoingPast,
    OutgoingThrottle,
    checked_outgoing_past,
    join_json,
)
from headgate.contrib.rules import policies_of
from headgate.contrib.throttle import Throttle
from headgate.limits import Decision, Limiter
from tests.contrib.sockets import settled


class Wire:
    """What a client gets; `open` cleared, it does not read."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None
        self._got = asyncio.Condition()

    async def count(self, number: int) -> None:
        """Wait until so many frames have come."""
        async with asyncio.timeout(30), self._got:
            await self._got.wait_for(lambda: len(self.sent) >= number)

    async def send(self, message: Message) -> None:
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        async with self._got:
            self.sent.append(message)
            self._got.notify_all()

    @property
    def frames(self) -> list[Any]:
        return [each.get("text", each.get("bytes")) for each in self.sent]


def text(content: str) -> Message:
    return {"type": "websocket.send", "text": content}


def outgoing(
    wire: Wire,
    rate: str,
    past: OutgoingPast = "join",
    dropped: list[Decision] | None = None,
    **more: Any,
) -> OutgoingThrottle:
    more = {"join": join_json, **more}
    note = [] if dropped is None else dropped
    throttle = Throttle(policies_of(rate, name="out"))
    return OutgoingThrottle(
        throttle, lambda: "c:1", past, wire.send, dropped=note.append, **more
    )


async def test_what_comes_too_fast_goes_out_as_one(real_limiter: Limiter) -> None:
    wire = Wire()
    throttle = outgoing(wire, "5/s:2")
    for number in range(6):
        await throttle.send(text(str(number)))
    assert wire.frames == ["0", "1"]
    await wire.count(3)  # the rate gives one back in 200 ms
    assert wire.frames == ["0", "1", "[2,3,4,5]"]
    await throttle.send(text("6"))  # not at once: that was the one
    assert len(wire.sent) == 3
    await wire.count(4)
    assert wire.frames[3] == "6"
    await throttle.aclose(flush=True)


async def test_texts_that_are_no_json_go_one_by_one(real_limiter: Limiter) -> None:
    wire = Wire()
    throttle = outgoing(wire, "50/s:1")
    for word in ("a", "b", "c"):
        await throttle.send(text(word))
    await wire.count(3)
    assert wire.frames == ["a", "b", "c"]
    await throttle.aclose(flush=True)


async def test_binary_messages_keep_their_place(limiter: Limiter) -> None:
    wire = Wire()
    throttle = outgoing(wire, "1/h")
    for message in (
        text("0"),
        text("1"),
        text("2"),
        {"type": "websocket.send", "bytes": b"3"},
        text("4"),
        text("5"),
    ):
        await throttle.send(message)
    await throttle.flush()
    assert wire.frames == ["0", "[1,2]", b"3", "[4,5]"]
    await throttle.aclose(flush=True)


async def test_a_join_of_ones_own(limiter: Limiter) -> None:
    wire = Wire()
    throttle = outgoing(wire, "1/h", join="\n".join)
    for word in ("a", "b", "c"):
        await throttle.send(text(word))
    await throttle.send({"type": "websocket.close", "code": 1000})
    assert wire.sent == [
        text("a"),
        text("b\nc"),
        {"type": "websocket.close", "code": 1000},
    ]
    await throttle.aclose(flush=True)


async def test_past_the_bound_it_goes_out_at_once(limiter: Limiter) -> None:
    wire = Wire()
    throttle = outgoing(wire, "1/h")
    content = json.dumps("ü" * 10_000, ensure_ascii=False)  # 20 002 bytes
    for _ in range(5):
        await throttle.send(text(content))
    assert [len(frame.encode()) for frame in wire.frames] == [20_002, 80_013]
    await throttle.aclose(flush=True)


async def test_what_waits_goes_out_at_the_end(limiter: Limiter) -> None:
    for flush, expected in ((True, ["1", "[2,3]"]), (False, ["1"])):
        wire = Wire()
        throttle = outgoing(wire, "1/h")
        limiter.store.reset(["out"], "c:1")
        for number in (1, 2, 3):
            await throttle.send(text(str(number)))
        await throttle.aclose(flush=flush)
        assert wire.frames == expected


async def test_a_client_that_does_not_read_holds_the_sender(
    real_limiter: Limiter,
) -> None:
    wire = Wire()
    throttle = outgoing(wire, "1000/s:1", max_waiting_bytes=10)
    wire.open.clear()
    first = asyncio.create_task(throttle.send(text("1")))
    await settled()
    sending = []
    for number in range(2, 20):
        sending.append(asyncio.create_task(throttle.send(text(str(number)))))
        await settled()
    assert not first.done()
    assert any(not each.done() for each in sending)
    wire.open.set()
    await asyncio.gather(first, *sending)
    await throttle.flush()
    got = [json.loads(frame) for frame in wire.frames]
    numbers = [n for each in got for n in (each if isinstance(each, list) else [each])]
    assert numbers == list(range(1, 20))
    await throttle.aclose(flush=True)


async def test_a_failure_is_raised_at_the_next_send(real_limiter: Limiter) -> None:
    wire = Wire()
    throttle = outgoing(wire, "100/s:1")
    await throttle.send(text("1"))
    await throttle.send(text("2"))
    wire.failure = OSError("the client is gone")
    assert throttle._sender is not None
    await asyncio.wait({throttle._sender})
    with pytest.raises(OSError, match="gone"):
        await throttle.send(text("3"))
    await throttle.aclose(flush=True)


async def test_dropped_frames_are_told(limiter: Limiter) -> None:
    wire = Wire()
    dropped: list[Decision] = []
    throttle = outgoing(wire, "2/h", "drop", dropped)
    for number in range(5):
        await throttle.send(text(str(number)))
    await throttle.send({"type": "websocket.close"})
    assert wire.frames == ["0", "1", None]
    assert len(dropped) == 3
    await throttle.aclose(flush=True)


def test_what_joins() -> None:
    assert join_json(['{"a": 1}', "[2]", "3"]) == '[{"a": 1},[2],3]'
    assert join_json(["1", "hello"]) is None


def test_another_word_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="join, drop"):
        checked_outgoing_past("delay")
