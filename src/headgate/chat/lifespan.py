"""The server's lifespan, shared with the application beside the chat.

Many of these know none and raise, which ASGI takes for an answer. What such a one
leaves open is answered here, since the chat needs to hear of the stop.
"""

from __future__ import annotations

import logging

from headgate.chat.engine import close_engine
from headgate.contrib.asgi_types import Application, Message, Receive, Scope, Send

__all__ = ["Lifespan"]

logger = logging.getLogger("headgate.server")

_STARTED = "lifespan.startup.complete"


class Lifespan:
    """One start and stop of the server.

    At the stop what the chat accepted is written before the application beside it
    hears of that: handlers of the project may still need what it takes down.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._asked: str | None = None  # what the server waits for an answer to
        self._started = False
        self._over = False

    async def share(self, beside: Application, scope: Scope) -> None:
        """Have the application beside the chat follow it, as far as that does."""
        try:
            await beside(scope, self._read, self._write)
        except Exception as exc:
            if self._started:
                logger.exception("lifespan_failed")
            else:  # which is how ASGI has an application say that it knows none
                logger.info("lifespan_unsupported error=%r", exc)

    async def finish(self) -> None:
        """Answer what is left of it."""
        while not self._over:
            if self._asked is None:
                await self._read()
            await self._write({"type": f"{self._asked}.complete"})

    async def _read(self) -> Message:
        message = await self._receive()
        if message["type"] == "lifespan.shutdown":
            await close_engine()
        self._asked = message["type"]
        return message

    async def _write(self, message: Message) -> None:
        self._asked = None
        self._started = self._started or message["type"] == _STARTED
        self._over = message["type"] != _STARTED
        await self._send(message)
