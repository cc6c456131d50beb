"""Calls of handlers, made of what is really owed to them, and sent one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from headgate.chat.models import Event
from headgate.chat.rows import COLUMNS, EventRow, as_push
from headgate.outbound import absent, bots
from headgate.outbound.calls import Call, Outcome, Target, Told
from headgate.outbound.handler_sender import HandlerSender
from headgate.outbound.models import Delivery
from tests.chat.talker import in_thread

__all__ = ["Handlers", "handlers_fixture"]


class Handlers:
    """Sends what is owed to handlers, as the worker does, without its gates."""

    def __init__(self) -> None:
        self.sender = HandlerSender()
        self.timeout_seconds: float | None = None

    async def due(self, handler: str) -> list[Call]:
        """Return the calls that are owed to a handler, oldest first."""
        return list(await in_thread(self._due, handler))

    def _due(self, handler: str) -> list[Call]:
        rows = Delivery.objects.filter(destination__handler=handler, state="due")
        return [
            self._call(row) for row in rows.select_related("destination").order_by("id")
        ]

    def _call(self, row: Delivery) -> Call:
        to = row.destination
        target = Target(
            id=to.pk,
            name=to.name,
            kind="handler",
            handler=to.handler,
            timeout_seconds=self.timeout_seconds or to.timeout_seconds,
        )
        push = None
        if row.room is not None:
            found = Event.objects.filter(room=row.room, seq=row.seq)
            event = EventRow(*found.values_list(*COLUMNS).get())
            push = as_push(event, row.room.slug)
        told = Told(
            id=str(row.pk),
            event=row.event,
            at=row.created_at,
            room_id=row.room_id,
            push=push,
            payload=row.payload,
        )
        return Call(id=str(row.pk), attempt=1, target=target, told=(told,))

    async def send(self, call: Call, attempt: int = 1) -> Outcome:
        """Send one call, and leave it owed."""
        return await self.sender.send(replace(call, attempt=attempt))

    async def work(self, handler: str) -> list[Outcome]:
        """Send all that is owed, and note what is done."""
        return await self.work_of(handler)

    async def work_of(self, handler: str, *events: str) -> list[Outcome]:
        """Do the same for some events alone."""
        outcomes = []
        for call in await self.due(handler):
            if events and call.told[0].event not in events:
                continue
            outcomes.append(await self.send(call))
            if outcomes[-1].result == "delivered":
                await in_thread(_done, call.id)
        return outcomes


def _done(delivery: Any) -> None:
    Delivery.objects.filter(pk=delivery).update(state="done")


@pytest.fixture(name="handlers")
async def handlers_fixture(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Handlers]:
    """A sender of handlers, and no handlers but those of the test."""
    monkeypatch.setattr(bots, "_bots", {})
    monkeypatch.setattr(absent, "_handlers", {})
    made = Handlers()
    yield made
    await made.sender.close()
