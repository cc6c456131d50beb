"""`headgate deliveries`: what is owed to external services, and doing it again.

On a stand-alone server's data, or in a project.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from headgate.server.exits import EXIT_FAULTS, EXIT_USAGE, CannotStart
from headgate.server.options import add_data_arguments
from headgate.server.tables import print_json, print_table
from headgate.server.whose_data import set_up_services

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from headgate.outbound.models import Delivery

__all__ = ["add_arguments", "run_deliveries"]

_STATES = ("due", "done", "dead", "dropped")
_MOST_SHOWN = 10_000
_AGO = re.compile(r"(\d{1,6})(s|min|h|d)", re.ASCII)
_UNIT_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
# What is done to which states, and how it is told.
_ON: dict[str, tuple[tuple[str, ...], str]] = {
    "replay": (("dead",), "owed again"),  # by their ids those that were dropped, too
    "drop": (("due", "dead"), "owed no more"),
}


def add_arguments(parser: argparse.ArgumentParser, *, project: bool = False) -> None:
    """Add the options of `headgate deliveries`."""
    add = parser.add_argument
    add(
        "what",
        choices=("list", "show", "replay", "drop"),
        metavar="WHAT",
        help="list them, show some with each attempt, replay those that were given up, "
        "or drop those that are due or were given up",
    )
    add("ids", type=_id, nargs="*", metavar="ID", help="which; of these alone")
    add("--destination", metavar="NAME", help="of this destination")
    add("--room", metavar="ROOM", help="that tell of this room")
    add("--state", choices=_STATES, help="in this state (list only)")
    add(
        "--since",
        type=_ago,
        metavar="TIME",
        help="owed since then: 30min, 2h, 7d",
    )
    add(
        "--limit",
        type=_limit,
        default=50,
        metavar="N",
        help="show at most so many, the newest (%(default)s)",
    )
    add("--json", action="store_true", help="print one JSON object")
    add_data_arguments(parser, project=project)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no id of a delivery. `headgate deliveries list` shows them.",
        ) from None


def _ago(text: str) -> float:
    """Return how many seconds ago is meant."""
    found = _AGO.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time. Write a number and s, min, h or d: 30min, 2h, 7d.",
        )
    return float(found[1]) * _UNIT_SECONDS[found[2]]


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST_SHOWN):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of lines from 1 to {_MOST_SHOWN}.",
        )
    return int(text)


def run_deliveries(options: argparse.Namespace) -> int:
    """Carry out `headgate deliveries`; return the exit code."""
    if options.state is not None and options.what != "list":
        options.usage.error("argument --state: is for list only.")
    if options.what == "show" and not options.ids:
        options.usage.error("show: name deliveries by their ids, which list shows.")
    if options.what in _ON and not _names_any(options):
        options.usage.error(
            f"{options.what}: say which: ids, or --destination, --room or --since."
        )
    try:
        set_up_services(options)
        from headgate.server.setup import telling_of_the_database

        with telling_of_the_database():
            return _RUN[options.what](options)
    except CannotStart as exc:
        print(f"headgate: {exc}", file=sys.stderr)
        return exc.code


def _names_any(options: argparse.Namespace) -> bool:
    given = (options.destination, options.room, options.since)
    return bool(options.ids) or any(each is not None for each in given)


def _chosen(options: argparse.Namespace) -> QuerySet[Delivery]:
    """Return the deliveries that the options name, the newest first.

    Raises:
        CannotStart: There is no such destination or room.
    """
    from headgate.chat.models import Room
    from headgate.outbound.models import Delivery, Destination

    rows = Delivery.objects.select_related("destination", "room").order_by("-pk")
    if options.ids:
        rows = rows.filter(pk__in=options.ids)
    if options.destination is not None:
        found = Destination.objects.filter(name=options.destination).first()
        if found is None:
            names = Destination.objects.order_by("name").values_list("name", flat=True)
            known = ", ".join(names[:20]) or "none"
            raise CannotStart(
                f"There is no destination {options.destination!r}. There are: {known}.",
                EXIT_USAGE,
            )
        rows = rows.filter(destination=found)
    if options.room is not None:
        room = Room.objects.filter(slug=options.room).first()
        if room is None:
            raise CannotStart(f"There is no room {options.room!r}.", EXIT_USAGE)
        rows = rows.filter(room=room)
    if options.since is not None:
        rows = rows.filter(created_at__gte=time.time() - options.since)
    return rows


# --- showing ---

_COLUMNS = ("id", "destination", "event", "tells", "state", "tries", "next", "last")


def _list(options: argparse.Namespace) -> int:
    rows = _chosen(options)
    if options.state is not None:
        rows = rows.filter(state=options.state)
    found = list(rows[: options.limit])
    if options.json:
        print_json(deliveries=[_as_dict(each) for each in found])
        return 0
    if not found:
        print("There are no such deliveries.")
        return 0
    now = time.time()
    # Beside the ids, 80 characters leave no room to fold the other columns in.
    print_table(_COLUMNS, [_row(each, now) for each in found], fold=False)
    left = rows.count() - len(found)
    if left:
        print(f"\nAnd {left} older ones; see more with --limit.")
    return 0


def _show(options: argparse.Namespace) -> int:
    from headgate.chat.models import Event
    from headgate.outbound.models import Attempt

    found = {each.pk: each for each in _chosen(options)}
    missing = [str(each) for each in options.ids if each not in found]
    if missing:
        raise CannotStart(f"There is no delivery {', '.join(missing)}.", EXIT_USAGE)
    shown = []
    for pk in options.ids:
        row = found[pk]
        event = None
        if row.room_id is not None and row.seq is not None:
            event = Event.objects.filter(room_id=row.room_id, seq=row.seq).first()
        tries = Attempt.objects.filter(delivery=row).order_by("number")
        shown.append(
            {
                **_as_dict(row),
                "author": None if event is None else event.author_name,
                "text": None if event is None else event.text,
                "payload": row.payload,
                "tries": [_as_try(each) for each in tries],
            }
        )
    if options.json:
        print_json(deliveries=shown)
        return 0
    for number, each in enumerate(shown):
        if number:
            print()
        _print(each)
    return 0


def _print(shown: dict[str, Any]) -> None:
    tries = shown.pop("tries")
    rows = [
        (name, _at(value) if name.endswith("_at") else str(value))
        for name, value in shown.items()
        if value not in (None, "")
    ]
    print_table(("delivery", ""), rows)
    if tries:
        print()
        columns = ("try", "at", "result", "status", "ms", "error")
        print_table(columns, [_try_row(each) for each in tries])


# --- doing ---


def _do(options: argparse.Namespace) -> int:
    from headgate.outbound import ledger
    from headgate.outbound.replaying import change_in_parts

    states, told = _ON[options.what]
    change: Callable[..., int] = getattr(ledger, options.what)
    rows = _chosen(options)
    if not options.ids:
        rows = rows.filter(state__in=states)
    count = change_in_parts(change, rows.values_list("pk", flat=True))
    if options.json:
        print_json(count=count)
    else:
        of = "delivery is" if count == 1 else "deliveries are"
        print(f"{count} {of} {told}.")
    return 0 if count or not options.ids else EXIT_FAULTS


_RUN: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "replay": _do,
    "drop": _do,
}


# --- rows ---


def _as_dict(row: Delivery) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "destination": row.destination.name,
        "event": row.event,
        "room": None if row.room is None else row.room.slug,
        "seq": row.seq,
        "state": row.state,
        "attempts": row.attempts,
        "due_at": row.due_at if row.state == "due" else None,
        "last_status": row.last_status,
        "last_error": row.last_error,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    }


def _as_try(row: Any) -> dict[str, Any]:
    return {
        "number": row.number,
        "at": row.at,
        "outcome": row.outcome,
        "status": row.status,
        "service_seconds": row.service_seconds,
        "error": row.error,
        "retry_after_seconds": row.retry_after_seconds,
    }


def _row(row: Delivery, now: float) -> tuple[str, ...]:
    following = _following(row, now) if row.state == "due" else ""
    tells = "" if row.room is None else f"{row.room.slug} {row.seq or ''}".strip()
    status = "" if row.last_status is None else str(row.last_status)
    return (
        str(row.pk),
        row.destination.name,
        row.event,
        tells,
        row.state,
        str(row.attempts),
        following,
        _briefly(row.last_error) or status,
    )


def _following(row: Delivery, now: float) -> str:
    """Return when a delivery that is due is made, as far as that is known."""
    from headgate.limits.spans import in_words
    from headgate.outbound.states import standing_of

    if row.lease:
        return "on its way"
    standing = standing_of(row.destination, now)
    if standing.name in {"paused", "disabled"}:
        return standing.name
    wait = max(row.due_at, standing.until or 0.0) - now
    return f"in {in_words(wait)}" if wait > 0 else "now"


def _briefly(error: str) -> str:
    """Return the first sentence of an error; `show` has all of it."""
    first, more, _ = error.partition(". ")
    return f"{first}. …" if more else error


def _try_row(each: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(each["number"]),
        _at(each["at"]),
        each["outcome"],
        "" if each["status"] is None else str(each["status"]),
        f"{each['service_seconds'] * 1000:.0f}",
        each["error"],
    )


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
