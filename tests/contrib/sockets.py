"""A WebSocket and a request as a server would hand them over, without the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from headgate.contrib.asgi_types import Application, Message, Receive, Scope, Send

__all__ = ["Answer", "Socket", "echo", "request", "settled", "ws_scope"]

LIMIT_SECONDS = 30.0


def ws_scope(address: str = "192.0.2.7", **more: Any) -> dict[str, Any]:
    """Return the scope of a WebSocket."""
    return {
        "type": "websocket",
        "path": "/",
        "headers": [],
        "client": (address, 4000),
        **more,
    }


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept, say back what comes, and end when the client is gone."""
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            return


class Socket:
    """One WebSocket to an application that runs in a task.

    Attributes:
        sent: What the application has sent to the client, in order.
    """

    def __init__(self, application: Application, scope: Scope | None = None) -> None:
        self._inbox: asyncio.Queue[Message] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._sent = asyncio.Condition()
        self.sent: list[Message] = []
        self.scope = ws_scope() if scope is None else scope
        self._task = asyncio.create_task(self._run(application))

    async def _run(self, application: Application) -> None:
        try:
            await application(self.scope, self._inbox.get, self._send)
        finally:
            async with self._sent:
                self._sent.notify_all()

    async def _send(self, message: Message) -> None:
        async with self._sent:
            self.sent.append(message)
            self._sent.notify_all()

    @property
    def unread(self) -> int:
        """How many messages the application has not asked for."""
        return self._inbox.qsize()

    @property
    def texts(self) -> list[str]:
        """The texts that the client has got."""
        return [each["text"] for each in self.sent if "text" in each]

    @property
    def refusals(self) -> list[dict[str, Any]]:
        """The texts that say that the limit is reached."""
        found = [json.loads(text) for text in self.texts if text.startswith("{")]
        return [each for each in found if each.get("error") == "rate_limited"]

    def say(self, *texts: str) -> None:
        """Have the client send texts."""
        for text in texts:
            self._inbox.put_nowait({"type": "websocket.receive", "text": text})

    def go(self) -> None:
        """Have the client go away."""
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Wait until something has been sent."""
        async with asyncio.timeout(LIMIT_SECONDS), self._sent:
            await self._sent.wait_for(lambda: wanted() or self._task.done())
        assert wanted(), self.sent

    async def accepted(self) -> None:
        """Wait until the application has accepted."""
        await self.until(lambda: bool(self.sent))

    async def count(self, number: int) -> None:
        """Wait until the client has got so many texts."""
        await self.until(lambda: len(self.texts) >= number)

    async def ended(self) -> None:
        """Wait until the application has ended."""
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._task

    async def leave(self) -> None:
        """Go away and wait until the application has ended."""
        self.go()
        await self.ended()


async def settled() -> None:
    """Let everything run that has something to do."""
    for _ in range(100):
        await asyncio.sleep(0)


class Answer:
    """An answer over HTTP."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The header fields; of several with one name, all, joined."""
        found: dict[str, str] = {}
        for raw_name, raw_value in self.messages[0]["headers"]:
            name, value = raw_name.decode(), raw_value.decode()
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found

    @property
    def body(self) -> bytes:
        return b"".join(each.get("body", b"") for each in self.messages[1:])


async def request(
    application: Application,
    scope: dict[str, Any] | None = None,
    *,
    body: bytes = b"",
    gone: asyncio.Event | None = None,
) -> Answer:
    """Make a request; with `gone`, the client goes away when that is set."""
    messages: list[Message] = []
    parts: list[Message] = [{"type": "http.request", "body": body}]

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await (asyncio.Event() if gone is None else gone).wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        messages.append(message)

    given = ws_scope() | {"type": "http", "method": "GET"} | (scope or {})
    async with asyncio.timeout(LIMIT_SECONDS):
        await application(given, receive, send)
    return Answer(messages)
