"""What a field may be that is one of a few words, for whoever sent another one."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Struct

__all__ = ["choices_of"]


@lru_cache(maxsize=256)  # looking through a struct's types takes half a millisecond
def choices_of(kind: type[Struct], field: str) -> str | None:
    """Return what to write into a struct's field, as JSON has it: `write "a" or "b"`.

    None for a field that is something else, or that the struct does not have. Those of
    a list are what each in it may be.
    """
    words = _words(get_type_hints(kind).get(field))
    if not words:
        return None
    most, last = ", ".join(words[:-1]), words[-1]
    return f"write {most} or {last}" if most else f"write {last}"


def _words(hint: Any) -> list[str]:
    """Return the words in a type, however deep."""
    if get_origin(hint) is Literal:
        return [json.dumps(word) for word in get_args(hint)]
    return [word for part in get_args(hint) for word in _words(part)]
