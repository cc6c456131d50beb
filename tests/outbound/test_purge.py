"""What is old is deleted, a piece at a time, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from headgate.chat.models import Room
from headgate.outbound import expiry, services
from headgate.outbound import purge as purge_module
from headgate.outbound.ledger import Finished, replay
from headgate.outbound.models import Attempt, Delivery, Destination
from headgate.outbound.purge import purge
from tests.outbound.owed_calls import Ledger, done, make, say

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def rows(room: Room, settings: Settings) -> list[Delivery]:
    """Nine that were delivered, with an attempt each."""
    settings.HEADGATE = {"OUTBOUND_KEEP_SECONDS": 100.0}
    make(concurrency=9)
    say(room, *"abcdefghi")
    ledger = Ledger()
    ledger.note(*(Finished(x, done()) for x in ledger.turn().leased))
    return list(Delivery.objects.order_by("seq"))


def end(row: Delivery, seconds_ago: float, **more: Any) -> None:
    finished_at = None if seconds_ago < 0 else time.time() - seconds_ago
    Delivery.objects.filter(pk=row.pk).update(finished_at=finished_at, **more)


def test_each_state_is_kept_for_its_time(rows: list[Delivery]) -> None:
    end(rows[0], 101)
    end(rows[1], 99)
    end(rows[2], 101, state="dropped")
    end(rows[3], 101, state="dead")
    end(rows[4], 1001, state="dead")
    end(rows[5], -1, state="due", created_at=1.0, due_at=1.0)
    for row in rows[6:]:
        end(row, 5)

    assert purge(connection) is False
    gone = {rows[0].pk, rows[2].pk, rows[4].pk}
    left = {row.pk for row in rows} - gone
    assert set(Delivery.objects.values_list("pk", flat=True)) == left
    assert set(Attempt.objects.values_list("delivery", flat=True)) == left


def test_a_piece_at_a_time(
    rows: list[Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_module, "PIECE", 4)
    for row in rows:
        end(row, 200)
    left = []
    while purge(connection):
        left.append(Delivery.objects.count())
    assert left == [5, 1]
    assert Delivery.objects.count() == 0


def test_what_is_replayed_is_kept(rows: list[Delivery]) -> None:
    end(rows[0], 5000, state="dead")
    replay(ids=[rows[0].pk])
    purge(connection)
    assert Delivery.objects.filter(pk=rows[0].pk).exists()


# --- what waits for a destination that is off ---------------------------------------


def waits(name: str, days: float, **more: Any) -> Destination:
    """A destination that was owed something so many days ago, and something now."""
    made = make(name, **more)
    Delivery.objects.bulk_create(
        Delivery(
            destination=made,
            event="message",
            due_at=time.time() - 86_400 * ago,
            created_at=time.time() - 86_400 * ago,
            importance=importance,
        )
        for importance, ago in ((0, days), (1, days), (2, 0))
    )
    return made


def states_of(made: Destination) -> list[str]:
    rows = Delivery.objects.filter(destination=made).order_by("importance")
    return [row.state for row in rows]


@pytest.mark.parametrize("off", [{"paused": True}, {"enabled": False}])
def test_what_waits_for_days_is_given_up_and_told(
    transactional_db: None, off: dict[str, bool]
) -> None:
    made = waits("off", 5.1, **off)
    soon, called = waits("soon", 4.9, **off), waits("called", 30)
    make("ops", events=["deliveries.expired"], rooms=[])
    while purge(connection):
        pass

    assert states_of(made) == ["dead", "dead", "due"]
    assert {*states_of(soon), *states_of(called)} == {"due"}
    notice = Delivery.objects.get(event="deliveries.expired")
    assert notice.destination.name == "ops"
    assert notice.payload == {
        "destination": "off",
        "count": 2,
        "error": expiry.EXPIRED,
    }
    row = Delivery.objects.filter(destination=made, state="dead")[0]
    assert row.last_error == expiry.EXPIRED
    assert row.finished_at == pytest.approx(time.time(), abs=60)

    replay(destination=made.pk)
    assert purge(connection) is False
    assert states_of(made) == ["due", "due", "due"], "it begins to wait anew"


def test_the_waiting_are_given_up_a_piece_at_a_time(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "PIECE", 1)
    made = waits("off", 6, paused=True)
    seen = []
    while purge(connection):
        seen.append(states_of(made).count("dead"))
    assert seen == [1, 2]


def test_some_are_given_up_together(transactional_db: None) -> None:
    """Else each minute that a destination is paused would be told."""
    made = waits("off", 5.01, paused=True)
    assert purge(connection) is False
    Delivery.objects.filter(importance=0).update(due_at=time.time() - 5.1 * 86_400)
    assert purge(connection)
    assert states_of(made) == ["dead", "dead", "due"]


def test_one_that_is_switched_on_just_now_keeps_what_it_is_owed(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = waits("off", 9, paused=True)

    def lock(*args: Any, **more: Any) -> Any:
        Destination.objects.update(paused=False)
        return services.lock(*args, **more)

    monkeypatch.setattr(expiry, "lock", lock)
    purge(connection)
    assert states_of(made) == ["due", "due", "due"]
