"""How a destination stands, in one word for programs and in a sentence for people.

The gates decide by the same columns; here they are only read.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from django.db.models import (
    Aggregate,
    Count,
    IntegerField,
    Min,
    OuterRef,
    Q,
    Subquery,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce

from headgate.limits.spans import in_words
from headgate.outbound.models import Delivery, Destination

__all__ = [
    "Backlog",
    "Standing",
    "StateName",
    "backlogs",
    "count_of",
    "of_state",
    "standing_of",
]

StateName = Literal["on", "waiting", "breaker", "paused", "disabled"]


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a destination is called, and why not.

    Attributes:
        name: One word.
        text: The same for people.
        until: When it is looked at again, in seconds since 1970, or None.
    """

    name: StateName
    text: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a destination is still owed.

    Attributes:
        due: Deliveries that are still to be made.
        dead: Deliveries that were given up.
        oldest: When the first of those that are due was owed, or None.
    """

    due: int = 0
    dead: int = 0
    oldest: float | None = None


def standing_of(destination: Destination, now: float | None = None) -> Standing:
    """Return how a destination stands; asks no database."""
    now = time.time() if now is None else now
    if not destination.enabled:
        why = destination.disabled_reason
        return Standing("disabled", f"disabled: {why}" if why else "disabled")
    if destination.paused:
        return Standing("paused", "paused")
    if destination.breaker_until > now:
        left = in_words(destination.breaker_until - now)
        text = f"not called for {left}: it failed too often"
        return Standing("breaker", text, destination.breaker_until)
    if destination.not_before > now:
        left = in_words(destination.not_before - now)
        text = f"waits for {left}, as the service asked"
        return Standing("waiting", text, destination.not_before)
    if destination.breaker_opened:
        return Standing("breaker", "tried with one call at a time: it failed too often")
    return Standing("on", "on")


def of_state(state: str) -> Q:
    """Return what finds deliveries of one state, and of a destination, by an index.

    SQLite takes an index only where its condition is there in the same words.
    """
    if state == Delivery.State.DUE:
        return Q(state=RawSQL("'due'", ()))
    return Q(state=state, finished_at__isnull=False)


def count_of(state: str) -> Coalesce:
    """Return how many deliveries of a state each destination of a query has."""
    count = _figure(state, Count("pk"))
    return Coalesce(count, 0, output_field=IntegerField())


def _figure(state: str, figure: Aggregate) -> Subquery:
    # For each by itself: for many together SQLite reads those of all destinations.
    rows = Delivery.objects.filter(of_state(state), destination=OuterRef("pk"))
    found = rows.order_by().values("destination").annotate(figure=figure)
    return Subquery(found.values("figure"))


def backlogs(destinations: Iterable[int]) -> dict[int, Backlog]:
    """Return what destinations are owed, by their ids; one query."""
    ids = list(destinations)
    due = Delivery.State.DUE
    rows = Destination.objects.filter(pk__in=ids).values_list(
        "pk",
        count_of(due),
        count_of(Delivery.State.DEAD),
        _figure(due, Min("created_at")),
    )
    found = {pk: Backlog(*figures) for pk, *figures in rows}
    return {each: found.get(each, Backlog()) for each in ids}
