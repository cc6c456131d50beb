"""For the tests of projects: clients of the chat in the test's own process.

With pytest, the fixture `chat_client` makes them (`plugin`); elsewhere `ChatClient`
does. Importing this package imports no Django.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headgate.testing.client import ChatClient, Closed, Refused

__all__ = ["ChatClient", "Closed", "Refused"]


def __getattr__(name: str) -> Any:
    """Import what needs Django at its first use."""
    if name in __all__:
        return getattr(import_module("headgate.testing.client"), name)
    raise AttributeError(f"module 'headgate.testing' has no attribute {name!r}")
