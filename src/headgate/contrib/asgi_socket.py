"""A WebSocket whose messages are counted: what the application reads and sends by.

The application is handed one message at a time, so a client that is held or answered
is read no further, and its TCP connection fills.
"""

from __future__ import annotations

import asyncio
import contextlib

from headgate.contrib.answers import (
    CLOSE_CODE,
    CLOSE_REASON,
    GivenRefusal,
    refusal_text,
)
from headgate.contrib.asgi_types import Message, Receive, Send
from headgate.contrib.inbox import Inbox
from headgate.contrib.keys import ScopeKey
from headgate.contrib.throttle import Throttle, delay_seconds
from headgate.limits.decision import Decision, Verdict
from headgate.limits.policy import Past

__all__ = ["ThrottledSocket"]

# After these the server takes nothing more from an application.
_LAST = frozenset({"websocket.close", "websocket.http.response.start"})


class ThrottledSocket:
    """One connection; its `receive` and `send` are the application's.

    Args:
        throttle: What each message is counted by.
        key: Whose they are.
        past: What happens to a message for which there is no room.
        refusal: What is said of it, where it is rejected.
        receive: The server's.
        send: The server's.
    """

    def __init__(
        self,
        throttle: Throttle,
        key: ScopeKey,
        past: Past,
        refusal: GivenRefusal | None,
        receive: Receive,
        send: Send,
    ) -> None:
        self._throttle = throttle
        self._key = key
        self._past = past
        self._refusal = refusal
        self._inbox = Inbox(receive)
        self._send = send
        # Read and not handed on yet: a cancelled `receive` loses nothing.
        self._held: Message | None = None
        # When it may be handed on, by the loop's clock, and whose place that is.
        self._due: float | None = None
        self._place: str | None = None
        self._we_closed = False
        self._it_closed = False

    async def receive(self) -> Message:
        """Return the next message for which there is room, or a disconnect."""
        while not self._we_closed:
            message = self._held
            if message is None:
                message = await self._inbox.next()
                if message["type"] != "websocket.receive":
                    return message
                self._held = message
            if self._due is None:
                refused = await self._ask()
                if refused is not None:
                    self._held = None
                    await self._refuse(refused)
                    continue
            if not await self._came_due():
                continue
            self._held = self._due = self._place = None
            return message
        return {
            "type": "websocket.disconnect",
            "code": CLOSE_CODE,
            "reason": CLOSE_REASON,
        }

    async def send(self, message: Message) -> None:
        """Send what the application sends; nothing after we have closed."""
        if self._we_closed:
            return
        if message["type"] in _LAST:
            self._it_closed = True
        await self._send(message)

    async def aclose(self) -> None:
        """Let go of what is held: the application has ended."""
        await self._inbox.aclose()
        await self._give_back()

    async def _ask(self) -> Decision | None:
        """Count the message; return the refusal where there is no room."""
        key = self._key()
        verdict: Verdict | None
        if self._past == "delay":
            verdict = await self._throttle.areserve(key)
        else:
            verdict = await self._throttle.adecide(key)
        if verdict is not None and not verdict.allowed:
            return verdict.refused
        wait_seconds = delay_seconds(verdict) if self._past == "delay" else 0.0
        self._due = asyncio.get_running_loop().time() + wait_seconds
        self._place = key if wait_seconds else None
        return None

    async def _came_due(self) -> bool:
        """Hold the message until its time; return False if the client went first."""
        if self._place is None or self._due is None:
            return True
        left = self._due - asyncio.get_running_loop().time()
        if left <= 0 or await self._inbox.stays(left):
            return True
        await self._give_back()
        return False

    async def _give_back(self) -> None:
        """Drop the message that is held, and give its place to others."""
        place, self._place = self._place, None
        self._held = self._due = None
        if place is not None:
            await self._throttle.arefund(place)

    async def _refuse(self, refused: Decision) -> None:
        if self._it_closed or self._past == "drop":
            return
        if self._past == "close":
            self._we_closed = True
            message: Message = {
                "type": "websocket.close",
                "code": CLOSE_CODE,
                "reason": CLOSE_REASON,
            }
        else:
            text = refusal_text(refused, self._refusal)
            message = {"type": "websocket.send", "text": text}
        # Who is gone need not be told; that they are gone is read next. Servers say
        # it by an OSError, Granian by a RuntimeError.
        with contextlib.suppress(OSError, RuntimeError):
            await self._send(message)
