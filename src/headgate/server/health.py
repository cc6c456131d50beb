"""`/healthz` and `/readyz`, for whoever watches or balances."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Health", "last_answer"]

Message = MutableMapping[str, Any]


class Health:
    """Answers without Django, so that a full thread or a lost database is no death.

    `/healthz` says that the process lives, `/readyz` that it wants connections.
    """

    paths = frozenset({"/healthz", "/readyz"})

    def __init__(self) -> None:
        self.draining = False

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        await receive()
        ready = scope["path"] == "/healthz" or not self.draining
        body = b"ok\n" if ready else b"draining\n"
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        status = {"status": 200 if ready else 503, "headers": headers}
        await send({"type": "http.response.start", **status})
        await send({"type": "http.response.body", "body": body})


def last_answer(
    send: Callable[[Message], Awaitable[None]],
) -> Callable[[Message], Awaitable[None]]:
    """Return a `send` whose answer ends its connection (RFC 9112, section 9.6)."""

    async def ending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), (b"connection", b"close")]
            message = {**message, "headers": headers}
        await send(message)

    return ending
