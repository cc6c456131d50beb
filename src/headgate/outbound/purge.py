"""Deleting what was delivered long ago, in pieces for which nobody has to wait.

What waits for a destination that is off is given up first.
"""

from __future__ import annotations

import time
from typing import Any

from django.db import transaction

from headgate.chat.conf import conf
from headgate.outbound.expiry import expire
from headgate.outbound.models import Attempt, Delivery

__all__ = ["purge"]

PIECE = 200  # deliveries in one transaction: a few ms
DEAD_FACTOR = 10  # what was given up is kept so many times as long


def purge(connection: Any, now: float | None = None) -> bool:
    """Delete a piece of what is old; return whether there may be more.

    What was delivered or dropped is kept for `OUTBOUND_KEEP_SECONDS`, what was given
    up ten times as long.
    """
    using, now = connection.alias, time.time() if now is None else now
    if expire(connection, now):
        return True
    keep = conf().OUTBOUND_KEEP_SECONDS
    state = Delivery.State
    ages = {state.DONE: keep, state.DROPPED: keep, state.DEAD: keep * DEAD_FACTOR}
    for of_state, seconds in ages.items():
        rows = Delivery.objects.using(using).filter(
            state=of_state, finished_at__lt=now - seconds
        )
        ids = list(rows.order_by("finished_at").values_list("pk", flat=True)[:PIECE])
        if not ids:
            continue
        with transaction.atomic(using=using):
            # Locked, so that none of them is replayed in the middle.
            gone = rows.select_for_update(skip_locked=True).filter(pk__in=ids)
            old = list(gone.values_list("pk", flat=True))
            deliveries = Delivery.objects.using(using).filter(pk__in=old)
            attempts = Attempt.objects.using(using).filter(delivery__in=old)
            # Without reading each row, as `delete` would.
            attempts._raw_delete(using)  # noqa: SLF001
            deliveries._raw_delete(using)  # noqa: SLF001
        if len(ids) == PIECE:
            return True
    return False
