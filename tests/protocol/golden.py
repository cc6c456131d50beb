"""The golden examples of `protocol/golden`, and the schema they must fit."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from headgate.protocol import codec
from headgate.protocol.commands import COMMANDS, Command, PlainSend
from headgate.protocol.pushes import PUSHES, REPLIES
from headgate.protocol.schema import PLAIN

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "protocol/golden"
SCHEMA = json.loads((ROOT / "protocol/schema.json").read_text(encoding="utf-8"))
GROUPS: dict[str, tuple[type, ...]] = {
    "command": COMMANDS,
    "reply": REPLIES,
    "push": PUSHES,
    "plain": PLAIN,
}
STRUCTS: dict[str, type] = {
    struct.__name__: struct for structs in GROUPS.values() for struct in structs
}


def load(name: str) -> list[dict[str, Any]]:
    """Return the examples of one golden file, with their runs written out."""
    text = (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    return [_written_out(example) for example in json.loads(text)]


def _written_out(example: dict[str, Any]) -> dict[str, Any]:
    for mark, (piece, times) in example.pop("runs", {}).items():
        assert mark in example["text"], (example["name"], mark)
        example["text"] = example["text"].replace(mark, piece * times)
        if "decoded" in example:
            spelled = json.dumps(example["decoded"])
            assert mark in spelled, (example["name"], mark)
            example["decoded"] = json.loads(spelled.replace(mark, piece * times))
    return example


def decode(mode: str, text: str) -> Command | PlainSend:
    """Decode what a client sends in a mode, as the server does."""
    if mode == "headgate.plain":
        return codec.decode_plain(text)
    assert mode == "headgate.v1"
    return codec.decode_command(text)


@cache
def validator(definition: str) -> Draft202012Validator:
    """Return the validator of one definition of the schema: a struct or a group."""
    reference = {"$ref": f"#/$defs/{definition}", "$defs": SCHEMA["$defs"]}
    return Draft202012Validator(reference)


def group_of(struct: str) -> str:
    """Return the group that a struct belongs to."""
    return next(name for name, group in GROUPS.items() if STRUCTS[struct] in group)
