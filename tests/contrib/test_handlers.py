"""`throttle` on single handlers of real consumers."""

from __future__ import annotations

import time
from typing import Any

import pytest
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.layers import get_channel_layer

from headgate.contrib.channels import throttle
from headgate.limits import Limiter
from tests.contrib.test_channels import _layer, connected, heard, say

__all__ = ["_layer"]  # a fixture of that file


async def test_an_async_handler(limiter: Limiter) -> None:
    class Consumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc] # it has no types
        groups = ["everybody"]  # noqa: RUF012 - as Channels has it

        @throttle("2/min", name="talk")
        async def receive_json(self, content: Any, **_: Any) -> None:
            await self.send_json(content)

        @throttle("1/min", past="drop")
        async def chat_typing(self, event: dict[str, Any]) -> None:
            await self.send_json({"typing": event["name"]})

    communicator = await connected(Consumer)
    await say(communicator, 1, 2, 3)
    assert [await heard(communicator) for _ in range(2)] == [1, 2]
    assert (await heard(communicator))["policy"] == "talk"
    for name in ("ada", "bob"):
        event = {"type": "chat.typing", "name": name}
        await get_channel_layer().group_send("everybody", event)
    assert await heard(communicator) == {"typing": "ada"}
    assert await communicator.receive_nothing()
    await communicator.disconnect()
    dropped = limiter.refusals.report()[0]
    assert "consumer.chat_typing" in dropped.policy


async def test_a_sync_handler(limiter: Limiter) -> None:
    class Consumer(WebsocketConsumer):  # type: ignore[misc] # it has no types
        @throttle("2/min", past="close")
        def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
            self.send(text_data=text_data)

    communicator = await connected(Consumer)
    await say(communicator, 1, 2, 3, 4)
    assert [await heard(communicator) for _ in range(2)] == [1, 2]
    assert await heard(communicator) == {
        "type": "websocket.close",
        "code": 4000,
        "reason": "Rate limit exceeded.",
    }
    assert await communicator.receive_nothing()  # it is closed once
    await communicator.disconnect()


@pytest.mark.parametrize("past", ["reject", "drop"])
async def test_a_sync_handler_that_stays(limiter: Limiter, past: Any) -> None:
    class Consumer(WebsocketConsumer):  # type: ignore[misc] # it has no types
        @throttle("1/min", past=past, key="connection", refusal={"a": 1})
        def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
            self.send(text_data=text_data)

    for _ in range(2):  # each connection by itself
        communicator = await connected(Consumer)
        await say(communicator, 1, 2)
        assert await heard(communicator) == 1
        if past == "reject":
            assert (await heard(communicator))["a"] == 1
        assert await communicator.receive_nothing()
        await communicator.disconnect()


async def test_an_async_handler_may_wait(real_limiter: Limiter) -> None:
    class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc] # it has no types
        @throttle("20/s:1", past="delay")
        async def receive(self, text_data: str = "", bytes_data: Any = None) -> None:
            await self.send(text_data=text_data)

    communicator = await connected(Consumer)
    began = time.monotonic()
    await say(communicator, 1, 2, 3)
    assert [await heard(communicator) for _ in range(3)] == [1, 2, 3]
    assert time.monotonic() - began >= 0.099
    await communicator.disconnect()


def test_a_sync_handler_may_not_wait() -> None:
    with pytest.raises(ValueError, match="hold up every other"):

        @throttle("1/s", past="delay")
        def receive(self: Any, text_data: str) -> None: ...


def test_mistakes_are_raised_at_once() -> None:
    with pytest.raises(ValueError, match="key='ip'"):
        throttle("1/s", key="ip")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is no rate"):
        throttle("fast")
    with pytest.raises(TypeError, match="is no rate"):
        throttle(lambda consumer: None)  # type: ignore[arg-type] # without a rate


def test_the_handler_is_still_itself() -> None:
    @throttle("1/s")
    async def receive_json(self: Any, content: Any) -> None:
        """Say it."""

    assert receive_json.__name__ == "receive_json"
    assert receive_json.__doc__ == "Say it."
