"""A service that answers, beside hundreds that take connections and say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from headgate.chat.models import Room
from headgate.outbound import registry
from headgate.outbound.http_sender import HttpSender
from headgate.outbound.models import Destination
from headgate.outbound.worker import Worker
from tests.chat.talker import in_thread
from tests.outbound.owed_calls import say
from tests.outbound.receiver import Receiver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

HANGING = 300
SECONDS = 100.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def _make(url: str, hanging: str) -> None:
    """Those that hang, and after them one that answers."""
    given = {"events": ["message"], "rooms": ["*"], "timeout_seconds": 600}
    rows = [
        Destination(name=f"hangs-{i}", url=f"{hanging}?{i}", **given)
        for i in range(HANGING)
    ]
    rows.append(Destination(name="answers", url=url, **given))
    Destination.objects.bulk_create(rows)
    registry._forget()


async def test_who_answers_is_called_while_all_others_hang(
    room: Room, receiver: Receiver, settings: Settings
) -> None:
    """They hang for longer than the test waits: without a place, it would fail."""
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.1/32"]}
    await in_thread(_make, receiver.url("200"), receiver.url("hang"))
    await in_thread(say, room, "first", "second", "third")
    sender = HttpSender()
    worker = Worker({"webhook": sender}, stop_seconds=0)
    running = asyncio.ensure_future(worker.run())
    try:
        await in_thread(receiver.wait_for, 3, path="/200", seconds=SECONDS)
        await in_thread(receiver.wait_for, HANGING, path="/hang", seconds=SECONDS)
        await in_thread(say, room, "fourth")
        await in_thread(receiver.wait_for, 4, path="/200", seconds=SECONDS)
        assert worker.meters.in_flight >= HANGING
    finally:
        worker.stop()
        await running
        await sender.close()
