"""Replaying, dropping and deleting many deliveries, some in each transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from django.db import router, transaction
from django.db.models import QuerySet

from headgate.outbound import ledger
from headgate.outbound.models import Attempt, Delivery, Destination
from headgate.outbound.states import of_state

__all__ = ["change_in_parts", "delete_destination", "drop_all", "replay_dead"]

AT_ONCE = 500  # deliveries: so long nobody else gets at their destinations


def change_in_parts(change: Callable[..., int], ids: Iterable[UUID]) -> int:
    """Do what `ledger.replay` or `ledger.drop` does to any number of deliveries.

    Returns:
        To how many it was done.
    """
    left = list(ids)
    parts = (left[first : first + AT_ONCE] for first in range(0, len(left), AT_ONCE))
    return sum(change(ids=part) for part in parts)


def replay_dead(destination: Destination) -> int:
    """Owe anew what was given up, and not what somebody dropped; return how many."""
    rows = Delivery.objects.filter(of_state(Delivery.State.DEAD))
    dead = rows.filter(destination=destination).values_list("pk", flat=True)
    return change_in_parts(ledger.replay, dead)


def drop_all(destination: Destination) -> int:
    """Owe no more what is due or was given up; return how many."""
    count = 0
    for state in (Delivery.State.DUE, Delivery.State.DEAD):
        rows = Delivery.objects.filter(of_state(state), destination=destination)
        count += change_in_parts(ledger.drop, rows.values_list("pk", flat=True))
    return count


def delete_destination(destination: Destination) -> None:
    """Delete a destination, and before it, in parts, all that it is owed.

    Django's cascade would read each delivery, and hold them while workers, who lock
    the destination first, wait for them.
    """
    using = router.db_for_write(Delivery)
    there = Destination.objects.using(using).filter(pk=destination.pk)
    there.update(enabled=False)  # so that it is owed no more
    # What is due goes first: no worker makes anything else of it any more.
    for state in (Delivery.State.DUE, *Delivery.State):
        rows = Delivery.objects.using(using).filter(of_state(state))
        _delete_all(there, rows.filter(destination=destination.pk), using)
    with transaction.atomic(using=using):
        list(there.select_for_update())
        destination.delete(using=using)


def _delete_all(
    there: QuerySet[Destination], rows: QuerySet[Delivery], using: str
) -> None:
    more = True
    while more:
        with transaction.atomic(using=using):
            list(there.select_for_update())
            part = list(rows.order_by().values_list("pk", flat=True)[:AT_ONCE])
            tries = Attempt.objects.using(using).filter(delivery__in=part)
            tries._raw_delete(using)  # noqa: SLF001 - as `purge` does
            deliveries = Delivery.objects.using(using).filter(pk__in=part)
            deliveries._raw_delete(using)  # noqa: SLF001
        more = len(part) == AT_ONCE
