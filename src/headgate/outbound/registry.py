"""Who wants to be told of what: the destinations as this process knows them.

What is known is at most a second old, so that a commit costs no query for it. Only what
is committed is remembered: what is read in a transaction that is rolled back was never
there. What a commit owes is joined with the table again, so that a destination that is
gone or disabled gets nothing.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.validators import validate_slug
from django.db import DatabaseError, transaction
from django.db.models.signals import post_delete, post_migrate, post_save

from headgate.chat.hooks import owed_handlers
from headgate.outbound.models import Destination
from headgate.outbound.wanting import Known, Row, Wants, known_of, read_rows

__all__ = ["Declared", "declare", "declared", "follow", "known"]

logger = logging.getLogger("headgate.outbound")

KNOWN_SECONDS = 1.0
# What a changed declaration changes; the rest is what an administrator made of it.
_FOLLOWED = ("events", "rooms", "rate", "concurrency", "timeout_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A destination that code has declared, by its handler."""

    handler: str
    name: str
    events: tuple[str, ...]
    rooms: tuple[str, ...]
    fields: dict[str, Any]
    wants: Wants | None = None


_lock = threading.Lock()
_declared: dict[str, Declared] = {}
_followed: set[tuple[str, str]] = set()  # (database, handler) brought up to date
_known: dict[str, tuple[float, Known]] = {}
_generation = 0  # grows when something may be different from what is being read


def declare(
    handler: str,
    *,
    name: str,
    events: Iterable[str],
    rooms: str | Iterable[str] = (),
    wants: Wants | None = None,
    **fields: Any,
) -> None:
    """Have a destination for a function of the project, made where it is missing.

    A later declaration of the same handler takes the place of the first. Of a row that
    is there, events and rooms follow the declaration, and where they are given `rate`,
    `concurrency` and `timeout_seconds`; what an administrator has set otherwise stays.

    Args:
        handler: `bot:helper`, `function:dotted.name`, `absent:push`.
        name: The destination's unique name; a slug of at most 64 characters.
        events: Names of events.
        rooms: Patterns of rooms' slugs; none: it is told of no room.
        wants: Whether it is owed an event. It is asked in each commit, so it is quick,
            raises nothing, and asks no database.
        fields: More fields of `Destination`, for a row that is made.

    Raises:
        ImproperlyConfigured: The name or the handler is no good, or the name is
            another handler's already.
        TypeError: There is no such field.
    """
    try:
        validate_slug(name)
    except ValueError:
        raise ImproperlyConfigured(f"{name!r} is no slug.") from None
    if len(name) > 64 or len(handler) > 200:  # noqa: PLR2004 - of the columns
        raise ImproperlyConfigured(f"The name of {handler!r} is too long.")
    Destination(handler=handler, name=name, **fields)  # a field that is none raises
    patterns = [rooms] if isinstance(rooms, str) else rooms
    new = Declared(
        handler=handler,
        name=name,
        events=tuple(events),
        rooms=tuple(patterns),
        fields=fields,
        wants=wants,
    )
    with _lock:
        for other in _declared.values():
            if other.name == name and other.handler != handler:
                raise ImproperlyConfigured(
                    f"{handler!r} and {other.handler!r} both have the name {name!r}."
                )
        _declared[handler] = new
        _followed.difference_update([key for key in _followed if key[1] == handler])
    _forget()


def declared() -> dict[str, Declared]:
    """Return all that is declared, by handler; owed functions of hooks too."""
    found = {
        name: Declared(
            handler=name,
            name=_slug(name),
            events=handler.events,
            rooms=handler.rooms,
            fields={"rate": handler.rate} if handler.rate else {},
        )
        for name, handler in owed_handlers().items()
    }
    return found | _declared


def _slug(handler: str) -> str:
    """Return a name for a function's destination: the end of its own says most."""
    return re.sub(r"[^\w-]+", "-", handler, flags=re.ASCII)[-64:].strip("-")


def known(connection: Any, *, keep: bool) -> Known:
    """Return the destinations, read on this connection where they are too old.

    With `keep` they are kept for others once the transaction is committed. Project
    code's transactions get no more callbacks than the documentation says.
    """
    kept = _known.get(connection.alias)
    if kept is not None and kept[0] > time.monotonic():
        return kept[1]
    generation, until = _generation, time.monotonic() + KNOWN_SECONDS
    found = _read(connection, keep=keep)
    if keep:
        connection.on_commit(partial(_keep, connection.alias, generation, until, found))
    return found


def _keep(using: str, generation: int, until: float, found: Known) -> None:
    with _lock:
        if generation == _generation:
            _known[using] = (until, found)


def _forget(**_: Any) -> None:
    global _generation  # noqa: PLW0603 - one for the process
    with _lock:
        _generation += 1
        _known.clear()


def _changed(using: str, **_: Any) -> None:
    """Forget at once, and again when others can see what has changed."""
    _forget()
    transaction.on_commit(_forget, using=using)


def follow() -> None:
    """Forget what is known when a destination is saved or deleted, or all are."""
    post_save.connect(_changed, sender=Destination)
    post_delete.connect(_changed, sender=Destination)
    post_migrate.connect(_forget)


def _read(connection: Any, *, keep: bool) -> Known:
    rows = read_rows(connection)
    if _follow_declared(connection, rows, keep=keep):
        rows = read_rows(connection)
    return known_of(connection.alias, rows, _wants)


def _wants(handler: str) -> Wants | None:
    declaration = _declared.get(handler)
    return None if declaration is None else declaration.wants


def _follow_declared(connection: Any, known_rows: Sequence[Row], *, keep: bool) -> bool:
    """Make what is declared and missing, and change what is declared otherwise.

    In a savepoint: the messages of the transaction are written whatever comes of it.
    """
    using = connection.alias
    there = {
        row.handler: row for row in known_rows if row.kind == Destination.Kind.HANDLER
    }
    missing = []
    changed = []
    for each in declared().values():
        row = there.get(each.handler)
        if row is None:
            missing.append(each)
        elif (using, each.handler) not in _followed:
            wanted = _wanted(each)
            now = row._asdict()
            now |= {name: json.loads(now[name]) for name in ("events", "rooms")}
            if any(now[key] != value for key, value in wanted.items()):
                changed.append((row.id, wanted))
            if keep:
                connection.on_commit(partial(_followed.add, (using, each.handler)))
    if not missing and not changed:
        return False
    rows = Destination.objects.using(using)
    try:
        with transaction.atomic(using=using):
            # Another process may make the same ones now.
            rows.bulk_create(map(_made, missing), ignore_conflicts=True)
            for pk, wanted in changed:
                rows.filter(pk=pk).update(**wanted)
    except DatabaseError:
        logger.exception("declared_destinations_not_made")
        return False
    return True


def _wanted(declaration: Declared) -> dict[str, Any]:
    """Return what of a row follows a declaration."""
    followed = {k: v for k, v in declaration.fields.items() if k in _FOLLOWED}
    events, rooms = list(declaration.events), list(declaration.rooms)
    return {"events": events, "rooms": rooms, **followed}


def _made(declaration: Declared) -> Destination:
    return Destination(
        kind=Destination.Kind.HANDLER,
        handler=declaration.handler,
        name=declaration.name,
        **(declaration.fields | _wanted(declaration)),
    )
