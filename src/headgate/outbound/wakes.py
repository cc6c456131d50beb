"""Telling this process's workers that something is owed, from any thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["listen", "stop_listening", "wake_after", "wake_all"]

_listeners: set[Callable[[], None]] = set()


def listen(wake: Callable[[], None]) -> None:
    """Have a function called, from any thread, when something was owed."""
    _listeners.add(wake)


def stop_listening(wake: Callable[[], None]) -> None:
    """Call it no more."""
    _listeners.discard(wake)


def wake_all() -> None:
    """Wake the workers of this process."""
    for wake in tuple(_listeners):
        wake()


def wake_after(connection: Any) -> None:
    """Wake them as soon as the connection's transaction is committed."""
    if _listeners:
        connection.on_commit(wake_all, robust=True)
