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
    from headgate.chat.actions import NotSent, asend_message, send_message

__all__ = ["NotSent", "__version__", "asend_message", "send_message"]

_CHAT = frozenset({"NotSent", "asend_message", "send_message"})


def __getattr__(name: str) -> Any:
    """Import what needs Django at its first use."""
    if name in _CHAT:
        return getattr(import_module("headgate.chat.actions"), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("headgate")
    raise AttributeError(f"module 'headgate' has no attribute {name!r}")
