"""The WebSocket URLs of Headgate, for a project's own `ProtocolTypeRouter`."""

from __future__ import annotations

from typing import Any

from django.urls import re_path

from headgate.chat.consumer import ChatConsumer

__all__ = ["websocket_urlpatterns"]

_consumer: Any = ChatConsumer()  # Django's types know views only

websocket_urlpatterns = [
    re_path(r"^ws/chat/$", _consumer),
    re_path(r"^ws/chat/(?P<room>[^/]+)/$", _consumer),
]
