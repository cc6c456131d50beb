"""Running code that uses the ORM on the thread that Django keeps for it.

Unlike Channels' `database_sync_to_async` it leaves connections alone that are in a
transaction: those of a `TestCase` are, from the first line of a test to its last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections

__all__ = ["close_old_connections", "in_django_thread"]

P = ParamSpec("P")
R = TypeVar("R")


async def in_django_thread(
    function: Callable[P, R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """Return what a function returns on that thread, and tidy up before and after."""

    def call() -> R:
        close_old_connections()
        try:
            return function(*args, **kwargs)
        finally:
            close_old_connections()

    return await sync_to_async(call)()


def close_old_connections() -> None:
    """Close this thread's connections that are broken, or past `CONN_MAX_AGE`."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
