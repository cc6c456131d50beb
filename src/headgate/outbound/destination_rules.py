"""What a destination may say of itself, whether the admin, the API or code makes it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.core.exceptions import ValidationError

from headgate.limits.policy import Policy
from headgate.outbound.address_guard import NotAllowed, guard
from headgate.outbound.models import Destination
from headgate.outbound.notices import NOTICES

__all__ = [
    "LOG_EVENTS",
    "MAX_CONCURRENCY",
    "MAX_TIMEOUT_SECONDS",
    "RANGES",
    "check_new",
    "events_mistake",
    "rate_mistake",
    "rooms_mistake",
    "url_mistake",
]

# What happens in rooms; what happens to the server and its services are `NOTICES`.
LOG_EVENTS = ("message", "edited", "deleted", "membership")
MAX_CONCURRENCY = 64  # calls of one destination at once
MAX_TIMEOUT_SECONDS = 600.0
# From, to: what the columns of a number may say.
RANGES: dict[str, tuple[float, float]] = {
    "concurrency": (1, MAX_CONCURRENCY),
    "timeout_seconds": (0.1, MAX_TIMEOUT_SECONDS),
    "max_attempts": (1, 100),
    "batch_size": (1, 1000),
    "batch_wait_seconds": (0, 3600),
    "useful_seconds": (1, 30 * 86_400),
}
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


def check_new(row: Destination) -> None:
    """Check a destination that code makes.

    Raises:
        ValidationError: With what is wrong, by the names of columns.
    """
    kinds = {
        "kind": row.Kind,
        "ordering": row.Ordering,
        "late": row.Late,
        "importance": row.Importance,
    }
    # Django says what is of a wrong type or too long. It would ask the database for
    # the room, and of a word that there is not it does not say which there are.
    row.clean_fields(exclude={"room", *kinds})
    found = {
        "url": url_mistake(row.url or "") if row.kind == row.Kind.WEBHOOK else None,
        "events": _list_mistake(row.events) or events_mistake(row.events),
        "rooms": _list_mistake(row.rooms) or rooms_mistake(row.rooms),
        "secrets": _list_mistake(row.secrets),
        "rate": rate_mistake(row.rate),
        "cost_budget": rate_mistake(row.cost_budget),
    }
    # Django passes over these where they are empty, and takes None for that.
    for name in ("url", "handler", "rate", "cost_budget"):
        if getattr(row, name) is None:
            found[name] = "It is None; an empty text is what says that there is none."
    for name, (least, most) in RANGES.items():
        value = getattr(row, name)
        if value is not None and not least <= value <= most:
            found[name] = f"It is {value:g}; from {least:g} to {most:g} may be written."
    for name, kind in kinds.items():
        if getattr(row, name) not in kind.values:
            told = ", ".join(map(repr, kind.values))
            found[name] = f"There is no {getattr(row, name)!r}. There are {told}."
    mistakes = {name: mistake for name, mistake in found.items() if mistake}
    if mistakes:
        raise ValidationError(mistakes)


def _list_mistake(given: object) -> str | None:
    # Without the value: it may be a secret.
    if isinstance(given, list | tuple) and all(isinstance(each, str) for each in given):
        return None
    return "A list of texts is wanted."
