"""The chat's HTTP URLs: the API, the event stream, and the WebSocket's own."""

from __future__ import annotations

from django.urls import path

from headgate.chat.http import converters  # noqa: F401 - registers what the paths use
from headgate.chat.http.api import api
from headgate.chat.http.socket_views import lobby, room
from headgate.chat.http.stream import not_mounted

__all__ = ["app_name", "urlpatterns"]

app_name = "headgate_chat"

urlpatterns = [
    path("api/v1/stream", not_mounted, name="stream"),
    path("api/v1/", api.urls),
    path("ws/chat/", lobby, name="socket"),
    path("ws/chat/<headgate_room:room>/", room, name="room-socket"),
]
