"""Many rows as one parameter of a statement, in both databases' words.

PostgreSQL takes an array a column, SQLite one JSON text; what is around it is the same
for both, so that each statement of the ledger stands once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from headgate.protocol.codec import encode

__all__ = ["value_rows"]


def value_rows(
    connection: Any, columns: tuple[tuple[str, str], ...], rows: Sequence[Sequence[Any]]
) -> tuple[str, list[Any]]:
    """Return what stands after FROM, and its parameters.

    Args:
        connection: Django's.
        columns: Name and type, in PostgreSQL's words, of each column.
        rows: What is in them; ids as hexadecimal digits.
    """
    if connection.vendor == "postgresql":
        return _arrays(columns), [list(column) for column in zip(*rows, strict=True)]
    return _elements(columns), [encode(rows).decode()]


@lru_cache(maxsize=64)
def _arrays(columns: tuple[tuple[str, str], ...]) -> str:
    arrays = ", ".join(f"%s::{kind}[]" for _, kind in columns)
    names = ", ".join(name for name, _ in columns)
    return f"unnest({arrays}) AS new ({names})"


@lru_cache(maxsize=64)
def _elements(columns: tuple[tuple[str, str], ...]) -> str:
    names = [name for name, _ in columns]
    values = ", ".join(f"value ->> {i} AS {name}" for i, name in enumerate(names))
    return f"(SELECT {values} FROM json_each(%s)) AS new"  # noqa: S608 - names of ours
