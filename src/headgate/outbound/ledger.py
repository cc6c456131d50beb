"""The ledger: what is leased, what came of it, and what people do to it.

`turn` is what a worker does again and again, in one transaction: it notes what came of
calls and leases the next ones. Whatever fails, nothing of it has happened, and a worker
that is gone leaves leases that run out; so each delivery is made at least once.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import (
    DatabaseError,
    InterfaceError,
    connections,
    router,
    transaction,
)
from django.db.models import Q

from headgate.outbound.due_rows import DELIVERY
from headgate.outbound.finishing import Finished, bury, finish
from headgate.outbound.leasing import lease
from headgate.outbound.models import Delivery, Destination
from headgate.outbound.owing import Owed, insert
from headgate.outbound.services import DESTINATION, lock, write
from headgate.outbound.telling import Leased, leased, untold
from headgate.outbound.wakes import wake_after

__all__ = [
    "Finished",
    "Turn",
    "drop",
    "due_destinations",
    "owe_test",
    "replay",
    "turn",
]

logger = logging.getLogger("headgate.outbound")


@dataclass(slots=True, kw_only=True)
class Turn:
    """What a turn has leased.

    Attributes:
        leased: The calls to be made.
        untold: What was leased and is to be given back: the database was gone before
            its events were read.
        look_at: When the gates of a destination let more go; until then it need not
            be looked at.
        ready_at: When the first batch that gathers has waited for long enough.
    """

    leased: list[Leased] = field(default_factory=list)
    untold: list[Leased] = field(default_factory=list)
    look_at: dict[int, float] = field(default_factory=dict)
    ready_at: float = math.inf


# One look into the index for each destination and importance; PostgreSQL would read all
# that is due for an EXISTS.
_ANY = (
    f"(SELECT 1 FROM {DELIVERY} WHERE destination_id = one.id AND state = 'due' "  # noqa: S608
    "AND importance = {} AND due_at <= %s LIMIT 1)"
)
_DUE = (
    f"SELECT id, concurrency FROM {DESTINATION} AS one WHERE enabled "  # noqa: S608
    "AND NOT paused AND not_before <= %s AND breaker_until <= %s AND probe_until <= %s "
    f"AND COALESCE({', '.join(_ANY.format(i) for i in (0, 1, 2))}) = 1 ORDER BY id"
)


def due_destinations(connection: Any, now: float) -> dict[int, int]:
    """Return those that have something due and are not shut, with their concurrency.

    It locks nothing, and is cheap where there is nothing to do.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE, [now] * 6)
        return dict(cursor.fetchall())


def turn(
    connection: Any,
    finished: Sequence[Finished],
    limits: Mapping[int, int],
    keys_after: dict[int, str] | None = None,
    *,
    kinds: Collection[str] = tuple(Destination.Kind.values),
    now: float | None = None,
) -> Turn:
    """Note what came of calls, and lease others: all in one transaction, or nothing.

    Destinations that another worker holds at this moment are left to it.

    Args:
        connection: Django's; the caller's thread alone uses it.
        finished: Calls that have ended.
        limits: How many calls to lease of each destination at most.
        keys_after: Where to go on among many order keys, from turn to turn.
        kinds: Of destinations of which calls are leased.
        now: The time; by default that of the clock.
    """
    now = time.time() if now is None else now
    ended = {one.leased.call.target.id for one in finished}
    with transaction.atomic(using=connection.alias):
        if connection.vendor == "postgresql":
            # What is lost with the machine's power is that a call was leased or made:
            # then it is made again. For this transaction alone: others may get the
            # connection next, from a pool.
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL synchronous_commit = off")
        services = lock(connection, ended, wait=True)
        finish(connection, services, finished, now)
        wanted = [i for i, most in limits.items() if most > 0]
        services |= lock(connection, set(wanted) - ended, wait=False)
        # In the order of `limits`, which is the turn they take.
        mine = {
            i: services[i]
            for i in wanted
            if i in services and services[i].target.kind in kinds
        }
        if keys_after is None:
            keys_after = {}
        leases = lease(connection, mine, limits, keys_after, now)
        bury(connection, leases.worn_out, now)
        write(connection, services.values())
    found = Turn(look_at=leases.look_at, ready_at=leases.ready_at)
    try:
        found.leased = leased(connection, leases.taken)
    except (DatabaseError, InterfaceError) as exc:
        # The turn is committed; a lease that is left to run out would count as a try.
        logger.warning("not_told calls=%d error=%s", len(leases.taken), exc)
        connection.close_if_unusable_or_obsolete()
        found.untold = [untold(one) for one in leases.taken]
    return found


