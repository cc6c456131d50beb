"""Between text and structs: the only file that knows the JSON library.

Whatever a client sends, decoding either gives a command or raises `BadCommand`
with what is wrong, in which field, and which command id it answers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Union

import msgspec

from headgate.protocol.choices import choices_of
from headgate.protocol.codes import ERRORS, Code
from headgate.protocol.commands import (
    COMMANDS,
    UNBUILT,
    Command,
    Edit,
    PlainSend,
    Send,
)
from headgate.protocol.fields import (
    AUTHOR_ID_PATTERN,
    MAX_CLIENT_ID,
    MAX_COMMAND_BYTES,
    MAX_DATA_BYTES,
    MAX_DATA_DEPTH,
    MAX_INTEGER,
    PACE_PATTERN,
    ROOM_PATTERN,
    RULES,
)
from headgate.protocol.pushes import Error, PlainFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "NO_CHOICE",
    "BadCommand",
    "decode_command",
    "decode_plain",
    "encode",
    "error",
    "is_author_id",
    "is_pace",
    "is_room_slug",
    "plain_failure",
]

encode = msgspec.json.Encoder().encode

# A Union made at run time: `X | Y` cannot be spelled over a tuple.
_decode_any_command = msgspec.json.Decoder(Union[COMMANDS]).decode  # noqa: UP007
_decode_plain_send = msgspec.json.Decoder(PlainSend).decode
_decode_loosely = msgspec.json.Decoder().decode

# What msgspec raises for input that it cannot read; RecursionError is depth,
# UnicodeDecodeError and ValueError are strings that are no UTF-8.
_UNREADABLE = (msgspec.MsgspecError, RecursionError, ValueError)

NO_CHOICE = "Invalid enum value"  # what msgspec says begins so
# The commands by what stands in `cmd`.
_BY_NAME = {command.__struct_config__.tag: command for command in COMMANDS}
_NUL = "\\u0000"  # as JSON escapes it; it cannot say it otherwise
_MAX_SAID = 150  # characters of msgspec's words, which may repeat the client's
_MISSING = re.compile(r"Object missing required field `(\w+)`").fullmatch
_PATH = re.compile(r"(?:`key` in )?`\$\.?([^`]*)`").fullmatch
_is_author_id = re.compile(AUTHOR_ID_PATTERN).match
_is_room_slug = re.compile(ROOM_PATTERN).match
_is_pace = re.compile(PACE_PATTERN).match


class BadCommand(Exception):  # noqa: N818 - it is an answer, not a fault of ours
    """What a client sent is not a command.

    `error` is ready to be sent; `reply` is the command's id where one was readable.
    """

    def __init__(self, failure: Error, reply: int | None = None) -> None:
        super().__init__(failure.text)
        self.error = failure
        self.reply = reply


def error(code: Code, text: str | None = None, **more: Any) -> Error:
    """Return an `Error` with the code's own text unless a better one is given."""
    return Error(code=code.value, text=text or ERRORS[code].text, **more)


def plain_failure(failure: Error) -> PlainFailure:
    """Return an error as plain mode says it."""
    return PlainFailure(
        error=failure.code,
        text=failure.text,
        field=failure.field,
        retry_after_ms=failure.retry_after_ms,
        policy=failure.policy,
        client_id=failure.client_id,
    )


def is_author_id(text: str) -> bool:
    """Return whether a text can be the `id` of an author who is a person."""
    return _is_author_id(text) is not None


def is_room_slug(slug: str) -> bool:
    """Return whether a string can name a room."""
    return _is_room_slug(slug) is not None


def is_pace(text: str) -> bool:
    """Return whether a text is a pace, such as `5/s`."""
    return _is_pace(text) is not None


def decode_command(payload: str) -> Command:
    """Return the command of one text frame in `headgate.v1`.

    Raises:
        BadCommand: With `too_large`, `bad_command`, `unknown_command` or
            `unsupported`, and the field to mend.
    """
    _check_size(payload)
    try:
        command: Command = _decode_any_command(payload)
    except _UNREADABLE as exc:
        raise _explain(payload, exc) from None
    failure = None
    if isinstance(command, Send) and command.open and not command.text:
        failure = None if command.data is None else _check_data(command.data)
    elif isinstance(command, (Send, Edit)):
        failure = _check_content(command.text, command.data)
    if failure is None and _NUL in payload:
        failure = _find_nul(command)
    if failure is not None:
        failure.client_id = getattr(command, "client_id", None)
        raise BadCommand(failure, command.id)
    return command


def decode_plain(payload: str) -> PlainSend:
    """Return the one command of plain mode; raises `BadCommand` as above."""
    _check_size(payload)
    try:
        command = _decode_plain_send(payload)
    except _UNREADABLE as exc:
        raise _explain(payload, exc) from None
    failure = _check_content(command.message, None, field="message")
    if failure is None and _NUL in payload:
        failure = _find_nul(command)
    if failure is not None:
        failure.client_id = command.client_id
        raise BadCommand(failure)
    return command


