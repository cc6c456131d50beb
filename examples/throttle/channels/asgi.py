"""HTTP and WebSocket in one application."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django_application = get_asgi_application()  # before what needs Django set up

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from consumers import ChatConsumer  # noqa: E402
from django.urls import path  # noqa: E402

from headgate.contrib.asgi import ThrottleMiddleware  # noqa: E402
from limits import TALK  # noqa: E402

urls = URLRouter([path("ws/chat/<str:chat_id>/", ChatConsumer.as_asgi())])

application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(ThrottleMiddleware(urls, TALK)),
        ),
    }
)
