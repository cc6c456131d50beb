"""The stand-alone server's ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.core.asgi import get_asgi_application

from headgate.asgi import with_chat
from headgate.server.health import Health

__all__ = ["build_application"]

Application = Callable[..., Awaitable[None]]


def build_application(health: Health) -> Application:
    """Return the application of a configured Django, health included."""
    application = with_chat(get_asgi_application())

    async def with_health(
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "http" and scope["path"] in health.paths:
            await health(scope, receive, send)
        else:
            await application(scope, receive, send)

    return with_health
