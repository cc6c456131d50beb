"""Settings of the stand-alone server by environment variables: `HEADGATE_GUESTS=yes`.

Each key of `HEADGATE` has one, for servers that are set up by their environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from headgate.chat.conf import Conf, mistakes
from headgate.server.exits import EXIT_USAGE, CannotStart

__all__ = ["PREFIX", "settings_in"]

PREFIX = "HEADGATE_"

_WORDS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def settings_in(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the keys of `HEADGATE` that an environment sets; empty ones are not set.

    Other variables that begin so are left alone: they may be somebody else's.

    Raises:
        CannotStart: A value does not fit its key.
    """
    found: dict[str, Any] = {}
    for field in fields(Conf):
        text = environment.get(PREFIX + field.name, "").strip()
        if not text:
            continue
        value = _value(text, str(field.type))
        if mistakes({field.name: value}):
            raise CannotStart(
                f"The environment variable {PREFIX}{field.name} is {text!r}. "
                f"{_EXPECTED[str(field.type)]}",
                EXIT_USAGE,
            )
        found[field.name] = value
    return found


# What to write for each type of `Conf`.
_EXPECTED = {
    "bool": "Write yes or no.",
    "int": "Write a whole number above 0.",
    "str": "Write a text.",
    "str | None": "Write a text, or leave it out.",
    "list[str] | None": "Write texts with commas between them, or leave it out.",
}


def _value(text: str, kind: str) -> Any:
    """Return what a text stands for; itself where it is nothing of that kind."""
    if kind == "bool":
        return _WORDS.get(text.lower(), text)
    if kind == "int":
        digits = text.replace("_", "")
        return int(digits) if digits.isascii() and digits.isdecimal() else text
    if kind == "list[str] | None":
        return [part.strip() for part in text.split(",") if part.strip()]
    return text
