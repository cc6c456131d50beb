"""What came of calls: noted by the set, in a transaction that holds the destinations.

Whoever lost a lease to somebody else changes nothing of that delivery: the token is not
theirs any more.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from headgate.chat.models import Room
from headgate.outbound.calls import Outcome
from headgate.outbound.due_rows import DELIVERY
from headgate.outbound.gates import after_call, probe_ended
from headgate.outbound.leasing import Taken
from headgate.outbound.models import Attempt
from headgate.outbound.notices import Notice, owe_notices
from headgate.outbound.retries import retry_in_seconds
from headgate.outbound.services import Service
from headgate.outbound.telling import Leased
from headgate.outbound.value_rows import value_rows

__all__ = ["Finished", "bury", "finish"]

MAX_ERROR = 300  # characters, of the column
MAX_STATUS = 2**31 - 1  # of the column
# Past it a time is of no use, and a clock that counts microseconds not exact.
MAX_RETRY_AFTER_SECONDS = 86_400.0
MAX_COST = 10**9
WORN_OUT = "Each worker that made this call ended in the middle of it."


@dataclass(frozen=True, slots=True)
class Finished:
    """A call and what came of it; None: it was not begun, and is given back."""

    leased: Leased
    outcome: Outcome | None


@dataclass(frozen=True, slots=True)
class _Fate:
    """What a call's deliveries become."""

    state: str
    due_at: float
    tried: bool
    error: str = ""
    status: int | None = None


def finish(
    connection: Any,
    services: Mapping[int, Service],
    finished: Sequence[Finished],
    now: float,
) -> None:
    """Note what came of calls; their destinations are locked, and changed here.

    A destination that is gone takes its deliveries along: there is nothing to note.
    """
    ended = [
        (one, services[one.leased.call.target.id], _fate(one, now))
        for one in finished
        if one.leased.call.target.id in services
    ]
    if not ended:
        return
    ours = _settle(
        connection,
        [
            (delivery, one.leased.token, fate)
            for one, _, fate in ended
            for delivery in one.leased.ids
        ],
        now,
    )
    attempts: list[tuple[Any, ...]] = []
    notices: list[Notice] = []
    for one, service, fate in ended:
        leased, outcome = one.leased, one.outcome
        still = [delivery for delivery in leased.ids if delivery in ours]
        if outcome is None:
            if still and leased.probe:
                service.gates = probe_ended(service.gates)
            continue
        _count(service, outcome)
        if not still:
            continue
        notices += _pass(service, leased, outcome, now)
        if fate.tried:
            attempts += [_attempt(each, leased, outcome, now) for each in still]
        if fate.state == "dead" and outcome.result != "gone":
            notices += _exhausted(service, leased, fate)
    if attempts:
        _write_attempts(connection, attempts)
    owe_notices(notices, using=connection.alias)


def bury(connection: Any, worn_out: Iterable[Taken], now: float) -> None:
    """Give up what no worker survived; nothing is called."""
    those = [(one, row) for one in worn_out for row in one.rows]
    if not those:
        return
    dead = _Fate("dead", now, tried=False, error=WORN_OUT)
    ours = _settle(connection, [(row.id, row.lease, dead) for _, row in those], now)
    rooms = Room.objects.using(connection.alias)
    slugs = dict(
        rooms.filter(pk__in={row.room_id for _, row in those}).values_list("pk", "slug")
    )
    notices = [
        _given_up(
            one.service, row.id, row.event, slugs[row.room_id], row.seq, one.tried, dead
        )
        for one, row in those
        if row.id in ours and row.room_id in slugs and row.seq is not None
    ]
    owe_notices(notices, using=connection.alias)


def _fate(one: Finished, now: float) -> _Fate:
    outcome, leased = one.outcome, one.leased
    if outcome is None:
        return _Fate("due", now, tried=False)
    error, status = _text(outcome.error), outcome.status
    if status is not None and not 0 <= status <= MAX_STATUS:
        status = None
    if outcome.result == "delivered":
        return _Fate("done", now, tried=True, status=status)
    if outcome.result == "skipped":
        return _Fate("dropped", now, tried=False, error=error)
    if outcome.result == "throttled":
        return _Fate("due", now, tried=False, error=error, status=status)
    if outcome.result == "failed" and leased.call.attempt < leased.max_attempts:
        # The jitter that spreads them; no secret depends on it.
        wait = retry_in_seconds(
            leased.call.attempt,
            _bounded(outcome.retry_after_seconds),
            random.random(),  # noqa: S311
        )
        return _Fate("due", now + wait, tried=True, error=error, status=status)
    return _Fate("dead", now, tried=True, error=error, status=status)


def _text(error: str) -> str:
    """Return what fits into the column; no U+0000 and no surrogate does."""
    return error.replace("\0", "").encode(errors="replace").decode()[:MAX_ERROR]