def replay(
    *,
    ids: Iterable[UUID] | None = None,
    destination: int | None = None,
    since: float | None = None,
) -> int:
    """Owe anew what was given up or dropped, from its first attempt on.

    What is given narrows it down; at least one must be. A call of one delivery has the
    id that it had; those that went together are joined anew, under another.

    Args:
        ids: Of deliveries.
        destination: The id of a destination.
        since: Only what was owed since then, in seconds since 1970.

    Returns:
        How many deliveries.
    """
    using, rows = _chosen(ids, destination, since)
    with transaction.atomic(using=using):
        found = rows.filter(state__in=[Delivery.State.DEAD, Delivery.State.DROPPED])
        _lock_destinations(using, found)
        count: int = found.update(
            state=Delivery.State.DUE,
            due_at=time.time(),
            lease="",
            expires_at=None,  # somebody has use for it, or would not ask
            batch=None,
            is_digest=False,
            attempts=0,
            finished_at=None,
        )
        wake_after(connections[using])
    return count


def drop(
    *,
    ids: Iterable[UUID] | None = None,
    destination: int | None = None,
    since: float | None = None,
) -> int:
    """Owe no more what is due or was given up.

    A call that is on its way is left alone. The arguments are those of `replay`.

    Returns:
        How many deliveries.
    """
    using, rows = _chosen(ids, destination, since)
    with transaction.atomic(using=using):
        found = rows.filter(state__in=[Delivery.State.DUE, Delivery.State.DEAD])
        _lock_destinations(using, found)
        now = time.time()
        found = found.filter(Q(lease="") | Q(due_at__lte=now))
        count: int = found.update(
            state=Delivery.State.DROPPED, lease="", finished_at=now
        )
    return count


def owe_test(destination: Destination) -> UUID | None:
    """Owe a call that tells nothing, to see whether calls arrive; return its id.

    Its event is `test`. None: the destination is gone, or not enabled.
    """
    using = router.db_for_write(Delivery)
    with transaction.atomic(using=using):
        text = "This is a test call."
        owed = Owed(
            destination.pk,
            "test",
            Destination.Importance.HIGH.value,
            payload={"destination": destination.name, "text": text},
        )
        (delivery,) = insert(connections[using], [owed])
        there = Delivery.objects.using(using).filter(pk=delivery)
        return delivery if there.exists() else None


def _chosen(
    ids: Iterable[UUID] | None, destination: int | None, since: float | None
) -> tuple[str, Any]:
    if ids is None and destination is None and since is None:
        raise ValueError("Say which deliveries: by ids, destination or since.")
    using = router.db_for_write(Delivery)
    rows = Delivery.objects.using(using)
    if ids is not None:
        rows = rows.filter(pk__in=list(ids))
    if destination is not None:
        rows = rows.filter(destination=destination)
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    return using, rows


def _lock_destinations(using: str, rows: Any) -> None:
    """Hold the destinations, as workers do before they touch deliveries.

    So nobody waits for a delivery while somebody else waits for them.
    """
    ids = set(rows.values_list("destination", flat=True).distinct().order_by())
    lock(connections[using], ids, wait=True)
