"""The JSON Schema of the wire, derived from the structs.

`protocol/generate.py` writes it to `protocol/schema.json` for other languages.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from headgate.protocol import commands, pushes

__all__ = ["PLAIN", "schema"]

PLAIN = (
    commands.PlainSend,
    pushes.PlainSaved,
    pushes.PlainMessage,
    pushes.PlainFailure,
    pushes.PlainGap,
    pushes.PlainReset,
)


def schema() -> dict[str, Any]:
    """Return one JSON Schema 2020-12 document with a definition for each struct.

    `command`, `reply`, `push` and `plain` are the unions to validate against.
    """
    groups = {
        "command": commands.COMMANDS,
        "reply": pushes.REPLIES,
        "push": pushes.PUSHES,
        "plain": PLAIN,
    }
    every = [struct for structs in groups.values() for struct in structs]
    _, definitions = msgspec.json.schema_components(
        every,
        ref_template="#/$defs/{name}",
    )
    for definition in definitions.values():
        definition["description"] = inspect.cleandoc(definition["description"])
    unions = {
        name: {"anyOf": [{"$ref": f"#/$defs/{struct.__name__}"} for struct in structs]}
        for name, structs in groups.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "headgate.v1 and headgate.plain",
        "$defs": {**definitions, **unions},
    }
