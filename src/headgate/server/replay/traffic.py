"""A chat log's shape: when somebody said something, who, and how long it was.

The file has three columns, `t_ms,author,bytes`, in the order of time. Whatever is
wrong with it is told with its line number before anything is sent.
"""

from __future__ import annotations

import csv
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["MAX_TEXT_BYTES", "BadTraffic", "Traffic", "read_traffic"]

_COLUMNS = ("t_ms", "author", "bytes")
MAX_TEXT_BYTES = 16_000  # the wire takes 16 KiB with everything around the text
_MAX_NUMBER = 2**40  # milliseconds of 34 years; nobody's log is longer


class BadTraffic(Exception):  # noqa: N818 - it is an answer to the user
    """The file is no chat log; the text says why and where."""


@dataclass(slots=True)
class Traffic:
    """The messages of a log. A message is known by its row, counted from 0."""

    due_ms: array[int] = field(default_factory=lambda: array("q"))
    authors: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("l"))

    def __len__(self) -> int:
        return len(self.due_ms)

    def add(self, due_ms: int, author: int, size_bytes: int) -> None:
        """Add a message."""
        self.due_ms.append(due_ms)
        self.authors.append(author)
        self.sizes.append(size_bytes)


def read_traffic(path: Path) -> Traffic:
    """Return the messages of a file; raises `BadTraffic`."""
    try:
        # A spreadsheet's byte order mark is no part of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(path, file)
    except OSError as exc:
        raise BadTraffic(f"{path}: {exc.strerror or exc}.") from exc
    except UnicodeDecodeError as exc:
        raise BadTraffic(f"{path} is not text in UTF-8.") from exc
    except csv.Error as exc:
        raise BadTraffic(f"{path} is not CSV: {exc}.") from exc


def _parse(path: Path, file: Iterable[str]) -> Traffic:
    """Return the messages of an open file."""
    reader = csv.reader(file)
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise BadTraffic(
            f"{path}, line 1: there is no column {missing[0]!r}; "
            f"the first line must name {','.join(_COLUMNS)}."
        )
    places = [header.index(name) for name in _COLUMNS]
    traffic = Traffic()
    last = 0
    for cells in reader:
        if not cells:
            continue  # an empty last line
        where = f"{path}, line {reader.line_num}"
        due, author, size = (
            _number(where, name, cells, place)
            for name, place in zip(_COLUMNS, places, strict=True)
        )
        if due < last:
            raise BadTraffic(f"{where}: t_ms goes back from {last} to {due}.")
        if not 1 <= size <= MAX_TEXT_BYTES:
            raise BadTraffic(
                f"{where}: bytes is {size}; a text has 1 to {MAX_TEXT_BYTES}."
            )
        traffic.add(due, author, size)
        last = due
    if not traffic:
        raise BadTraffic(f"{path} has no messages.")
    return traffic


def _number(where: str, name: str, cells: list[str], place: int) -> int:
    """Return one cell as a whole number that is not negative."""
    if place >= len(cells):
        raise BadTraffic(f"{where}: {name} is missing.")
    cell = cells[place].strip()
    if not (cell.isascii() and cell.isdigit() and int(cell[:20]) < _MAX_NUMBER):
        raise BadTraffic(f"{where}: {name} is {cell[:40]!r}, not a whole number.")
    return int(cell)