def _check_size(payload: str) -> None:
    """Raise `too_large`; counts bytes only where characters leave it open."""
    size = len(payload)
    if size * 4 <= MAX_COMMAND_BYTES:
        return
    if not payload.isascii():
        size = len(payload.encode("utf-8", "surrogatepass"))
    if size > MAX_COMMAND_BYTES:
        text = f"The command has {size} bytes; at most {MAX_COMMAND_BYTES} are taken."
        raise BadCommand(error(Code.TOO_LARGE, text))


def _find_nul(command: Command | PlainSend) -> Error | None:
    """Return an error for the field that holds U+0000, if one does.

    PostgreSQL stores no U+0000; refusing it everywhere keeps databases alike.
    Call it after `_check_content`, which bounds the depth of `data`.
    """
    for field, value in msgspec.to_builtins(command).items():
        if _has_nul(value):
            what = f"`{field}`: the character U+0000 is not taken."
            return error(Code.BAD_COMMAND, what, field=field)
    return None


def _check_content(
    text: str,
    data: dict[str, Any] | None,
    field: str = "text",
) -> Error | None:
    """Return what is wrong with a message's text or data, or None."""
    if not text or text.isspace():
        return error(Code.BAD_COMMAND, f"`{field}` is empty.", field=field)
    return None if data is None else _check_data(data)


def _check_data(data: dict[str, Any]) -> Error | None:
    """Return what is wrong with a message's `data`, or None."""
    if _depth(data) > MAX_DATA_DEPTH:
        deep = f"`data` nests deeper than {MAX_DATA_DEPTH}."
        return error(Code.BAD_COMMAND, deep, field="data")
    if any(type(item) is int and abs(item) > MAX_INTEGER for item in _leaves(data)):
        odd = "`data` holds an integer beyond 2**53 - 1; send it as a string."
        return error(Code.BAD_COMMAND, odd, field="data")
    size = len(encode(data))
    if size > MAX_DATA_BYTES:
        big = f"`data` has {size} bytes as JSON; at most {MAX_DATA_BYTES} are taken."
        return error(Code.TOO_LARGE, big, field="data")
    return None


def _depth(value: object) -> int:
    """Return how deep lists and dicts nest, without recursion."""
    deepest = 0
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, dict | list):
            deepest = max(deepest, depth)
            inner = item.values() if isinstance(item, dict) else item
            waiting.extend((child, depth + 1) for child in inner)
    return deepest


def _leaves(value: object) -> Iterator[object]:
    """Yield the keys and the single values in a JSON value, without recursion."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
        else:
            yield item


def _has_nul(value: object) -> bool:
    """Return whether any string in a JSON value, keys included, has U+0000."""
    return any(isinstance(item, str) and "\x00" in item for item in _leaves(value))


def _explain(payload: str, exc: Exception) -> BadCommand:
    """Say what was wrong with a payload that did not decode."""
    loose = None
    try:
        loose = _decode_loosely(payload)
    except RecursionError as too_deep:
        exc = too_deep
    except _UNREADABLE:
        return BadCommand(error(Code.BAD_COMMAND, "The command is not valid JSON."))
    if isinstance(exc, RecursionError):
        return BadCommand(error(Code.BAD_COMMAND, "The command nests too deeply."))
    if not isinstance(loose, dict):
        return BadCommand(error(Code.BAD_COMMAND, "A command is a JSON object."))
    reply = loose.get("id")
    if type(reply) is not int or not 0 <= reply <= MAX_INTEGER:
        reply = None
    client_id = loose.get("client_id")
    if not isinstance(client_id, str) or len(client_id) > MAX_CLIENT_ID:
        client_id = None
    failure = _explain_object(loose, str(exc))
    failure.client_id = client_id
    return BadCommand(failure, reply)


def _explain_object(loose: dict[str, Any], what: str) -> Error:
    """Say which field of a JSON object is wrong, from msgspec's own words."""
    cmd = loose.get("cmd")
    if isinstance(cmd, str) and cmd in UNBUILT:
        text = f"`{cmd}` is not built in this version."
        return error(Code.UNSUPPORTED, text, field="cmd")
    # The path comes last; what stands before it may repeat the client's words.
    said, _, where = what.rpartition(" - at ")
    path = _PATH(where)
    if path is None:
        said = what
    missing = _MISSING(said)
    inside = path.group(1) if path else ""
    field = inside.split("[")[0].split(".")[0] or (missing.group(1) if missing else "")
    if field == "cmd" and isinstance(cmd, str):
        text = f"There is no command {cmd[:40]!r}."
        return error(Code.UNKNOWN_COMMAND, text, field="cmd")
    if "matching regex" in said and field in RULES:
        said = RULES[field]
    if said.startswith(NO_CHOICE) and isinstance(cmd, str) and cmd in _BY_NAME:
        # JSON lets `cmd` come twice; this is the last one.
        said = choices_of(_BY_NAME[cmd], field) or said
    if len(said) > _MAX_SAID:
        said = f"{said[:_MAX_SAID]}…"
    text = f"`{inside}`: {said}." if inside else f"{said}."
    return error(Code.BAD_COMMAND, text, field=field or None)
