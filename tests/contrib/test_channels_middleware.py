"""`ThrottleMiddleware` around real consumers, on either side of what Channels has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client
from django.urls import path

from headgate.contrib.asgi import ThrottleMiddleware
from headgate.contrib.asgi_types import Application
from headgate.limits import Limiter
from tests.contrib import consumers
from tests.contrib.consumers import KINDS, AsyncEcho

PATH = "/ws/chat/7/"
LIMIT_SECONDS = 30


@pytest.fixture(autouse=True)
def _layer(db: None, settings: Any) -> None:
    settings.CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
    }
    consumers.gone.clear()


def routed(application: Application) -> Application:
    found: Application = URLRouter([path("ws/chat/<str:chat_id>/", application)])
    return found


def innermost(consumer: Any) -> Application:
    return AuthMiddlewareStack(routed(ThrottleMiddleware(consumer.as_asgi(), "3/min")))  # type: ignore[no-any-return]


def between(consumer: Any) -> Application:
    return AuthMiddlewareStack(ThrottleMiddleware(routed(consumer.as_asgi()), "3/min"))  # type: ignore[no-any-return]


def outermost(consumer: Any) -> Application:
    """As the recipe has it."""
    websocket = AuthMiddlewareStack(routed(consumer.as_asgi()))
    found: Application = ProtocolTypeRouter(
        {"websocket": ThrottleMiddleware(websocket, rate_limit=3, per_second=60)}
    )
    return found


async def connected(
    application: Application, cookie: str = "", address: str = "192.0.2.7"
) -> WebsocketCommunicator:
    headers = [(b"cookie", cookie.encode())] if cookie else []
    communicator = WebsocketCommunicator(application, PATH, headers)
    communicator.scope["client"] = (address, 1)
    assert (await communicator.connect(timeout=LIMIT_SECONDS))[0]
    return communicator


async def heard(communicator: WebsocketCommunicator) -> Any:
    """Return what the client gets next: the content of a text, or a whole message."""
    output = await communicator.receive_output(LIMIT_SECONDS)
    return json.loads(output["text"]) if "text" in output else output


@pytest.mark.parametrize("place", [innermost, between, outermost])
@pytest.mark.parametrize("consumer", KINDS)
async def test_any_consumer_in_any_place(
    limiter: Limiter, place: Any, consumer: Any
) -> None:
    communicator = await connected(place(consumer))
    for number in range(5):
        await communicator.send_to(text_data=json.dumps(number))
    assert [await heard(communicator) for _ in range(3)] == [0, 1, 2]
    assert await heard(communicator) == {
        "type": "websocket.close",
        "code": 4000,
        "reason": "Rate limit exceeded.",
    }
    await communicator.wait(LIMIT_SECONDS)
    assert consumers.gone == [4000]  # the consumer could clean up
    assert communicator.output_queue.empty()


async def test_before_a_user_is_known_it_is_the_address(limiter: Limiter) -> None:
    """Outside the authentication everybody is their address."""
    application = outermost(AsyncEcho)
    first = await connected(application)
    for number in range(3):
        await first.send_to(text_data=str(number))
        await heard(first)
    neighbour = await connected(application)
    await neighbour.send_to(text_data="1")
    assert (await heard(neighbour))["code"] == 4000
    other = await connected(application, address="192.0.2.8")
    await other.send_to(text_data="1")
    assert await heard(other) == 1
    for each in (first, other):
        await each.disconnect()


def signed_in(name: str) -> str:
    client = Client()
    client.force_login(User.objects.create_user(name))
    return f"sessionid={client.cookies['sessionid'].value}"


@pytest.fixture
def cookies(transactional_db: None) -> list[str]:
    """Two people who have signed in."""
    return [signed_in("ada"), signed_in("bob")]


@pytest.mark.parametrize("place", [innermost, between])
async def test_people_at_one_address_have_limits_of_their_own(
    limiter: Limiter, cookies: list[str], place: Any
) -> None:
    application = place(AsyncEcho)
    ada, bob = [await connected(application, cookie) for cookie in cookies]
    for each in (ada, bob):
        for number in range(3):
            await each.send_to(text_data=str(number))
            assert await heard(each) == number
    await ada.send_to(text_data="4")
    assert (await heard(ada))["code"] == 4000
    # Another socket of the same person has no other limit.
    again = await connected(application, cookies[1], address="192.0.2.99")
    await again.send_to(text_data="4")
    assert (await heard(again))["code"] == 4000
    await bob.disconnect()


async def test_events_of_the_layer_are_not_counted(limiter: Limiter) -> None:
    from channels.layers import get_channel_layer

    communicator = await connected(innermost(consumers.AsyncJsonEcho))
    for number in range(3):
        await communicator.send_to(text_data=str(number))
        await heard(communicator)
    layer = get_channel_layer()
    for number in range(5):
        event = {"type": "chat.message", "text": number}
        await layer.group_send("everybody", event)
        assert await heard(communicator) == {"chat": number}
    await communicator.disconnect()


async def test_events_come_while_a_message_is_held(limiter: Limiter) -> None:
    from channels.layers import get_channel_layer

    application = routed(
        ThrottleMiddleware(
            consumers.AsyncJsonEcho.as_asgi(), "1/h", past="delay", max_wait_seconds=5e3
        )
    )
    communicator = await connected(application)
    for number in range(2):
        await communicator.send_to(text_data=str(number))
    assert await heard(communicator) == 0
    event = {"type": "chat.message", "text": "hi"}
    await get_channel_layer().group_send("everybody", event)
    assert await heard(communicator) == {"chat": "hi"}
    await communicator.disconnect(timeout=LIMIT_SECONDS)
    assert consumers.gone == [1000]
