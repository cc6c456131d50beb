"""What people look at of one destination is found in an index, in both databases.

Others may have any number of deliveries: what is read is this destination's alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from headgate.chat.people import SYSTEM
from headgate.outbound import replaying
from headgate.outbound.due_rows import DELIVERY
from headgate.outbound.http import deliveries
from headgate.outbound.models import Delivery, Destination
from headgate.outbound.states import backlogs
from tests.outbound.owed_calls import make

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

STATES = ("due", "dead", "done", "dropped")


@pytest.fixture
def destination(transactional_db: None) -> Destination:
    """One of 25 that have 80 deliveries each, 20 in each state."""
    made = [make(f"d{i}") for i in range(25)]
    now = time.time()
    Delivery.objects.bulk_create(
        Delivery(
            destination=made[i % 25],
            event="message",
            state=STATES[i // 25 % 4],
            due_at=now,
            created_at=now,
            finished_at=None if i // 25 % 4 == 0 else now,
        )
        for i in range(2000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE" if connection.vendor == "postgresql" else "SELECT 1")
    return made[12]


def plans_of(what: Callable[[], object]) -> list[str]:
    """Return the plan of each statement that finds those of a state, with its values.

    Django, and each database for its foreign key, look once more, at a destination's
    end: for any at all.
    """
    asked: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        if sql.startswith("SELECT") and DELIVERY in sql and '"state" = ' in sql:
            asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        what()
    explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
    plans = []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # which reads a small table as a whole
            cursor.execute("SET enable_seqscan = off")
        for sql, params in asked:
            cursor.execute(explain + sql, params)
            plans.append("\n".join(str(row[-1]) for row in cursor.fetchall()))
        if connection.vendor == "postgresql":
            cursor.execute("RESET enable_seqscan")
    return plans


def looks(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Callable[[], object]]:
    """What people do, by name."""
    monkeypatch.setattr(deliveries, "destination_of", lambda *_: destination)

    def page(state: str | None, before: str | None = None) -> Any:
        return deliveries.deliveries_shown(
            SYSTEM, "room", "name", state=state, before=before, limit=5
        )

    return {
        "backlogs": lambda: backlogs([destination.pk]),
        "dead": lambda: page("dead"),
        "done": lambda: page("done"),
        "all": lambda: page(None),
        "next page": lambda: page(None, page(None).next),
        "replay": lambda: replaying.replay_dead(destination),
        "delete": lambda: replaying.delete_destination(destination),
    }


@pytest.mark.parametrize(
    "name", ["backlogs", "dead", "done", "all", "next page", "replay", "delete"]
)
def test_one_destinations_deliveries_are_found_by_an_index(
    destination: Destination, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    plans = plans_of(looks(destination, monkeypatch)[name])
    assert plans
    for plan in plans:
        assert "headgate_delivery_past" in plan or "headgate_delivery_due" in plan
        assert f"SCAN {DELIVERY}" not in plan
        assert f"Seq Scan on {DELIVERY}" not in plan


@pytest.mark.parametrize("state", [None, "dead"])
def test_a_page_is_not_sorted(
    destination: Destination, monkeypatch: pytest.MonkeyPatch, state: str | None
) -> None:
    """Of what is past it is read from the index in its order, and no further."""
    if connection.vendor != "sqlite":
        return  # it may sort as few as these are
    plans = plans_of(looks(destination, monkeypatch)[state or "all"])
    past = [plan for plan in plans if "delivery_past" in plan]
    assert len(past) == (3 if state is None else 1)
    assert [plan for plan in past if "TEMP B-TREE" in plan] == []
