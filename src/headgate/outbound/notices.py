"""Notices: what systems are told that is no event of the log.

They are owed as events are, to each destination that lists them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, router, transaction

from headgate.outbound.models import Delivery
from headgate.outbound.owing import Owed, insert
from headgate.outbound.registry import known

__all__ = ["NOTICES", "Notice", "owe_notice", "owe_notices"]

# What a destination may list beside the events of the log.
NOTICES = (
    "service.degraded",
    "service.recovered",
    "destination.disabled",
    "delivery.exhausted",
    "deliveries.expired",
    "connections.degraded",
    "connections.recovered",
)


@dataclass(frozen=True, slots=True)
class Notice:
    """What systems are told.

    Attributes:
        event: Its name, such as `service.degraded`.
        payload: What it says, as JSON.
        key: Notices to one destination with the same key go one after the other.
        about: The id of the destination that it is about, which is not told.
    """

    event: str
    payload: dict[str, Any]
    key: str = ""
    about: int | None = None


def owe_notices(notices: Sequence[Notice], *, using: str | None = None) -> None:
    """Owe notices, in the transaction that is open or in one of their own.

    Args:
        notices: In the order in which they go.
        using: The alias of the database.
    """
    if not notices:
        return
    alias = using or router.db_for_write(Delivery)
    with transaction.atomic(using=alias):
        connection = connections[alias]
        destinations = known(connection, keep=False)
        owed = [
            Owed(
                each.id,
                notice.event,
                each.importance,
                payload=notice.payload,
                order_key=notice.key,
                useful_seconds=each.useful_seconds,
            )
            for notice in notices
            for each in destinations.who_lists(notice.event)
            if each.id != notice.about
        ]
        if owed:
            insert(connection, owed)


def owe_notice(
    event: str, payload: dict[str, Any], *, key: str = "", using: str | None = None
) -> None:
    """Owe one notice that is about no destination; see `owe_notices`."""
    owe_notices([Notice(event, payload, key)], using=using)
