"""What a destination may say of itself: the rules of the admin and of the HTTP API."""

from __future__ import annotations

import re
from collections.abc import Iterable

from headgate.limits.policy import Policy
from headgate.outbound.address_guard import NotAllowed, guard
from headgate.outbound.notices import NOTICES

__all__ = [
    "LOG_EVENTS",
    "MAX_CONCURRENCY",
    "MAX_TIMEOUT_SECONDS",
    "events_mistake",
    "rate_mistake",
    "rooms_mistake",
    "url_mistake",
]

# What happens in rooms; what happens to the server and its services are `NOTICES`.
LOG_EVENTS = ("message", "edited", "deleted", "membership")
MAX_CONCURRENCY = 64  # calls of one destination at once
MAX_TIMEOUT_SECONDS = 600.0
# A room's slug, with the wildcards of fnmatch.
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\[\]!-]{1,64}")


def rate_mistake(text: str) -> str | None:
    """Return what is wrong with a rate, or None; an empty one is none at all."""
    if not text:
        return None
    try:
        Policy("external", text)
    except ValueError as exc:
        return str(exc)
    return None


def events_mistake(events: Iterable[str]) -> str | None:
    """Return what is wrong with names of events, or None."""
    known = (*LOG_EVENTS, *NOTICES)
    for name in events:
        if name not in known:
            return f"There is no event {name!r}. There are {', '.join(known)}."
    return None


def rooms_mistake(patterns: Iterable[str]) -> str | None:
    """Return what is wrong with patterns of rooms, or None."""
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            return (
                f"{pattern!r} is no pattern of rooms. Write a room's name, with * for "
                "any letters: order-*."
            )
    return None


def url_mistake(url: str, *, public: bool = False) -> str | None:
    """Return why a URL may not be called, or None; its name is not looked up.

    Args:
        url: Of a webhook.
        public: Whether `OUTBOUND_NETWORKS` is not for whoever gives it.
    """
    try:
        guard(public_only=public).check_url(url)
    except NotAllowed as exc:
        return str(exc)
    return None
