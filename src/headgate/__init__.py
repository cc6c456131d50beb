"""Real-time chat for Django that holds under floods and disconnects.

Reading order: `protocol` (the wire), `chat.append` (every write), `live.hub` (every
delivery), `chat.consumer` (the WebSocket door), `server.serve` (the process).
Importing this package imports no Django.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from headgate.chat.access import access_changed
    from headgate.chat.actions import NotSent, asend_message, send_message
    from headgate.chat.before_send import Reject
    from headgate.chat.hooks import on
    from headgate.chat.http.descriptor import adescriptor, connects, descriptor
    from headgate.chat.profiles import Profile
    from headgate.chat.subjects import aroom_for, room_for

__all__ = [
    "NotSent",
    "Profile",
    "Reject",
    "__version__",
    "access_changed",
    "adescriptor",
    "aroom_for",
    "asend_message",
    "connects",
    "descriptor",
    "on",
    "room_for",
    "send_message",
]

# Where each of those is that need Django.
_CHAT = {
    "NotSent": "headgate.chat.actions",
    "Profile": "headgate.chat.profiles",
    "Reject": "headgate.chat.before_send",
    "access_changed": "headgate.chat.access",
    "adescriptor": "headgate.chat.http.descriptor",
    "aroom_for": "headgate.chat.subjects",
    "asend_message": "headgate.chat.actions",
    "connects": "headgate.chat.http.descriptor",
    "descriptor": "headgate.chat.http.descriptor",
    "on": "headgate.chat.hooks",
    "room_for": "headgate.chat.subjects",
    "send_message": "headgate.chat.actions",
}


def __getattr__(name: str) -> Any:
    """Import what needs Django at its first use."""
    if name in _CHAT:
        return getattr(import_module(_CHAT[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("headgate")
    raise AttributeError(f"module 'headgate' has no attribute {name!r}")
