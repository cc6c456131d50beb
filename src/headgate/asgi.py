"""Putting HTTP and WebSockets into one ASGI application."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter

from headgate.routing import websocket_urlpatterns

__all__ = ["with_chat"]


def with_chat(django_application: Any) -> Any:
    """Return an application that serves Django's HTTP and the chat's WebSockets.

    Call it after `get_asgi_application()`, which makes Django's apps ready.
    """
    return ProtocolTypeRouter(
        {
            "http": django_application,
            "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
        },
    )
