"""What is served: the stand-alone server's application, or a project's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.core.asgi import get_asgi_application

from headgate.asgi import with_chat
from headgate.server.health import Health, last_answer

__all__ = ["Application", "build_application", "with_health"]

Application = Callable[..., Awaitable[None]]


def build_application() -> Application:
    """Return the stand-alone server's application; Django is configured."""
    application: Application = with_chat(get_asgi_application())
    return application


def with_health(application: Application, health: Health) -> Application:
    """Return the application with `/healthz` and `/readyz` before it.

    While the server drains, each answer is the last on its connection: a proxy that
    keeps connections open goes elsewhere with its next request.
    """

    async def healthy(
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "http" and health.draining:
            send = last_answer(send)
        if scope["type"] == "http" and scope["path"] in health.paths:
            await health(scope, receive, send)
        else:
            await application(scope, receive, send)

    return healthy
