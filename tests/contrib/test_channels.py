"""`ThrottledConsumerMixin` in real consumers."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator

from headgate.contrib.channels import ThrottledConsumerMixin
from headgate.limits import Limiter
from tests.contrib import consumers
from tests.contrib.consumers import KINDS, AsyncEcho, AsyncJsonEcho, Echo, JsonEcho

LIMIT_SECONDS = 30


@pytest.fixture(autouse=True)
def _layer(db: None, settings: Any) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
    }
    consumers.gone.clear()


def throttled(kind: type, **attributes: Any) -> Any:
    """Return a consumer of a kind with the mixin before it."""
    return type(f"Throttled{kind.__name__}", (ThrottledConsumerMixin, kind), attributes)


async def connected(consumer: Any) -> WebsocketCommunicator:
    communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
    communicator.scope["client"] = ("192.0.2.7", 1)
    assert (await communicator.connect(timeout=LIMIT_SECONDS))[0]
    return communicator


async def heard(communicator: WebsocketCommunicator) -> Any:
    output = await communicator.receive_output(LIMIT_SECONDS)
    return json.loads(output["text"]) if "text" in output else output


async def say(communicator: WebsocketCommunicator, *content: Any) -> None:
    for each in content:
        await communicator.send_to(text_data=json.dumps(each))


@pytest.mark.parametrize("kind", KINDS)
async def test_incoming(limiter: Limiter, kind: type) -> None:
    communicator = await connected(throttled(kind, throttle_rate="2/min"))
    await say(communicator, 1, 2, 3)
    assert [await heard(communicator) for _ in range(2)] == [1, 2]
    assert (await heard(communicator))["code"] == 4000
    await communicator.wait(LIMIT_SECONDS)
    assert consumers.gone == [4000]


@pytest.mark.parametrize("kind", KINDS)
async def test_incoming_is_rejected(limiter: Limiter, kind: type) -> None:
    consumer = throttled(
        kind,
        throttle_rate="1/min",
        throttle_past="reject",
        throttle_name="talk",
        throttle_refusal={"type": "error"},
        throttle_key=lambda scope: scope["path"],
    )
    communicator = await connected(consumer)
    await say(communicator, 1, 2)
    assert await heard(communicator) == 1
    said = await heard(communicator)
    assert (said["type"], said["policy"]) == ("error", "talk")
    await communicator.disconnect()
    assert limiter.refusals.report()[0].key == "/"


@pytest.mark.parametrize("kind", KINDS)
async def test_outgoing_frames_are_joined(real_limiter: Limiter, kind: type) -> None:
    communicator = await connected(throttled(kind, outgoing_rate="4/s:1"))
    await say(communicator, 1, 2, 3, 4)
    assert await heard(communicator) == 1
    assert await heard(communicator) == [2, 3, 4]
    await communicator.disconnect()


async def test_events_of_the_layer_are_joined(real_limiter: Limiter) -> None:
    communicator = await connected(throttled(AsyncJsonEcho, outgoing_rate="4/s:1"))
    layer = get_channel_layer()
    for number in range(4):
        event = {"type": "chat.message", "text": number}
        await layer.group_send("everybody", event)
    assert await heard(communicator) == {"chat": 0}
    assert await heard(communicator) == [{"chat": number} for number in (1, 2, 3)]
    await communicator.disconnect()


@pytest.mark.parametrize("kind", [AsyncEcho, Echo])
async def test_a_join_of_ones_own(limiter: Limiter, kind: type) -> None:
    def join_outgoing(self: Any, texts: list[str]) -> str:
        return json.dumps({"many": [json.loads(text) for text in texts]})

    def receive(self: Any, text_data: str) -> None:
        for number in range(3):
            self.send(text_data=str(number))
        self.close(code=4321)

    async def areceive(self: Any, text_data: str) -> None:
        for number in range(3):
            await self.send(text_data=str(number))
        await self.close(code=4321)

    consumer = throttled(
        kind,
        outgoing_rate="1/h",
        join_outgoing=join_outgoing,
        receive=areceive if kind is AsyncEcho else receive,
    )
    communicator = await connected(consumer)
    await say(communicator, "go")
    assert await heard(communicator) == 0
    assert await heard(communicator) == {"many": [1, 2]}  # before the close
    assert (await heard(communicator))["code"] == 4321
    await communicator.disconnect()


async def test_what_waits_goes_out_before_the_limit_closes(limiter: Limiter) -> None:
    consumer = throttled(AsyncEcho, throttle_rate="3/min", outgoing_rate="1/h")
    communicator = await connected(consumer)
    await say(communicator, 1, 2, 3, 4)
    assert await heard(communicator) == 1
    assert await heard(communicator) == [2, 3]
    assert (await heard(communicator))["code"] == 4000
    await communicator.wait(LIMIT_SECONDS)


@pytest.mark.parametrize("kind", [JsonEcho, AsyncJsonEcho])
async def test_outgoing_frames_are_dropped(
    limiter: Limiter, kind: type, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[Any] = []

    def __init__(self: Any, *arguments: Any) -> None:  # noqa: N807
        kind.__init__(self, *arguments)  # type: ignore[misc]
        made.append(self)

    consumer = throttled(
        kind, outgoing_rate="2/h", outgoing_past="drop", __init__=__init__
    )
    with caplog.at_level(logging.WARNING, "headgate.contrib"):
        communicator = await connected(consumer)
        await say(communicator, 1, 2, 3, 4, 5)
        assert [await heard(communicator) for _ in range(2)] == [1, 2]
        async with asyncio.timeout(LIMIT_SECONDS):
            while made[0].outgoing_dropped < 3:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        await communicator.disconnect()
    assert caplog.text.count("outgoing_dropped") == 1
    assert await communicator.receive_nothing()


async def test_each_connection_has_an_outgoing_limit_of_its_own(
    limiter: Limiter,
) -> None:
    consumer = throttled(AsyncEcho, outgoing_rate="1/h", outgoing_past="drop")
    for _ in range(2):
        communicator = await connected(consumer)
        await say(communicator, 1)
        assert await heard(communicator) == 1
        await communicator.disconnect()


async def test_without_a_rate_nothing_is_limited(limiter: Limiter) -> None:
    communicator = await connected(throttled(AsyncEcho))
    await say(communicator, *range(50))
    assert [await heard(communicator) for _ in range(50)] == list(range(50))
    await communicator.disconnect()


def test_classes_have_limits_of_their_own() -> None:
    class First(ThrottledConsumerMixin, AsyncWebsocketConsumer):  # type: ignore[misc] # it has no types
        throttle_rate = "1/s"
        outgoing_rate = "1/s"

    class Second(First):
        pass

    policies = [
        each._outgoing_throttle.policies[0]
        for each in (First, Second)
        if each._outgoing_throttle
    ]
    assert ".first.out" in policies[0].name
    assert ".second.out" in policies[1].name


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"throttle_rate": "fast"}, "'fast' is no rate"),
        ({"throttle_rate": "1/s", "throttle_past": "wait"}, "past='wait'"),
        ({"throttle_rate": "1/s", "throttle_key": "ip"}, "key='ip'"),
        ({"outgoing_rate": "1/s", "outgoing_past": "delay"}, "join, drop"),
        ({"outgoing_rate": "1/s", "outgoing_key": 5}, "key=5"),
        ({"outgoing_rate": "1/s", "outgoing_max_waiting_bytes": -1}, "0 bytes"),
    ],
)
def test_mistakes(attributes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        throttled(AsyncEcho, **attributes)


def test_the_mixin_comes_first() -> None:
    with pytest.raises(TypeError, match="before the consumer's class"):
        type("Wrong", (AsyncEcho, ThrottledConsumerMixin), {})
