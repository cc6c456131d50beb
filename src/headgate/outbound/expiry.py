"""Giving up what waits for destinations that are paused or disabled, after days.

Without it a destination that nobody switches on again would be owed more and more. What
is given up can be replayed, for as long as it is kept.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import transaction

from headgate.outbound.due_rows import DELIVERY
from headgate.outbound.notices import Notice, owe_notices
from headgate.outbound.services import DESTINATION, lock

__all__ = ["WAIT_SECONDS", "expire"]

logger = logging.getLogger("headgate.outbound")

# As long as a service may fail before it is disabled.
WAIT_SECONDS = 5 * 86_400.0
# So much longer the first of them waits, so that some are given up, and told, together.
TOGETHER_SECONDS = 3600.0
PIECE = 200  # deliveries in one transaction, as in `purge`
EXPIRED = "It waited for 5 days: its destination was paused or disabled."

# One look into the index for each destination and importance, as the worker has.
_ANY = (
    f"(SELECT 1 FROM {DELIVERY} WHERE destination_id = one.id AND state = 'due' "  # noqa: S608
    "AND importance = {} AND due_at <= %s LIMIT 1)"
)
_OFF = (
    f"SELECT id FROM {DESTINATION} AS one WHERE (NOT enabled OR paused) "  # noqa: S608
    f"AND COALESCE({', '.join(_ANY.format(i) for i in (0, 1, 2))}) = 1 "
    "ORDER BY id LIMIT 1"
)
_GIVE_UP = (
    f"UPDATE {DELIVERY} SET state = 'dead', lease = '', last_error = %s, "  # noqa: S608
    f"finished_at = %s WHERE id IN (SELECT id FROM {DELIVERY} "
    "WHERE destination_id = %s AND state = 'due' AND importance IN (0, 1, 2) "
    "AND due_at <= %s LIMIT %s)"
)


def expire(connection: Any, now: float) -> bool:
    """Give up a piece of what waited for too long; return whether there may be more.

    Waiting counts from when it could have been called: a replay begins anew.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OFF, [now - WAIT_SECONDS - TOGETHER_SECONDS] * 3)
        found = cursor.fetchone()
    if found is None:
        return False
    with transaction.atomic(using=connection.alias):
        (service,) = lock(connection, found, wait=True).values() or (None,)
        if service is None or (service.gates.enabled and not service.gates.paused):
            return True  # it is gone, or called again just now
        oldest = now - WAIT_SECONDS
        with connection.cursor() as cursor:
            values = [EXPIRED, now, service.target.id, oldest, PIECE]
            cursor.execute(_GIVE_UP, values)
            count = int(cursor.rowcount)
        if not count:
            return True  # another worker gave them up just now
        name = service.target.name
        told = {"destination": name, "count": count, "error": EXPIRED}
        notice = Notice("deliveries.expired", told, name, service.target.id)
        owe_notices([notice], using=connection.alias)
    logger.warning("deliveries_expired destination=%s count=%d", name, count)
    return True
