"""Which deliveries go now: taken in their order, joined into calls, and leased.

All of it runs in a transaction that holds the destination's row, and asks its gates
how many calls may go. A lease is a token and a time: until then nobody else takes the
delivery, and after it, it is due again as if nothing had been.

What once went together goes together again, under the same id and with the same
content: a service that knows the id has had all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from headgate.outbound import due_rows
from headgate.outbound.due_rows import DELIVERY, DueRow
from headgate.outbound.gates import (
    GRACE_SECONDS,
    Opening,
    after_leases,
    in_reach,
    opening,
)
from headgate.outbound.models import Destination
from headgate.outbound.services import Service
from headgate.outbound.uuid7 import uuid7
from headgate.outbound.value_rows import value_rows

__all__ = ["Leases", "Taken", "lease"]

MAX_ROWS = 2000  # deliveries of one destination, looked at in one go


@dataclass(slots=True, kw_only=True)
class Taken:
    """Deliveries that go as one call.

    Attributes:
        service: Whose.
        rows: In an order that stays the same.
        digest: Whether they are late, and told as their number.
        batch: Their common id, or None where one goes alone.
        tried: How often they were tried before.
        token: Of the lease.
        probe: Whether the breaker goes by what comes of it.
    """

    service: Service
    rows: list[DueRow]
    digest: bool = False
    batch: str | None = None
    tried: int = 0
    token: str = ""
    probe: bool = False

    @property
    def is_worn_out(self) -> bool:
        """Whether each try has ended with its worker: then no other is made."""
        return self.tried >= self.service.max_attempts


@dataclass(slots=True)
class Leases:
    """What came of leasing.

    Attributes:
        taken: What was leased.
        worn_out: What is to be given up instead.
        look_at: When the gates of a destination let more go.
        ready_at: When the first batch that gathers has waited for long enough.
    """

    taken: list[Taken] = field(default_factory=list)
    worn_out: list[Taken] = field(default_factory=list)
    look_at: dict[int, float] = field(default_factory=dict)
    ready_at: float = math.inf


def _leased_counts(
    connection: Any, destinations: Sequence[int], now: float
) -> dict[int, int]:
    """Return how many calls of each are on their way, in all processes."""
    marks = ", ".join(["%s"] * len(destinations))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT destination_id, COUNT(DISTINCT COALESCE(batch, id)) "  # noqa: S608
            f"FROM {DELIVERY} WHERE destination_id IN ({marks}) "
            "AND state = 'due' AND NOT (lease = '') AND due_at > %s "
            "GROUP BY destination_id",
            [*destinations, now],
        )
        return dict(cursor.fetchall())


@dataclass(slots=True)
class _Choice:
    """What is chosen of one destination."""

    service: Service
    opening: Opening
    most: int
    taken: list[Taken] = field(default_factory=list)
    worn_out: list[Taken] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    retries: int = 0
    were_over: bool = False
    ready_at: float = math.inf

    def is_full(self) -> bool:
        return len(self.taken) >= self.most

    def take(self, rows: list[DueRow], *, digest: bool = False) -> None:
        """Take rows as one call, if there are retries left for it."""
        self.seen.update(row.id for row in rows)
        fresh_digest = digest and not rows[0].is_digest
        tried = 0 if fresh_digest else max(row.was_tried for row in rows)
        batch = rows[0].batch
        size = 1 if tried else self.service.batch_size  # one that went alone does again
        if batch is None and (len(rows) > 1 or size > 1 or digest):
            batch = uuid7().hex
        one = Taken(
            service=self.service,
            rows=sorted(rows, key=_place),
            digest=digest or rows[0].is_digest,
            batch=batch,
            tried=tried,
        )
        if one.is_worn_out:
            self.worn_out.append(one)
        elif tried and self.retries >= self.opening.retries:
            self.were_over = True
        else:
            self.retries += tried > 0
            self.taken.append(one)


def _place(row: DueRow) -> tuple[int, int, str]:
    return row.room_id or 0, row.seq or 0, row.id


def lease(
    connection: Any,
    services: Mapping[int, Service],
    limits: Mapping[int, int],
    keys_after: dict[int, str],
    now: float,
) -> Leases:
    """Lease what may go of destinations that are locked.

    Args:
        connection: Django's, in a transaction.
        services: The destinations; their gates and counts are changed.
        limits: How many calls of each at most.
        keys_after: Where to go on among many order keys; kept by the caller.
        now: The time.
    """
    leases = Leases()
    ids = [i for i in services if limits.get(i, 0) > 0]
    if not ids:
        return leases
    counts = _leased_counts(connection, ids, now)
    for i in ids:
        services[i].gates = in_reach(services[i].gates, now)
        open_ = opening(services[i].gates, now, leased=counts.get(i, 0))
        choice = _Choice(services[i], open_, min(open_.calls, limits[i]))
        if choice.most > 0:
            _choose(connection, choice, keys_after, now)
            _note(choice, now)
        leases.taken += choice.taken
        leases.worn_out += choice.worn_out
        leases.ready_at = min(leases.ready_at, choice.ready_at)
        if len(choice.taken) >= open_.calls:
            leases.look_at[i] = open_.look_at
    if leases.taken:
        _write(connection, leases.taken, now)
    return leases


def _note(choice: _Choice, now: float) -> None:
    """Charge the gates with what was taken."""
    service = choice.service
    service.gates = after_leases(
        service.gates,
        now,
        calls=len(choice.taken),
        retries=choice.retries,
        probe=choice.opening.probe,
    )
    for one in choice.taken:
        one.probe = choice.opening.probe
        service.waited_seconds += max(0.0, now - min(r.due_at for r in one.rows))


def _choose(
    connection: Any, choice: _Choice, keys_after: dict[int, str], now: float
) -> None:
    """Choose what goes now of one destination."""
    service, i = choice.service, choice.service.target.id
    keep_late = service.late == Destination.Late.KEEP
    if service.late == Destination.Late.DROP:
        due_rows.drop_late(connection, i, now)
    elif service.late == Destination.Late.DIGEST:
        rows = due_rows.late(connection, i, now)
        if rows:
            choice.take(rows, digest=True)
    limit = min(choice.most * service.batch_size, MAX_ROWS)
    rows = due_rows.due(connection, i, now, limit, keep_late=keep_late)
    if any(row.order_key for row in rows):
        rows = due_rows.due(
            connection, i, now, limit, keep_late=keep_late, unkeyed=True
        )
        first, keys_after[i] = due_rows.heads(
            connection, i, now, limit, keep_late=keep_late, after=keys_after.get(i, "")
        )
        rows = sorted([*rows, *first], key=lambda row: (row.importance, row.due_at))
    _join(connection, choice, rows, now)
    if choice.were_over and not choice.is_full():
        # Retries must wait; those that were not tried yet need not.
        rows = due_rows.due(
            connection, i, now, limit, keep_late=keep_late, untried=True
        )
        _join(connection, choice, rows, now)


def _join(connection: Any, choice: _Choice, rows: Sequence[DueRow], now: float) -> None:
    """Make calls of rows: those that went together again, others with their like."""
    size = choice.service.batch_size
    alone: list[DueRow] = []
    for row in rows:
        if choice.is_full():
            return
        if row.id in choice.seen:
            continue
        if row.batch is not None:
            choice.take(due_rows.batch_members(connection, row.batch))
        elif size > 1 and row.order_key and not row.was_tried:
            # One call holds one key, so that it waits for no other.
            found = due_rows.keyed_after(
                connection, choice.service.target.id, row.order_key, size
            )
            _take_if_ready(choice, list(_until_batched(found, now)), now)
        elif size > 1 and not row.was_tried:
            alone.append(row)
        else:
            choice.take([row])
    for begin in range(0, len(alone), size):
        if choice.is_full():
            return
        _take_if_ready(choice, alone[begin : begin + size], now)


def _until_batched(rows: Sequence[DueRow], now: float) -> Iterator[DueRow]:
    """Give the first rows of a key, up to one that was tried or goes not now."""
    for row in rows:
        if row.batch is not None or row.was_tried or row.due_at > now:
            return
        yield row


def _take_if_ready(choice: _Choice, rows: list[DueRow], now: float) -> None:
    """Take a batch that is full, or whose first has waited for long enough."""
    # There are none where another was owed just now: a message that has grown.
    began = min((row.created_at for row in rows), default=math.inf)
    ready_at = began + choice.service.batch_wait_seconds
    if len(rows) >= choice.service.batch_size or ready_at <= now:
        choice.take(rows)
    else:
        choice.ready_at = min(choice.ready_at, ready_at)


_LEASED = (
    ("delivery", "uuid"),
    ("token", "text"),
    ("ends_at", "float8"),
    ("new_batch", "uuid"),
    ("new_attempts", "int"),
    ("new_digest", "bool"),
)


def _write(connection: Any, taken: Sequence[Taken], now: float) -> None:
    """Write the leases, with a token of their own."""
    token = token_hex(12)
    rows = []
    for one in taken:
        one.token = token
        ends_at = now + one.service.target.timeout_seconds + GRACE_SECONDS
        rows += [
            (
                row.id,
                token,
                ends_at,
                one.batch,
                0 if one.digest and not row.is_digest else row.was_tried,
                one.digest,
            )
            for row in one.rows
        ]
    source, values = value_rows(connection, _LEASED, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {DELIVERY} SET lease = token, due_at = ends_at, "  # noqa: S608
            "batch = new_batch, attempts = new_attempts, is_digest = new_digest "
            f"FROM {source} WHERE id = delivery",
            values,
        )
