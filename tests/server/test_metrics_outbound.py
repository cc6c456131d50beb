"""What `/metrics` says of external services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headgate.server.metrics_outbound import MOST_LABELS, OF_ROOMS, OTHERS
from tests.conftest import Serve
from tests.outbound.receiver import Receiver
from tests.server.scraping import Scrape, scrape
from tests.server.services import LOCAL, make_destination, on_data, post, until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def test_calls_are_counted_by_destination_and_result(
    serve: Serve, receiver: Receiver
) -> None:
    server = serve("--guests", "--metrics", environment=LOCAL)
    make_destination(server, "fine", receiver.url("200"))
    make_destination(server, "broken", receiver.url("500"))
    make_destination(server, "busy", receiver.url("429?after=600"))
    make_destination(server, "resting", receiver.url("200"), paused=True)
    for number in range(3):
        post(server, f"message {number}")

    def calls(found: Scrape, name: str, result: str) -> float:
        total = "headgate_outbound_calls_total"
        return found.of(total, destination=name, result=result)

    def all_are_made() -> bool:
        found = scrape(server)
        return (
            calls(found, "fine", "delivered") == 3
            and calls(found, "broken", "failed") >= 3
            and calls(found, "busy", "throttled") >= 1
        )

    until(all_are_made, seconds=30)
    found = scrape(server)
    assert calls(found, "fine", "failed") == 0
    assert found.of("headgate_outbound_due", destination="fine") == 0
    assert found.of("headgate_outbound_due", destination="busy") == 3
    assert found.of("headgate_outbound_due", destination="resting") == 3
    oldest = "headgate_outbound_oldest_due_seconds"
    assert found.of(oldest, destination="fine") == 0
    assert 0 < found.of(oldest, destination="resting") < 60
    assert found.of("headgate_outbound_service_seconds_total", destination="fine") > 0

    def standing(name: str) -> list[str]:
        return [
            one.labels["standing"]
            for one in found.samples
            if one.name == "headgate_outbound_standing"
            and one.labels["destination"] == name
            and one.value == 1
        ]

    assert standing("fine") == ["on"]
    assert standing("busy") == ["waiting"]
    assert standing("resting") == ["paused"]
    assert found.of("headgate_outbound_in_flight") == 0
    noted = found.of("headgate_outbound_finish_batch_calls_sum")
    assert noted >= 7
    assert found.of("headgate_outbound_lease_batch_calls_sum") >= noted
    assert {*found.values("headgate_outbound_in_flight", "process")} == {"1"}


def test_there_are_not_more_labels_than_can_be_kept(serve: Serve) -> None:
    server = serve("--guests", "--metrics", "--workers", "2", environment=LOCAL)
    on_data(
        server,
        f"""
room = Room.objects.create(slug="general")
Destination.objects.bulk_create(
    Destination(name=f"d-{{n}}", paused=True, cost=1)
    for n in range({MOST_LABELS} + 20)
)
Destination.objects.bulk_create(
    Destination(name=f"room-{{n}}", paused=True, cost=1, room=room) for n in range(7)
)
""",
    )
    counted = "headgate_outbound_cost_total"

    found = scrape(server)

    def is_all_there() -> bool:
        # One look at it: the next may come before a process has told its part.
        nonlocal found
        found = scrape(server)
        return bool(found.of(counted) == MOST_LABELS + 27)

    until(is_all_there)

    assert len(found.values(counted, "destination")) == MOST_LABELS + 2
    assert found.of(counted, destination=OF_ROOMS) == 7
    assert found.of(counted, destination=OTHERS) == 20
    paused = found.of("headgate_outbound_standing", standing="paused")
    assert paused == MOST_LABELS + 27
