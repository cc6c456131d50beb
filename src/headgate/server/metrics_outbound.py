"""What is measured of external services: what their rows say, and what a worker counts.

The rows are in the database, which all processes share; so one process tells of them.
There is a label for each destination that an administrator or the code made, up to a
hundred; those of rooms are one together.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, get_args

from django.db import DatabaseError, InterfaceError, connections

from headgate.chat.engine import Engine
from headgate.chat.measured import Value
from headgate.live.ports import LogUnavailable
from headgate.server.metrics_families import Family, ServerMeasure, family

if TYPE_CHECKING:
    from headgate.outbound.worker import Worker

__all__ = ["OUTBOUND_MEASURES", "OutboundMetrics"]

logger = logging.getLogger("headgate.metrics")

MOST_LABELS = 100
OF_ROOMS = "of rooms"
OTHERS = "others"
KEPT_SECONDS = 5.0  # what the database says is not asked for more often

_BY = ("destination",)

CALLS = ServerMeasure(
    "headgate_outbound_calls_total",
    "counter",
    "Calls of a destination; throttled: it asked to wait.",
    ("destination", "result"),
)
SERVICE = ServerMeasure(
    "headgate_outbound_service_seconds_total",
    "counter",
    "How long calls took the service, all together.",
    _BY,
)
WAITED = ServerMeasure(
    "headgate_outbound_waited_seconds_total",
    "counter",
    "How long calls waited after they were due, mostly for limits, all together.",
    _BY,
)
COST = ServerMeasure(
    "headgate_outbound_cost_total",
    "counter",
    "What calls cost, in the units that they report.",
    _BY,
)
DUE = ServerMeasure(
    "headgate_outbound_due", "gauge", "Deliveries that are still to be made.", _BY
)
DEAD = ServerMeasure(
    "headgate_outbound_dead", "gauge", "Deliveries that were given up.", _BY
)
OLDEST = ServerMeasure(
    "headgate_outbound_oldest_due_seconds",
    "gauge",
    "Since when the delivery is owed that is due for longest.",
    _BY,
)
STANDING = ServerMeasure(
    "headgate_outbound_standing",
    "gauge",
    "How many destinations stand so; breaker: they failed too often.",
    ("destination", "standing"),
)
IN_FLIGHT = ServerMeasure(
    "headgate_outbound_in_flight",
    "gauge",
    "Calls that are on their way, of the worker in this process.",
)
LEASES = ServerMeasure(
    "headgate_outbound_lease_batch_calls",
    "histogram",
    "Calls that the worker in this process took on in one transaction.",
)
FINISHES = ServerMeasure(
    "headgate_outbound_finish_batch_calls",
    "histogram",
    "Calls whose results the worker in this process wrote in one transaction.",
)
OF_ROWS = (CALLS, SERVICE, WAITED, COST, DUE, DEAD, OLDEST, STANDING)
OF_WORKER = (IN_FLIGHT, LEASES, FINISHES)
OUTBOUND_MEASURES = (*OF_ROWS, *OF_WORKER)


@dataclass(slots=True)
class _Totals:
    """What is added up under one label."""

    delivered: int = 0
    failed: int = 0
    throttled: int = 0
    service_seconds: float = 0.0
    waited_seconds: float = 0.0
    cost: int = 0
    due: int = 0
    dead: int = 0
    oldest_seconds: float = 0.0
    standings: dict[str, int] = field(default_factory=dict)


class OutboundMetrics:
    """Tells of services, where their app is installed.

    Args:
        of_rows: Whether this process tells what the database says.
        worker: Returns the worker of this process, or None.
    """

    def __init__(self, *, of_rows: bool, worker: Callable[[], Worker | None]) -> None:
        self._of_rows = of_rows
        self._worker = worker
        self._kept: list[Family] = []
        self._look_at = 0.0
        self._asking = threading.Lock()  # where several threads ask

    async def families(self, running: Engine) -> list[Family]:
        """Return all that is measured; what the database says may be 5 s old."""
        if self._is_old():
            # Where the database is away, the last ones stand until it is back.
            with contextlib.suppress(LogUnavailable):
                self._keep(await running.reader.run(_totals))
        return self._all()

    def families_here(self) -> list[Family]:
        """Return the same, asked on the thread that calls, which is no event loop's."""
        with self._asking:
            if self._is_old():
                try:
                    self._keep(_totals())
                except (DatabaseError, InterfaceError) as exc:
                    logger.warning("metrics_not_read error=%s", exc)
                finally:
                    connections.close_all()  # this thread's, which may not come again
        return self._all()

    def _is_old(self) -> bool:
        return self._of_rows and time.monotonic() >= self._look_at

    def _keep(self, totals: dict[str, _Totals]) -> None:
        self._kept = list(_families(totals))
        self._look_at = time.monotonic() + KEPT_SECONDS

    def _all(self) -> list[Family]:
        worker = self._worker()
        return self._kept if worker is None else [*self._kept, *_of_worker(worker)]


def _totals() -> dict[str, _Totals]:
    """Ask the database."""
    from headgate.outbound.models import Destination
    from headgate.outbound.states import StateName, backlogs, standing_of

    unread = ("url", "secrets", "events", "rooms")  # of many rows, in each look
    rows = list(Destination.objects.defer(*unread).order_by("pk"))
    owed = backlogs(each.pk for each in rows)
    now = time.time()
    own = [each.name for each in rows if each.room_id is None][:MOST_LABELS]
    labels = set(own)
    found: dict[str, _Totals] = defaultdict(
        lambda: _Totals(standings=dict.fromkeys(get_args(StateName), 0))
    )
    for each in rows:
        label = each.name if each.name in labels else OTHERS
        total = found[label if each.room_id is None else OF_ROOMS]
        total.delivered += each.delivered
        total.failed += each.failures
        total.throttled += each.calls - each.delivered - each.failures
        total.service_seconds += each.service_seconds
        total.waited_seconds += each.waited_seconds
        total.cost += each.cost
        backlog = owed[each.pk]
        total.due += backlog.due
        total.dead += backlog.dead
        if backlog.oldest is not None:
            age = max(0.0, now - backlog.oldest)
            total.oldest_seconds = max(total.oldest_seconds, age)
        total.standings[standing_of(each, now).name] += 1
    return dict(found)


def _families(totals: dict[str, _Totals]) -> Iterable[Family]:
    def by(read: Callable[[_Totals], Value]) -> list[tuple[tuple[str, ...], Value]]:
        return [((name,), read(each)) for name, each in totals.items()]

    yield family(
        CALLS,
        [
            ((name, result), count)
            for name, each in totals.items()
            for result, count in (
                ("delivered", each.delivered),
                ("failed", each.failed),
                ("throttled", each.throttled),
            )
        ],
    )
    yield family(SERVICE, by(lambda each: each.service_seconds))
    yield family(WAITED, by(lambda each: each.waited_seconds))
    yield family(COST, by(lambda each: each.cost))
    yield family(DUE, by(lambda each: each.due))
    yield family(DEAD, by(lambda each: each.dead))
    yield family(OLDEST, by(lambda each: each.oldest_seconds))
    yield family(
        STANDING,
        [
            ((name, standing), count)
            for name, each in totals.items()
            for standing, count in each.standings.items()
        ],
    )


def _of_worker(worker: Worker) -> Iterable[Family]:
    meters = worker.meters
    yield family(IN_FLIGHT, [((), meters.in_flight)])
    yield family(LEASES, [((), meters.leases)])
    yield family(FINISHES, [((), meters.finishes)])
