"""Tables: on a terminal with `rich` where it is installed, else in plain columns."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["print_json", "print_table"]

# Headings of numbers, which stand to the right.
_NUMBERS = frozenset(
    {"burst", "refused", "left", "most at once", "tries", "try", "status", "ms"}
)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, fold: bool = True
) -> None:
    """Print rows under their headings.

    What a terminal would obey instead of showing it is replaced.

    Args:
        columns: The headings.
        rows: As many cells in each.
        fold: Whether cells are folded where a terminal is too narrow; else it breaks
            the lines itself.
    """
    shown = [[_printable(cell) for cell in row] for row in rows]
    if not fold or not sys.stdout.isatty():  # nobody wants it folded in a file
        _print_plain(columns, shown)
        return
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ModuleNotFoundError:
        _print_plain(columns, shown)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(
            column,
            justify="right" if column in _NUMBERS else "left",
            overflow="fold",
            no_wrap=number == 0,
        )
    for row in shown:
        table.add_row(*map(Text, row))  # a text is not read as markup
    Console(highlight=False).print(table)


def print_json(**given: Any) -> None:
    """Print one object of JSON."""
    print(json.dumps(given, indent=2))


def _print_plain(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        cells = [
            cell.rjust(width) if column in _NUMBERS else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
