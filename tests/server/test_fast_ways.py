"""The fast ways in and out are taken past nobody who wants to see the messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from pytest_django import Settings
from uvicorn import Config
from uvicorn.server import ServerState

from headgate.asgi import with_chat
from headgate.chat.consumer import ChatConsumer
from headgate.chat.engine import close_engine
from headgate.chat.models import Room
from headgate.contrib.asgi_types import Application, Message, Receive, Scope, Send
from headgate.contrib.channels import ThrottledConsumerMixin
from headgate.routing import websocket_urlpatterns
from headgate.server.asgi import build_application, with_health
from headgate.server.health import Health
from headgate.server.websocket_protocol import ChatWebSocketProtocol
from tests.server.test_websocket_protocol import Transport, frame

pytestmark = pytest.mark.django_db(transaction=True)

REQUEST = (  # with names as uvicorn's HTTP protocol hands them over
    b"GET /ws/chat/general/ HTTP/1.1\r\nhost: testserver\r\n"
    b"origin: http://testserver\r\nupgrade: websocket\r\n"
    b"connection: Upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"sec-websocket-version: 13\r\n\r\n"
)
SECONDS = 60.0  # to wait for what must come


class Watched(Transport):
    """Tells of each write, and of the end."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep what is written."""
        super().write(data)
        self.changed.set()

    def close(self) -> None:
        """Keep that it was closed."""
        super().close()
        self.changed.set()


class Chatting:
    """A client of plain mode, on the stand-alone server's protocol."""

    def __init__(self, application: Application) -> None:
        config = Config(application, ws_ping_interval=None, log_config=None)
        config.load()
        self.state = ServerState()
        self.transport = Watched()
        self.protocol = ChatWebSocketProtocol(config, self.state, {})
        self.protocol.connection_made(self.transport)
        self.protocol.data_received(REQUEST)

    @property
    def fast(self) -> tuple[bool, bool]:
        """Whether the fast way in was taken, and the one out."""
        return self.protocol._listener is not None, self.protocol._sink is not None

    def say(self, text: str) -> None:
        data = json.dumps({"message": text}).encode()
        self.protocol.data_received(frame(0x81, data, mask=b"abcd", wide=False))

    async def hear(self, words: bytes) -> None:
        """Wait until the client is sent these words."""
        async with asyncio.timeout(SECONDS):
            while words not in self.transport.written:
                assert not self.transport.closed, self.transport.written
                self.transport.changed.clear()
                await self.transport.changed.wait()

    async def end(self) -> None:
        self.protocol.connection_lost(None)
        await asyncio.gather(*self.state.tasks)


Chat = Callable[[Application], Awaitable[Chatting]]


@pytest.fixture
async def chat_by(settings: Settings) -> AsyncIterator[Chat]:
    """Open a client of an application, which has said `one` and heard of it."""
    settings.HEADGATE = {"GUESTS": True}
    settings.ALLOWED_HOSTS = ["testserver"]
    room = Room(slug="general", title="General")
    await room.asave()
    opened: list[Chatting] = []

    async def begin(application: Application) -> Chatting:
        chatting = Chatting(application)
        opened.append(chatting)
        await chatting.hear(b"HTTP/1.1 101")
        chatting.say("one")
        await chatting.hear(b'"seq":1')
        return chatting

    yield begin
    for each in opened:
        await each.end()
    await close_engine()


def standing_alone() -> Application:
    """What `headgate serve` serves, as it does."""
    return with_health(build_application(), Health())


def routed() -> Application:
    """The WebSocket in Channels' own layers, as their documentation has it."""
    sockets = AuthMiddlewareStack(URLRouter(websocket_urlpatterns))
    return ProtocolTypeRouter({"websocket": AllowedHostsOriginValidator(sockets)})


@pytest.mark.parametrize("made", [standing_alone, routed])
async def test_the_fast_ways_are_taken(
    chat_by: Chat, made: Callable[[], Application]
) -> None:
    assert (await chat_by(made())).fast == (True, True)


class Watching:
    """Middleware that keeps the messages of WebSockets.

    Args:
        inner: The application.
        reads: Whether it puts its own `receive` before the server's.
        writes: The same of `send`.
    """

    def __init__(self, inner: Any, *, reads: bool = True, writes: bool = True) -> None:
        self._inner = inner
        self._reads = reads
        self._writes = writes
        self.came: list[str] = []
        self.went: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one WebSocket."""

        async def read() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive":
                self.came.append(message["text"])
            return message

        async def write(message: Message) -> None:
            if message["type"] == "websocket.send":
                self.went.append(message["text"])
            await send(message)

        await self._inner(
            scope, read if self._reads else receive, write if self._writes else send
        )


@pytest.mark.parametrize("made", [standing_alone, routed])
@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.parametrize("writes", [True, False])
async def test_middleware_sees_every_message(
    chat_by: Chat,
    made: Callable[[], Application],
    reads: bool,  # noqa: FBT001 - a parameter of the table
    writes: bool,  # noqa: FBT001 - the same
) -> None:
    watching = Watching(made(), reads=reads, writes=writes)
    chatting = await chat_by(watching)
    said = ["one", "two", "three", "four"]
    for text in said[1:]:
        chatting.say(text)
    await chatting.hear(b'"seq":4')

    assert chatting.fast == (not reads, not writes)
    came = [json.loads(each)["message"] for each in watching.came]
    assert came == (said if reads else [])
    sent = [json.loads(each).get("message") for each in watching.went]
    assert [each for each in sent if each in said] == (said if writes else [])


class Throttled(ThrottledConsumerMixin, ChatConsumer):
    """A subclass as somebody would write it."""

    throttle_rate = "3/day"


@pytest.mark.limits
async def test_the_mixin_sees_every_message(chat_by: Chat) -> None:
    application = with_chat(get_asgi_application(), consumer=Throttled())
    chatting = await chat_by(application)
    for text in ("two", "three", "four", "five"):
        chatting.say(text)
    await chatting.hear((4000).to_bytes(2, "big") + b"Rate limit exceeded.")

    assert chatting.fast == (False, False)
    assert b'"four"' not in chatting.transport.written
