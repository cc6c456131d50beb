"""The documentation of the wire says what the code does: each example is decoded."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from headgate.chat.policies import STANDARD
from headgate.protocol import codec
from headgate.protocol.codes import CLOSE_TEXTS, Code
from headgate.protocol.commands import COMMANDS, UNBUILT
from headgate.protocol.fields import (
    MAX_CLIENT_ID,
    MAX_COMMAND_BYTES,
    MAX_DATA_BYTES,
    MAX_DATA_DEPTH,
    MAX_FRAME_BYTES,
    MAX_PAGE,
    MAX_PENDING,
    MAX_ROOMS,
)
from headgate.protocol.pushes import PUSHES, Error
from tests.protocol.golden import ROOT, SCHEMA, STRUCTS, decode, group_of, validator

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = ROOT / "docs/reference/protocol.md"
TEXT = PAGE.read_text(encoding="utf-8")
GLOSSARY = ROOT / "docs/glossary.md"

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^### `(\w+)`\n(.*?)(?=^### |\Z)", re.MULTILINE | re.DOTALL)
PROSE = BLOCK.sub("", TEXT)

SENT = ("→ ", "> ")
RECEIVED = ("← ", "< ")


def examples() -> Iterator[tuple[str, str]]:
    """Yield each example of the page with where it goes: sent, received or either."""
    for info, block in re.findall(
        r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL
    ):
        for line in block.splitlines():
            if info == "json":
                yield "either", line
            elif line.startswith(SENT):
                yield "sent", line[2:]
            elif line.startswith(RECEIVED):
                yield "received", line[2:]


def plain_or_v1(value: dict[str, Any]) -> str:
    """Return the mode that an example is in."""
    return (
        "headgate.v1" if value.keys() & {"cmd", "push", "reply"} else "headgate.plain"
    )


def struct_of_sent(text: str) -> str | None:
    """Return which command an example is, or None; a bad one only if it is meant."""
    value = json.loads(text)
    try:
        command = decode(plain_or_v1(value), text)
    except codec.BadCommand as refusal:
        return "refused" if f'"text":"{refusal.error.text}"' in TEXT else None
    known = json.loads(codec.encode(command))
    return type(command).__name__ if value.items() <= known.items() else None


def structs_of_received(text: str) -> list[str]:
    """Return the replies, pushes and plain structs that an example is, to the field."""
    value = json.loads(text)
    found = []
    for name, struct in STRUCTS.items():
        if group_of(name) == "command":
            continue
        try:
            again = codec.encode(msgspec.json.decode(text, type=struct))
        except msgspec.ValidationError:
            continue
        if json.loads(again) == value:
            validator(name).validate(value)
            found.append(name)
    return found


def sections(chapter: str) -> dict[str, str]:
    """Return the text of each `### name` in a `## chapter`."""
    body = TEXT.split(f"\n## {chapter}\n")[1].split("\n## ")[0]
    return dict(SECTION.findall(body))


def rows(section: str) -> list[str]:
    """Return the names in the first column of a table."""
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def fields(struct: type) -> list[str]:
    """Return a struct's field names on the wire, but for the `id` of commands."""
    names = [field.encode_name for field in msgspec.structs.fields(struct)]
    return [name for name in names if name != "id"]


@pytest.mark.parametrize(("where", "text"), list(examples()))
def test_example(where: str, text: str) -> None:
    value = json.loads(text)
    if where == "sent" or (where == "either" and "cmd" in value):
        assert struct_of_sent(text)
    elif where == "received" or value.keys() - {"message", "client_id"}:
        assert len(structs_of_received(text)) == 1
    else:
        assert struct_of_sent(text) == "PlainSend"


def test_every_struct_has_an_example() -> None:
    shown: set[str] = set()
    for where, text in examples():
        if where != "received":
            shown.add(struct_of_sent(text) or "")
        if where != "sent":
            shown.update(structs_of_received(text))
    assert set(STRUCTS) <= shown


def test_an_invented_field_is_noticed() -> None:
    assert struct_of_sent('{"cmd": "ping", "id": 1}') == "Ping"
    assert struct_of_sent('{"cmd": "ping", "id": 1, "now": true}') is None
    assert struct_of_sent('{"cmd": "pong", "id": 1}') is None
    assert structs_of_received('{"reply": 1}') == ["Done"]
    assert structs_of_received('{"reply": 1, "now": true}') == []
    assert structs_of_received('{"gap": {"from": 1}}') == []


