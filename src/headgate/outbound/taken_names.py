"""Functions of the project that are not called, as another destination has their name.

A destination is made for each by its own name; where an administrator has made one of
that name before, there is none, and nothing is owed to the function.
"""

from __future__ import annotations

import logging

from headgate.outbound.models import Destination
from headgate.outbound.registry import declared

__all__ = ["log_taken_names", "taken_names"]

logger = logging.getLogger("headgate.outbound")


def taken_names(using: str) -> dict[str, str]:
    """Return the handlers that have no destination for that, and what to do of each."""
    rows = Destination.objects.using(using)
    own = set(rows.exclude(handler="").values_list("handler", flat=True))
    without = {
        each.name: each for each in declared().values() if each.handler not in own
    }
    found = {}
    for name, handler in rows.filter(name__in=without).values_list("name", "handler"):
        whose = f"of {handler}" if handler else "a webhook's"
        found[without[name].handler] = (
            f"It is not called: its destination would be named {name!r}, and there is "
            f"one of that name, {whose}. Give the function another name, or delete "
            "that destination and make it anew under another."
        )
    return found


def log_taken_names(using: str) -> None:
    """Say so in the log, as an error for each."""
    for handler, what in taken_names(using).items():
        logger.error("handler_not_called handler=%s: %s", handler, what)
