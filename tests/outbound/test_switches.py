"""What people do to a destination changes what it is about, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headgate.outbound import switches
from headgate.outbound.models import Destination
from tests.outbound.owed_calls import make

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.mark.parametrize(
    "switch",
    [
        switches.pause,
        switches.resume,
        switches.disable,
        switches.enable,
        switches.add_secret,
        switches.drop_oldest_secret,
    ],
)
def test_what_a_worker_counts_is_left_alone(
    switch: Callable[[Destination], object],
) -> None:
    row = make(secrets=["whsec_a", "whsec_b"])
    Destination.objects.update(calls=9, rate_tat=7.0, retry_tokens=3.0, rate="1/s")

    switch(row)

    now = Destination.objects.get()
    assert (now.calls, now.rate_tat, now.retry_tokens, now.rate) == (9, 7.0, 3.0, "1/s")


def test_secrets_of_two_at_once_are_both_kept() -> None:
    row = make()
    same = Destination.objects.get()

    made = [switches.add_secret(each) for each in (row, same, row)]

    assert Destination.objects.get().secrets == [*reversed(made)]
    for _ in range(switches.MAX_SECRETS):
        newest = switches.add_secret(row)
    assert len(Destination.objects.get().secrets) == switches.MAX_SECRETS
    while switches.drop_oldest_secret(row):
        pass
    assert Destination.objects.get().secrets == [newest]


def test_a_rest_is_no_failure() -> None:
    """Else one failure before it, and one after it, would be days without a success."""
    row = make()
    Destination.objects.update(failing_since=1.0)
    switches.pause(row)
    switches.resume(row)

    now = Destination.objects.get()
    assert (now.paused, now.failing_since) == (False, None)