def test_inline_json_is_a_place_to_resume_from() -> None:
    inline = re.findall(r"`(\{.*?\})`", PROSE)
    assert inline
    for text in inline:
        codec.decode_command(f'{{"cmd":"hello","resume":{{"general":{text}}}}}')


@pytest.mark.parametrize("struct", COMMANDS, ids=lambda struct: struct.__name__)
def test_every_field_of_a_command_is_told(struct: type[msgspec.Struct]) -> None:
    section = sections("Commands")[str(struct.__struct_config__.tag)]
    assert rows(section) == fields(struct)


@pytest.mark.parametrize("struct", PUSHES, ids=lambda struct: struct.__name__)
def test_every_field_of_a_push_is_told(struct: type[msgspec.Struct]) -> None:
    section = sections("Pushes")[str(struct.__struct_config__.tag)]
    assert rows(section) == fields(struct)


def test_nothing_is_told_that_does_not_exist() -> None:
    commands = {str(command.__struct_config__.tag) for command in COMMANDS}
    assert set(sections("Commands")) == commands | UNBUILT
    assert set(sections("Pushes")) == {str(p.__struct_config__.tag) for p in PUSHES}


def test_every_field_of_an_error_is_told() -> None:
    errors = TEXT.split("\n## Errors and closes\n")[1].split("\n## ")[0]
    assert rows(errors) == fields(Error)


def test_limits_are_those_of_the_code() -> None:
    table = TEXT.split("| limit | value | past it |")[1].split("\n\n")[0]
    told = dict(re.findall(r"^\| (.+?) \| (.+?) \|", table, re.MULTILINE))
    for limit, number in {
        "one command": MAX_COMMAND_BYTES,
        "one WebSocket message": MAX_FRAME_BYTES,
        "`data`": MAX_DATA_BYTES,
        "nesting of `data`": MAX_DATA_DEPTH,
        "`client_id`": MAX_CLIENT_ID,
        "rooms of one connection": MAX_ROOMS,
        "`pending`": MAX_PENDING,
        "a page of `history`": MAX_PAGE,
    }.items():
        assert f"{number:,}" in told[limit].split("(")[0], limit


def names_in(value: object) -> Iterator[str]:
    """Yield the names of fields and choices in a part of the schema."""
    if isinstance(value, dict):
        yield from value.get("properties", {})
        yield from (name for name in value.get("enum", []) if isinstance(name, str))
        for part in value.values():
            yield from names_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from names_in(part)


def test_words_in_code_type_exist() -> None:
    told = set(re.findall(r"`([a-z_]{2,})`", PROSE))
    codes = {code.value for code in Code}
    assert len(told & codes) >= 10
    # `key` of a limit has words of its own, and policies are the chat's.
    others = {"text", "false", "wscat", "connection", *STANDARD, "connect"} | UNBUILT
    assert told - codes - others <= set(names_in(SCHEMA))


def test_close_codes_that_are_told_exist() -> None:
    told = {int(number) for number in re.findall(r"close[sd] with (4\d\d\d)", TEXT)}
    assert len(told) >= 3
    assert told <= set(CLOSE_TEXTS)


@pytest.mark.parametrize(
    "page", [PAGE, GLOSSARY, ROOT / "protocol/README.md"], ids=lambda page: page.name
)
def test_links_lead_somewhere(page: Any) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif not link.startswith("https://"):
            assert (page.parent / link.split("#")[0]).exists(), link


def test_the_glossary_names_files_that_exist() -> None:
    text = GLOSSARY.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:src/headgate|protocol|client)/[\w./]+)`", text)
    assert len(paths) > 20
    for path in paths:
        assert (ROOT / path).exists(), path


def test_the_glossary_has_each_idea_once_and_says_where_it_lives() -> None:
    ideas, _, _ = GLOSSARY.read_text(encoding="utf-8").partition(
        "## Words that are not"
    )
    lines = [line for line in ideas.splitlines() if line.startswith("- ")]
    assert [
        line for line in lines if "`src/" not in line and "`protocol/" not in line
    ] == []
    names = [line.split("**")[1] for line in lines]
    assert sorted(set(names)) == sorted(names)
