"""The routing of the recipe."""

from __future__ import annotations

import django
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

django.setup()

from benchmarks.peers.channels_chat.consumers import (  # noqa: E402 - needs the setup
    ChatRoomConsumer,
)

application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [path("ws/chat/<str:chat_id>/", ChatRoomConsumer.as_asgi())]
        ),
    }
)
