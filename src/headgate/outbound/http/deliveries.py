"""The deliveries of a room's destination over HTTP: looked at, replayed, dropped."""

from __future__ import annotations

from itertools import chain
from typing import Any, cast
from uuid import UUID

from msgspec import UNSET

from headgate.chat.people import Actor
from headgate.outbound import ledger
from headgate.outbound.http.destinations import destination_of, iso
from headgate.outbound.http.schemas import (
    DeliveriesChosen,
    DeliveriesShown,
    DeliveryShown,
    HowMany,
)
from headgate.outbound.models import Delivery
from headgate.outbound.replaying import drop_all, replay_dead
from headgate.outbound.states import of_state
from headgate.protocol.codec import BadCommand, error
from headgate.protocol.codes import Code

__all__ = ["deliveries_shown", "drop_deliveries", "replay_deliveries"]


def deliveries_shown(
    actor: Actor,
    slug: str,
    name: str,
    *,
    state: str | None,
    before: str | None,
    limit: int,
) -> DeliveriesShown:
    """Return a page of a destination's deliveries, the newest first.

    Raises:
        Refusal: As `destination_of`.
        BadCommand: There is no such state or id.
    """
    rows = Delivery.objects.filter(destination=destination_of(actor, slug, name))
    if state is not None and state not in Delivery.State.values:
        known = ", ".join(Delivery.State.values)
        raise _bad("state", f"one of {known}")
    if before is not None:
        rows = rows.filter(pk__lt=_id_before(before))
    # By the index, in which they are sorted within a state.
    states = Delivery.State.values if state is None else [state]
    newest = [rows.filter(of_state(s)).order_by("-pk")[: limit + 1] for s in states]
    found = sorted(chain(*newest), key=lambda row: row.pk, reverse=True)[: limit + 1]
    page = found[:limit]
    return DeliveriesShown(
        deliveries=[_shown(each) for each in page],
        next=str(page[-1].pk) if len(found) > limit else None,
    )


def replay_deliveries(
    actor: Actor, slug: str, name: str, chosen: DeliveriesChosen
) -> HowMany:
    """Owe anew what was given up; raises as `deliveries_shown`."""
    row = destination_of(actor, slug, name)
    ids = _ids(chosen)
    if ids is None:
        return HowMany(count=replay_dead(row))
    return HowMany(count=ledger.replay(destination=row.pk, ids=ids))


def drop_deliveries(
    actor: Actor, slug: str, name: str, chosen: DeliveriesChosen
) -> HowMany:
    """Owe no more what is due or was given up; raises as `deliveries_shown`."""
    row = destination_of(actor, slug, name)
    ids = _ids(chosen)
    if ids is None:
        return HowMany(count=drop_all(row))
    return HowMany(count=ledger.drop(destination=row.pk, ids=ids))


def _ids(chosen: DeliveriesChosen) -> list[UUID] | None:
    if chosen.ids is UNSET:
        return None
    return [UUID(each) for each in chosen.ids]


def _id_before(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _bad("before", "the id of a delivery") from None


def _bad(field: str, rule: str) -> BadCommand:
    return BadCommand(error(Code.BAD_COMMAND, f"`{field}`: {rule}.", field=field))


def _shown(row: Delivery) -> DeliveryShown:
    due = row.state == Delivery.State.DUE
    return DeliveryShown(
        id=str(row.pk),
        event=row.event,
        seq=row.seq,
        state=cast("Any", row.state),
        attempts=row.attempts,
        due_at=iso(row.due_at) if due else None,
        last_status=row.last_status,
        last_error=row.last_error,
        created_at=iso(row.created_at),
        finished_at=None if row.finished_at is None else iso(row.finished_at),
    )
