"""`manage.py headgate import`: bring a table of the project into the chat."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from headgate.server.exits import (
    EXIT_FAULTS,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    CannotStart,
)

if TYPE_CHECKING:
    from headgate.chat.importing import Counts

__all__ = ["add_arguments", "import_table"]

_LINE_SECONDS = 5.0  # between lines where there is no terminal
_DRAW_SECONDS = 0.1  # between pictures of the bar


def add_arguments(parser: argparse.ArgumentParser, *, project: bool = False) -> None:
    """Add the options of `headgate import`.

    Without a project none is required: what is told then is where to go.
    """
    add = parser.add_argument
    add(
        "--model",
        required=project,
        metavar="APP.MODEL",
        help="the model whose rows are messages, such as app.Messages",
    )
    add(
        "--text-field",
        required=project,
        metavar="FIELD",
        help="the field of the text",
    )
    rooms = parser.add_mutually_exclusive_group(required=project)
    rooms.add_argument(
        "--room-field",
        metavar="FIELD",
        help="the field of the room: a foreign key, a name or a number",
    )
    rooms.add_argument(
        "--room", metavar="SLUG", help="one room for all rows, where there is no field"
    )
    add(
        "--room-slug-field",
        metavar="FIELD",
        help="the field of the room's own model that names it (default: its str())",
    )
    add(
        "--author-field",
        metavar="FIELD",
        help="the field of the author: a foreign key to the user model, or a name",
    )
    add(
        "--at-field",
        metavar="FIELD",
        help="the field of the time (default: now, in the order of primary keys)",
    )
    add(
        "--kind",
        choices=["public", "group"],
        default="public",
        help="of rooms that are made; who wrote in a group is a member (%(default)s)",
    )
    add("--dry-run", action="store_true", help="look at every row, and write nothing")


def import_table(options: argparse.Namespace) -> int:
    """Carry out `headgate import`; return the exit code."""
    if not options.project:
        options.usage.error(
            "the table is a project's, so its manage.py has to be used: "
            "python manage.py headgate import …",
        )
    from headgate.chat.source_table import BadTable
    from headgate.server.project import check_migrated
    from headgate.server.setup import telling_of_the_database

    started = time.monotonic()
    with _Display(options) as display:
        try:
            check_migrated()
            with telling_of_the_database():
                for counts in _counts(options, display):
                    display.show(counts)
        except BadTable as exc:
            display.say(f"headgate import: {exc}")
            return EXIT_USAGE
        except CannotStart as exc:
            display.say(f"headgate import: {exc}")
            display.say(_again(display.counts))
            return exc.code
        except KeyboardInterrupt:
            display.say("headgate import: stopped.")
            display.say(_again(display.counts))
            return EXIT_INTERRUPTED
    print(_summary(display.counts, options, time.monotonic() - started))
    return EXIT_FAULTS if display.counts.refused else 0


def _again(counts: Counts) -> str:
    return (
        f"{counts.added:,} messages were added and stay. "
        "Run the same command again, and it goes on."
    )


def _counts(options: argparse.Namespace, display: _Display) -> Any:
    from headgate.chat.importing import import_rows
    from headgate.chat.source_table import BadTable, SourceTable
    from headgate.protocol.codec import is_room_slug
    from headgate.protocol.fields import ROOM_RULE

    if options.room is not None and not is_room_slug(options.room):
        raise BadTable(f"{options.room!r} cannot be a room: {ROOM_RULE}.")
    table = SourceTable(
        options.model,
        text=options.text_field,
        room=options.room_field,
        room_slug=options.room_slug_field,
        author=options.author_field,
        at=options.at_field,
    )
    if options.kind == "group" and not table.knows_users:
        raise BadTable(
            "--kind group makes rooms for members alone, and without an --author-field "
            "that leads to the user model there would be none. Make the rooms with "
            "their members first, and import into them.",
        )
    return import_rows(
        table,
        room=options.room,
        kind=options.kind,
        dry_run=options.dry_run,
        tell=lambda line: display.say(f"refused: {line}"),
    )


def _summary(counts: Counts, options: argparse.Namespace, seconds: float) -> str:
    lines = [
        (counts.read, "read"),
        (counts.added, "added"),
        (counts.known, "known from an earlier import"),
        (counts.refused, "refused"),
        (counts.rooms, "rooms made"),
    ]
    if options.kind == "group":
        lines.append((counts.members, "members added"))
    done = "would be done (nothing was written)" if options.dry_run else "done"
    width = max(len(f"{number:,}") for number, _ in lines)
    shown = [f"  {number:>{width},} {what}" for number, what in lines]
    return "\n".join([f"{options.model}: {done}, in {seconds:.1f} s", *shown])


class _Display:
    """How far it is, on standard error: a bar on a terminal, elsewhere lines."""

    def __init__(self, options: argparse.Namespace) -> None:
        from headgate.chat.importing import Counts

        self.counts = Counts()
        self._model = options.model
        self._shown_at = time.monotonic()
        self._bar: Any = _bar(options.model) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr)

    def show(self, counts: Counts) -> None:
        """Show how far it is, now and then."""
        self.counts = counts
        now = time.monotonic()
        every = _LINE_SECONDS if self._bar is None else _DRAW_SECONDS
        if now - self._shown_at < every and counts.read < counts.rows:
            return
        self._shown_at = now
        if self._bar is None:
            print(
                f"{self._model}: {counts.read:,} of {counts.rows:,} rows, "
                f"{_in_words(counts)}",
                file=sys.stderr,
            )
        else:
            self._bar.update(
                self._bar.task_ids[0],
                total=counts.rows,
                completed=counts.read,
                counts=_in_words(counts),
            )
            self._bar.refresh()


def _in_words(counts: Counts) -> str:
    return (
        f"{counts.added:,} added, {counts.known:,} known, {counts.refused:,} refused, "
        f"{counts.rooms:,} rooms made"
    )


def _bar(what: str) -> Any:
    """Return a bar with one task, or None where `rich` is not installed."""
    try:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )
    except ModuleNotFoundError:
        return None
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
    )
    bar.add_task(what, total=None, counts="")
    return bar
