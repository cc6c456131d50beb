"""From leased deliveries to calls: their events are read now, as they are now.

What was deleted since it was owed is told as deleted, and its text is not there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError

from headgate.chat.models import Event
from headgate.chat.profiles import add_known_avatars
from headgate.chat.rows import COLUMNS, EventRow, as_push
from headgate.outbound.calls import Call, Told
from headgate.outbound.due_rows import DueRow
from headgate.outbound.leasing import Taken
from headgate.outbound.value_rows import value_rows
from headgate.protocol.pushes import LogEvent

__all__ = ["Leased", "leased", "untold"]

logger = logging.getLogger("headgate.outbound")

NOT_READ = "Its event could not be read; the log of the worker says how."

_EVENT = Event._meta.db_table  # noqa: SLF001 - Django's public _meta


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A call to be made, and what must be known to note what came of it.

    Attributes:
        call: The call; without anything to tell where none of its events is left.
        token: Of the lease.
        ids: Of the deliveries, in hexadecimal digits.
        max_attempts: Of its destination.
        retry: Whether it was tried before.
        probe: Whether the breaker goes by what comes of it.
        fault: Why it cannot be made, or nothing.
    """

    call: Call
    token: str
    ids: tuple[str, ...]
    max_attempts: int
    retry: bool
    probe: bool
    fault: str = ""


def leased(connection: Any, taken: Sequence[Taken]) -> list[Leased]:
    """Return the calls, after the transaction that leased them.

    What cannot be read is the fault of its own call, and of no other; but where it is
    the database that fails, that is raised.
    """
    try:
        return _all(connection, taken)
    except (DatabaseError, InterfaceError):
        raise
    except Exception:  # noqa: BLE001 - logged below, for the one that is at fault
        found = []
        for one in taken:
            try:
                found += _all(connection, [one])
            except (DatabaseError, InterfaceError):
                raise
            except Exception:
                found.append(untold(one, fault=NOT_READ))
                logger.exception("not_read delivery=%s", found[-1].call.id)
        return found


def untold(one: Taken, *, fault: str = "") -> Leased:
    """Return a call as it is known without its events, which is not to be made."""
    return _leased(one, (), fault=fault)


def _all(connection: Any, taken: Sequence[Taken]) -> list[Leased]:
    places = {
        (row.room_id, row.seq)
        for one in taken
        for row in one.rows
        if row.room_id is not None and row.seq is not None
    }
    pushes = _pushes(connection, sorted(places)) if places else {}
    return [
        _leased(
            one, [_told(row, pushes.get((row.room_id, row.seq))) for row in one.rows]
        )
        for one in taken
    ]


_Pushes = dict[tuple[int | None, int | None], LogEvent]
_PLACES = (("in_room", "bigint"), ("at_seq", "bigint"))


def _pushes(connection: Any, places: Sequence[tuple[int, int]]) -> _Pushes:
    source, values = value_rows(connection, _PLACES, places)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT event.id FROM {source} CROSS JOIN {_EVENT} AS event "  # noqa: S608
            "WHERE event.room_id = in_room AND event.seq = at_seq",
            values,
        )
        ids = [row[0] for row in cursor.fetchall()]
    found: _Pushes = {}
    events = Event.objects.using(connection.alias).filter(pk__in=ids)
    for *columns, slug in events.values_list(*COLUMNS, "room__slug"):
        row = EventRow(*columns)
        found[row.room_id, row.seq] = as_push(row, slug)
    add_known_avatars(list(found.values()))
    return found


def _leased(one: Taken, told: Sequence[Told | None], *, fault: str = "") -> Leased:
    call = Call(
        id=str(UUID(one.batch or one.rows[0].id)),
        attempt=one.tried + 1,
        target=one.service.target,
        told=tuple(each for each in told if each is not None),
        # As in its first try, whatever `batch_size` is by now.
        collects=one.batch is not None,
        digest=one.digest,
    )
    return Leased(
        call=call,
        token=one.token,
        ids=tuple(row.id for row in one.rows),
        max_attempts=one.service.max_attempts,
        retry=one.tried > 0,
        probe=one.probe,
        fault=fault,
    )


def _told(row: DueRow, push: LogEvent | None) -> Told | None:
    if row.seq is not None and push is None:
        return None
    return Told(
        id=str(UUID(row.id)),
        event=row.event,
        at=row.created_at,
        room_id=row.room_id,
        push=push,
        payload=None if row.payload is None else json.loads(row.payload),
    )
