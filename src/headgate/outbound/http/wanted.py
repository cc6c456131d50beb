"""A request's body as one of the structs of this API, or a refusal that says why."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from headgate.protocol.choices import choices_of
from headgate.protocol.codec import NO_CHOICE, BadCommand, error
from headgate.protocol.codes import Code

__all__ = ["wanted"]

S = TypeVar("S", bound=msgspec.Struct)

_WHERE = re.compile(r"^(?P<what>.+?) - at `\$\.(?P<field>\w+)[^`]*`$")
_MISSING = re.compile(r"^Object missing required field `(?P<field>\w+)`")


def wanted(kind: type[S], body: str) -> S:
    """Return what a body asks for.

    Raises:
        BadCommand: It is not JSON, or not what the description says.
    """
    field = None
    if r"\u0000" in body:  # which PostgreSQL does not take
        text = "The character U+0000 is not taken."
        raise BadCommand(error(Code.BAD_COMMAND, text))
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as exc:
        said = str(exc)
        if found := _MISSING.match(said):
            field, said = found["field"], "is missing"
        elif found := _WHERE.match(said):
            field, said = found["field"], found["what"]
            if said.startswith(NO_CHOICE):
                said = choices_of(kind, field) or said
        text = f"`{field}`: {said}." if field else f"{said}."
    except (msgspec.MsgspecError, RecursionError, ValueError):
        text = "The body is not valid JSON."
    raise BadCommand(error(Code.BAD_COMMAND, text, field=field))
