"""How a destination stands, and what it is owed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.outbound.gates import Gates, opening
from headgate.outbound.models import Delivery, Destination
from headgate.outbound.states import Backlog, backlogs, standing_of
from tests.outbound.owed_calls import make

NOW = 1_790_000_000.0
_times = st.sampled_from([0.0, NOW - 1, NOW + 60])


@given(
    enabled=st.booleans(),
    paused=st.booleans(),
    not_before=_times,
    breaker_until=_times,
    breaker_opened=st.integers(0, 2),
)
def test_who_stands_on_is_let_through_by_the_gates(**columns: Any) -> None:
    if columns["breaker_until"] > NOW:
        columns["breaker_opened"] = max(columns["breaker_opened"], 1)
    standing = standing_of(Destination(**columns), NOW)
    found = opening(Gates(**columns), NOW, leased=0)

    assert (found.calls > 1) is (standing.name == "on")
    if standing.until is not None:
        assert found.calls == 0
        assert found.look_at >= standing.until
    assert standing.text


@pytest.mark.django_db
@pytest.mark.database
def test_what_each_is_owed() -> None:
    one, two = map(make, ("one", "two"))
    rows = (("due", 30.0), ("due", 20.0), ("dead", 5.0), ("done", 1.0))
    for state, at in rows:
        Delivery.objects.create(
            destination=one,
            event="test",
            state=state,
            due_at=0,
            created_at=at,
            finished_at=None if state == "due" else at,
        )

    assert backlogs([one.pk, two.pk]) == {
        one.pk: Backlog(due=2, dead=1, oldest=20.0),
        two.pk: Backlog(),
    }
    assert backlogs([]) == {}
