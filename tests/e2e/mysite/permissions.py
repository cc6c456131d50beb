"""The usual rules, with a fault in them."""

from __future__ import annotations

from typing import Any

from headgate.chat import permissions
from headgate.chat.models import Room

__all__ = ["Permissions"]


class Permissions(permissions.Permissions):
    """Fails for the room `broken`."""

    def can(
        self,
        actor: Any,
        operation: str,
        room: Room,
        message: Any = None,
    ) -> permissions.Allow | permissions.Deny:
        """Decide, or fail."""
        if room.slug == "broken":
            raise ZeroDivisionError("a fault of the project")
        return super().can(actor, operation, room, message)
