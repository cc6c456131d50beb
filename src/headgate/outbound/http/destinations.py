"""The destinations of a room, as its owner sees and changes them over HTTP.

Each function is one look at the database. A room's owner is no administrator: theirs
are webhooks with public URLs, told of this room alone, and at most ten.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import Any, cast

from django.db import IntegrityError, router, transaction
from msgspec import UNSET, structs

from headgate.chat.http.problems import Refusal
from headgate.chat.http.reading import rights_of
from headgate.chat.models import Room
from headgate.chat.people import Actor
from headgate.chat.permissions import Deny, can
from headgate.chat.rows import timestamp
from headgate.chat.visitor import denied
from headgate.outbound import replaying, switches
from headgate.outbound.destination_rules import url_mistake
from headgate.outbound.http.schemas import (
    MAX_DESTINATIONS,
    NAME_PATTERN,
    DestinationChange,
    DestinationMade,
    DestinationShown,
    DestinationsShown,
    DestinationWanted,
    HowMany,
    OwedTest,
    SecretMade,
)
from headgate.outbound.ledger import owe_test
from headgate.outbound.models import Destination
from headgate.outbound.signatures import new_secret
from headgate.outbound.states import Backlog, backlogs, standing_of
from headgate.protocol.codec import error
from headgate.protocol.codes import Code

__all__ = [
    "change_destination",
    "delete_destination",
    "destination_of",
    "destination_shown",
    "destinations_shown",
    "iso",
    "make_destination",
    "room_to_manage",
    "rotate_secret",
    "send_test",
]

logger = logging.getLogger("headgate.outbound")

LIVE_SECRETS = 2  # of a room's own: the new one, and the one before

_IMPORTANCES: dict[str, int] = {
    each.name.lower(): each.value for each in Destination.Importance
}
_IMPORTANCE_NAMES = {value: name for name, value in _IMPORTANCES.items()}


def room_to_manage(actor: Actor, slug: str) -> Room:
    """Return a room of which somebody may say which services are told.

    Raises:
        Refusal: They may not, or it is not there for them.
    """
    room = Room.objects.get(pk=rights_of(actor, slug).room_id)
    decision = can(actor, "manage", room)
    if isinstance(decision, Deny):
        raise Refusal(denied(decision))
    return room


def destination_of(actor: Actor, slug: str, name: str) -> Destination:
    """Return a destination of a room; raises as `room_to_manage`, and for none."""
    room = room_to_manage(actor, slug)
    found = None
    if re.search(NAME_PATTERN, name):  # PostgreSQL takes no U+0000
        rows = Destination.objects.filter(room=room, name=_kept_name(room, name))
        found = rows.first()
    if found is None:
        raise Refusal(error(Code.NOT_FOUND, f"There is no destination {name!r} here."))
    return found


def destinations_shown(actor: Actor, slug: str) -> DestinationsShown:
    """Return the destinations of a room; raises as `room_to_manage`."""
    room = room_to_manage(actor, slug)
    rows = list(Destination.objects.filter(room=room).order_by("name"))
    owed = backlogs(each.pk for each in rows)
    return DestinationsShown(
        destinations=[_shown(each, owed[each.pk]) for each in rows]
    )


def destination_shown(actor: Actor, slug: str, name: str) -> DestinationShown:
    """Return one; raises as `destination_of`."""
    return _shown_now(destination_of(actor, slug, name))


def make_destination(
    actor: Actor, slug: str, wanted: DestinationWanted
) -> DestinationMade:
    """Make a destination, with a secret that is shown this once.

    Raises:
        Refusal: There are too many, or one of that name, or its URL may not be called;
            or as `room_to_manage`.
    """
    room = room_to_manage(actor, slug)
    _check(wanted.url)
    secret = new_secret()
    columns = _columns(structs.asdict(wanted))
    columns["name"] = _kept_name(room, wanted.name)
    with transaction.atomic(using=router.db_for_write(Destination)):
        # Under the room's lock, so that two at once do not make one too many.
        Room.objects.select_for_update().get(pk=room.pk)
        rows = Destination.objects.filter(room=room)
        if rows.count() >= MAX_DESTINATIONS:
            text = f"A room has at most {MAX_DESTINATIONS} destinations. Delete one."
            raise Refusal(error(Code.ID_CONFLICT, text))
        try:
            with transaction.atomic(using=router.db_for_write(Destination)):
                made = Destination.objects.create(
                    **columns,
                    kind=Destination.Kind.WEBHOOK,
                    secrets=[secret],
                    room=room,
                    created_by=actor.key,
                )
        except IntegrityError:
            text = f"There is a destination {wanted.name!r} already."
            raise Refusal(error(Code.ID_CONFLICT, text, field="name")) from None
    logger.info("destination_made name=%s by=%s", made.name, actor.key)
    return DestinationMade(**structs.asdict(_shown(made, Backlog())), secret=secret)


def change_destination(
    actor: Actor, slug: str, name: str, wanted: DestinationChange
) -> DestinationShown:
    """Change what is given; raises as `destination_of` and `make_destination`."""
    row = destination_of(actor, slug, name)
    given = {
        key: value
        for key, value in structs.asdict(wanted).items()
        if value is not UNSET and key != "enabled"
    }
    if "url" in given:
        _check(given["url"])
    if wanted.enabled is True and not row.enabled:
        if row.disabled_reason == switches.BY_STAFF:
            text = "It was disabled by an administrator, who alone enables it."
            raise Refusal(error(Code.FORBIDDEN, text))
        switches.enable(row)
    if wanted.paused is False and row.paused:
        switches.resume(row)
    columns = _columns(given)
    for key, value in columns.items():
        setattr(row, key, value)
    if columns:
        row.save(update_fields=[*columns])
    return _shown_now(row)


def delete_destination(actor: Actor, slug: str, name: str) -> HowMany:
    """Delete a destination with all that it is owed; raises as `destination_of`."""
    row = destination_of(actor, slug, name)
    replaying.delete_destination(row)
    logger.info("destination_deleted name=%s by=%s", row.name, actor.key)
    return HowMany(count=1)


def rotate_secret(actor: Actor, slug: str, name: str) -> SecretMade:
    """Put a new secret before the one that is live; raises as `destination_of`."""
    row = destination_of(actor, slug, name)
    secret = switches.add_secret(row, keep=LIVE_SECRETS)
    return SecretMade(secret=secret, secrets=len(row.secrets))


def send_test(actor: Actor, slug: str, name: str) -> OwedTest:
    """Owe a destination a test; raises as `destination_of`."""
    owed = owe_test(destination_of(actor, slug, name))
    if owed is None:
        text = "It is disabled, so nothing is owed to it: enable it first."
        raise Refusal(error(Code.ID_CONFLICT, text))
    return OwedTest(delivery=str(owed))


def iso(seconds: float) -> str:
    """Return a time as the wire writes it."""
    return timestamp(datetime.fromtimestamp(seconds, tz=UTC))


def _kept_name(room: Room, name: str) -> str:
    """Return a name as it is kept: unique over all rooms, and telling of none."""
    return f"room-{room.pk}-{name}"


def _own_name(row: Destination) -> str:
    return row.name.removeprefix(f"room-{row.room_id}-")


def _check(url: str) -> None:
    """Raise `Refusal` where a URL may not be called."""
    mistake = url_mistake(url, public=True)
    if mistake is not None:
        raise Refusal(error(Code.FORBIDDEN, f"`url`: {mistake}", field="url"))


def _columns(given: dict[str, Any]) -> dict[str, Any]:
    """Return fields of the API as the columns that keep them."""
    if "importance" in given:
        given["importance"] = _IMPORTANCES[given["importance"]]
    return given


def _shown_now(row: Destination) -> DestinationShown:
    return _shown(row, backlogs([row.pk])[row.pk])


def _shown(row: Destination, owed: Backlog) -> DestinationShown:
    standing = standing_of(row)
    calls = max(row.calls, 1)
    return DestinationShown(
        name=_own_name(row),
        url=row.url,
        events=row.events,
        rate=row.rate,
        concurrency=row.concurrency,
        ordering=cast("Any", row.ordering),
        timeout_seconds=row.timeout_seconds,
        batch_size=row.batch_size,
        batch_wait_seconds=row.batch_wait_seconds,
        importance=cast("Any", _IMPORTANCE_NAMES[row.importance]),
        useful_seconds=row.useful_seconds,
        late=cast("Any", row.late),
        paused=row.paused,
        enabled=row.enabled,
        state=standing.name,
        standing=standing.text,
        secrets=len(row.secrets),
        due=owed.due,
        dead=owed.dead,
        calls=row.calls,
        failures=row.failures,
        delivered=row.delivered,
        service_ms=round(row.service_seconds / calls * 1000),
        waited_ms=round(row.waited_seconds / calls * 1000),
        created_at=timestamp(row.created_at),
    )
