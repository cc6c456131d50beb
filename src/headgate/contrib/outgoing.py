"""Frames that go out to one client, no faster than a rate.

With `join`, texts that come too fast wait and go out together, as one frame, as soon
as the rate allows one. What waits is bounded: past the bound it goes out at once, so
nothing is lost and nothing piles up. With `drop`, they are dropped and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, get_args

from headgate.contrib.asgi_types import Message, Send
from headgate.contrib.keys import ScopeKey
from headgate.contrib.throttle import Throttle
from headgate.limits.decision import Decision

__all__ = [
    "MAX_WAITING_BYTES",
    "Join",
    "OutgoingPast",
    "OutgoingThrottle",
    "checked_outgoing_past",
    "join_json",
]

OutgoingPast = Literal["join", "drop"]
# Makes one text of several, or returns None where they have to go one by one.
Join = Callable[[list[str]], str | None]

MAX_WAITING_BYTES = 64 * 1024
_MOMENT_SECONDS = 0.001  # the least to wait before asking again


class OutgoingThrottle:
    """What an application sends by, on one WebSocket.

    Args:
        throttle: What each frame is counted by.
        key: Whose they are; whom it gives None is not limited.
        past: Whether what comes too fast is joined or dropped.
        send: The server's.
        join: Makes one text of several.
        dropped: Called with the refusal of each frame that is dropped.
        max_waiting_bytes: How much may wait.
    """

    def __init__(
        self,
        throttle: Throttle,
        key: Callable[[], str | None] | ScopeKey,
        past: OutgoingPast,
        send: Send,
        *,
        join: Join,
        dropped: Callable[[Decision], None],
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._throttle = throttle
        self._key = key
        self._past = past
        self._send = send
        self._join = join
        self._dropped = dropped
        self._max_waiting_bytes = max_waiting_bytes
        self._waiting: deque[tuple[Message, int]] = deque()  # with its size
        self._waiting_bytes = 0
        self._order = asyncio.Lock()  # whoever sends holds it
        self._sender: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def send(self, message: Message) -> None:
        """Send, keep or drop what the application sends; in its order.

        Raises:
            Exception: What the server raised for frames that had waited.
        """
        self._raise_failure()
        if message["type"] != "websocket.send":
            await self.flush()
            async with self._order:
                await self._send(message)
            return
        if self._waiting:
            await self._keep(message)
            return
        refused = await self._ask()
        if refused is None and not self._waiting:
            async with self._order:
                await self._send(message)
        elif self._past == "drop" and refused is not None:
            self._dropped(refused)
        else:
            await self._keep(message, refused)

    async def flush(self) -> None:
        """Send all that waits, now."""
        while self._waiting:
            await self._send_next()

    async def aclose(self, *, flush: bool) -> None:
        """Send what waits, if there may still be somebody, and end."""
        if flush:
            async with self._order:  # so that no frame is cut short
                self._end_sender()
        else:
            self._end_sender()
        if flush and self._failure is None:
            # Nobody is left to whom it could be raised.
            with contextlib.suppress(OSError, RuntimeError):
                await self.flush()
        self._forget()

    async def _ask(self) -> Decision | None:
        verdict = await self._throttle.adecide(self._key())
        return None if verdict is None else verdict.refused

    async def _keep(self, message: Message, refused: Decision | None = None) -> None:
        size_bytes = _size_bytes(message)
        self._waiting.append((message, size_bytes))
        self._waiting_bytes += size_bytes
        if self._waiting_bytes > self._max_waiting_bytes:
            await self.flush()
        elif self._sender is None or self._sender.done():
            first_wait_seconds = _wait_seconds(refused)
            self._sender = asyncio.create_task(self._send_in_time(first_wait_seconds))

    async def _send_in_time(self, wait_seconds: float) -> None:
        """Send what waits, a frame whenever there is room for one."""
        try:
            while self._waiting:
                await asyncio.sleep(wait_seconds)
                if not self._waiting:
                    return  # it has gone out meanwhile
                refused = await self._ask()
                if refused is None:
                    await self._send_next()
                wait_seconds = _wait_seconds(refused)
        except Exception as exc:  # noqa: BLE001 - raised at the next send
            self._failure = exc

    async def _send_next(self) -> None:
        """Send as much of what waits as fits into one frame."""
        async with self._order:
            if not self._waiting:
                return
            texts = self._first_texts()
            joined = self._join(texts) if len(texts) > 1 else None
            count = 1 if joined is None else len(texts)
            message, _ = self._waiting[0]
            if joined is not None:
                message = {"type": "websocket.send", "text": joined}
            for _ in range(count):
                self._waiting_bytes -= self._waiting.popleft()[1]
            await self._send(message)

    def _first_texts(self) -> list[str]:
        """Return the texts before the first binary message."""
        found = []
        for message, _ in self._waiting:
            text = message.get("text")
            if text is None:
                break
            found.append(text)
        return found

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            self._forget()
            raise failure

    def _end_sender(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None

    def _forget(self) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0


def join_json(texts: Sequence[str]) -> str | None:
    """Return an array of texts that are each JSON, or None if one of them is not."""
    for text in texts:
        try:
            json.loads(text)
        except ValueError:
            return None
    return f"[{','.join(texts)}]"


def checked_outgoing_past(past: str) -> OutgoingPast:
    """Return what happens to frames past the limit, as it was given.

    Raises:
        ValueError: It is none of the words.
    """
    if past not in get_args(OutgoingPast):
        words = ", ".join(get_args(OutgoingPast))
        raise ValueError(f"outgoing_past={past!r}: write one of {words}.")
    return past  # type: ignore[return-value] # it is one of the words


def _size_bytes(message: Message) -> int:
    text = message.get("text")
    # Characters would do for a bound, were they not up to four bytes each.
    return len(message.get("bytes") or b"") if text is None else len(text.encode())


def _wait_seconds(refused: Decision | None) -> float:
    wait = None if refused is None else refused.retry_after_seconds
    return max(wait or 0.0, _MOMENT_SECONDS)
