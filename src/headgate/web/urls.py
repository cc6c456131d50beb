"""The URLs of the page."""

from __future__ import annotations

from django.urls import path, register_converter

from headgate.protocol.codec import is_room_slug
from headgate.web import views

__all__ = ["RoomConverter", "app_name", "urlpatterns"]


class RoomConverter:
    """A room's name in a path, by the one pattern of the protocol."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        """Return the name; one that names no room matches no URL."""
        if not is_room_slug(value):
            raise ValueError(value)
        return value

    def to_url(self, value: str) -> str:
        """Return the name as it stands in the URL."""
        return value


register_converter(RoomConverter, "headgate_room")

app_name = "headgate_web"

urlpatterns = [
    path("", views.home, name="home"),
    path("chat/<headgate_room:room>/", views.room, name="room"),
    path("sign-in/", views.sign_in, name="sign-in"),
    path("sign-out/", views.sign_out, name="sign-out"),
]