def _bounded(seconds: float | None) -> float | None:
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _count(service: Service, outcome: Outcome) -> None:
    if outcome.result == "skipped":
        return
    service.calls += 1
    service.failures += outcome.result not in {"delivered", "throttled"}
    service.delivered += outcome.result == "delivered"
    service.service_seconds += outcome.service_seconds
    service.cost += min(max(outcome.cost, 0), MAX_COST)


def _pass(
    service: Service, leased: Leased, outcome: Outcome, now: float
) -> Iterator[Notice]:
    """Have the gates know, and give what systems are told of what changed there."""
    before = service.gates
    # Where nothing was called, nothing is known of the service.
    if not leased.call.told or outcome.result == "skipped":
        service.gates = probe_ended(before) if leased.probe else before
        return
    outcome = Outcome(
        result=outcome.result,
        retry_after_seconds=_bounded(outcome.retry_after_seconds),
        cost=min(max(outcome.cost, 0), MAX_COST),
    )
    gates = service.gates = after_call(
        before,
        now,
        outcome,
        probe=leased.probe,
        retry=leased.retry,
        jitter=random.random(),  # noqa: S311 - it only spreads
    )
    name = service.target.name
    told: dict[str, Any]
    if before.enabled and not gates.enabled:
        told = {"destination": name, "reason": gates.disabled_reason}
        yield _notice(service, "destination.disabled", told)
    elif gates.breaker_opened and not before.breaker_opened:
        told = {"destination": name, "failures": gates.window_failures}
        yield _notice(service, "service.degraded", told)
    elif before.breaker_opened and not gates.breaker_opened:
        yield _notice(service, "service.recovered", {"destination": name})


def _notice(service: Service, event: str, told: dict[str, Any]) -> Notice:
    return Notice(event, told, service.target.name, service.target.id)


def _exhausted(service: Service, leased: Leased, fate: _Fate) -> Iterator[Notice]:
    """Give that deliveries were given up; of notices not, which would have no end."""
    for told in leased.call.told:
        if told.push is not None:
            room, seq = told.push.room, told.push.seq
            tried = leased.call.attempt
            yield _given_up(service, told.id, told.event, room, seq, tried, fate)


def _given_up(
    service: Service,
    delivery: str,
    event: str,
    room: str,
    seq: int,
    attempts: int,
    fate: _Fate,
) -> Notice:
    about = {
        "destination": service.target.name,
        "delivery": delivery,
        "event": event,
        "room": room,
        "seq": seq,
        "attempts": attempts,
        "error": fate.error,
    }
    return _notice(service, "delivery.exhausted", about)


_SETTLED = (
    ("delivery", "uuid"),
    ("token", "text"),
    ("new_state", "text"),
    ("new_due_at", "float8"),
    ("tried", "int"),
    ("new_status", "int"),
    ("new_error", "text"),
    ("ended_at", "float8"),
)


def _settle(
    connection: Any, rows: Iterable[tuple[str, str, _Fate]], now: float
) -> set[str]:
    """Write what deliveries become, and return those that were still ours."""
    values = [
        (
            delivery,
            token,
            fate.state,
            fate.due_at,
            int(fate.tried),
            fate.status,
            fate.error,
            None if fate.state == "due" else now,
        )
        for delivery, token, fate in rows
    ]
    source, parameters = value_rows(connection, _SETTLED, values)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {DELIVERY} SET state = new_state, lease = '', "  # noqa: S608
            "due_at = new_due_at, attempts = attempts + tried, "
            "last_status = COALESCE(new_status, last_status), "
            "last_error = CASE WHEN new_error <> '' OR new_state = 'done' "
            "THEN new_error ELSE last_error END, finished_at = ended_at "
            f"FROM {source} WHERE id = delivery AND lease = token AND state = 'due' "
            "RETURNING id",
            parameters,
        )
        found = [row[0] for row in cursor.fetchall()]
    return {each.hex if isinstance(each, UUID) else each for each in found}


_ATTEMPT = Attempt._meta.db_table  # noqa: SLF001 - Django's public _meta
_ATTEMPTS = (
    ("delivery_id", "uuid"),
    ("number", "int"),
    ("at", "float8"),
    ("status", "int"),
    ("outcome", "text"),
    ("service_seconds", "float8"),
    ("error", "text"),
    ("retry_after_seconds", "float8"),
)


def _attempt(
    delivery: str, leased: Leased, outcome: Outcome, now: float
) -> tuple[Any, ...]:
    status = outcome.status
    return (
        delivery,
        leased.call.attempt,
        now - outcome.service_seconds,
        status if status is None or 0 <= status <= MAX_STATUS else None,
        outcome.result,
        outcome.service_seconds,
        _text(outcome.error),
        _bounded(outcome.retry_after_seconds),
    )


def _write_attempts(connection: Any, rows: Sequence[tuple[Any, ...]]) -> None:
    names = ", ".join(name for name, _ in _ATTEMPTS)
    source, values = value_rows(connection, _ATTEMPTS, rows)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_ATTEMPT} ({names}) SELECT {names} FROM {source}",  # noqa: S608
            values,
        )
