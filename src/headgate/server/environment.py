"""Settings of the stand-alone server by environment variables: `HEADGATE_GUESTS=yes`.

Each key of `HEADGATE` has one, for servers that are set up by their environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from headgate.chat.conf import Conf, mistakes
from headgate.chat.limit_checks import limit_mistakes
from headgate.outbound.address_guard import AddressGuard
from headgate.server.exits import EXIT_USAGE, CannotStart

__all__ = ["PREFIX", "misspelt_in", "settings_in"]

PREFIX = "HEADGATE_"
_ALIKE = 0.8  # of a name and another one, by difflib: a letter or two are wrong

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
    settings = Conf(**found)
    for mistake in limit_mistakes(settings):
        raise CannotStart(
            f"The environment says {PREFIX}{mistake.what} {mistake.hint}", EXIT_USAGE
        )
    try:
        AddressGuard(settings.OUTBOUND_NETWORKS, settings.OUTBOUND_PORTS)
    except ImproperlyConfigured as exc:
        told = str(exc).replace("HEADGATE['", PREFIX).replace("']", "")
        raise CannotStart(f"The environment says {told}", EXIT_USAGE) from None
    return found


def misspelt_in(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are nearly a setting's, and that setting's."""
    known = [field.name for field in fields(Conf)]
    found = {}
    for variable in environment:
        name = variable.removeprefix(PREFIX)
        if name != variable and name not in known:
            for meant in get_close_matches(name.upper(), known, n=1, cutoff=_ALIKE):
                found[variable] = PREFIX + meant
    return found


# What to write for each type of `Conf`.
_EXPECTED = {
    "bool": "Write yes or no.",
    "int": "Write a whole number above 0.",
    "float": "Write a number above 0.",
    "dict[str, str] | None": "Write NAME=RATE, with commas: send=2/s,typing=off.",
    "str": "Write a text.",
    "str | None": "Write a text, or leave it out.",
    "list[str] | None": "Write texts with commas between them, or leave it out.",
}


def _value(text: str, kind: str) -> Any:
    """Return what a text stands for; itself where it is nothing of that kind."""
    return _READERS.get(kind, str)(text)


def _word(text: str) -> bool | str:
    return _WORDS.get(text.lower(), text)


def _whole(text: str) -> int | str:
    digits = text.replace("_", "")
    return int(digits) if digits.isascii() and digits.isdecimal() else text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _texts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs(text: str) -> dict[str, str] | str:
    pairs = [part.partition("=") for part in _texts(text)]
    if not all(equals for _, equals, _ in pairs):
        return text
    return {name.strip(): value.strip() for name, _, value in pairs}


_READERS: dict[str, Callable[[str], Any]] = {
    "bool": _word,
    "int": _whole,
    "float": _number,
    "list[str] | None": _texts,
    "dict[str, str] | None": _pairs,
}
