"""A room's name in a URL."""

from __future__ import annotations

from django.urls import register_converter

from headgate.protocol.codec import is_room_slug

__all__ = ["RoomConverter"]


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
