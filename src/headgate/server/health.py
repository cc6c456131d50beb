"""`/healthz` and `/readyz`, for whoever watches or balances."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Health"]


class Health:
    """Answers without Django, so that a full thread or a lost database is no death.

    `/healthz` says that the process lives, `/readyz` that it wants connections.
    """

    paths = frozenset({"/healthz", "/readyz"})

    def __init__(self) -> None:
        self.draining = False

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
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
