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
    from headgate.chat.growing import open_message
    from headgate.chat.hooks import on
    from headgate.chat.http.descriptor import adescriptor, connects, descriptor
    from headgate.chat.profiles import Profile
    from headgate.chat.subjects import aroom_for, room_for
    from headgate.outbound import bots
    from headgate.outbound.absent import absent
    from headgate.outbound.bot_tokens import make_bot
    from headgate.outbound.bots import bot
    from headgate.outbound.handler_errors import GiveUp, TryAgain

__all__ = [
    "GiveUp",
    "NotSent",
    "Profile",
    "Reject",
    "TryAgain",
    "__version__",
    "absent",
    "access_changed",
    "adescriptor",
    "aroom_for",
    "asend_message",
    "bot",
    "bots",
    "connects",
    "descriptor",
    "make_bot",
    "on",
    "open_message",
    "room_for",
    "send_message",
]

# Where each of those is that need Django.
_PLACES = {
    "GiveUp": "headgate.outbound.handler_errors",
    "NotSent": "headgate.chat.actions",
    "Profile": "headgate.chat.profiles",
    "Reject": "headgate.chat.before_send",
    "TryAgain": "headgate.outbound.handler_errors",
    "absent": "headgate.outbound.absent",
    "access_changed": "headgate.chat.access",
    "adescriptor": "headgate.chat.http.descriptor",
    "aroom_for": "headgate.chat.subjects",
    "asend_message": "headgate.chat.actions",
    "bot": "headgate.outbound.bots",
    "connects": "headgate.chat.http.descriptor",
    "descriptor": "headgate.chat.http.descriptor",
    "make_bot": "headgate.outbound.bot_tokens",
    "on": "headgate.chat.hooks",
    "open_message": "headgate.chat.growing",
    "room_for": "headgate.chat.subjects",
    "send_message": "headgate.chat.actions",
}


def __getattr__(name: str) -> Any:
    """Import what needs Django at its first use."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    if name == "bots":
        return import_module("headgate.outbound.bots")
    if name == "__version__":
        from importlib.metadata import version

        return version("headgate")
    raise AttributeError(f"module 'headgate' has no attribute {name!r}")
