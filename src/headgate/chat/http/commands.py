"""A request as a command of the wire: what its URL says, and what its body says.

The one codec decodes what comes through either door, so that limits and errors are
the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from django.http import HttpRequest
from msgspec import UNSET

from headgate.chat.http.problems import Refusal
from headgate.chat.http.schemas import (
    MAX_MUTE_MS,
    MAX_SLOW_MODE_MS,
    MIN_MS,
    Connect,
    MemberChange,
    RoomChange,
)
from headgate.protocol.codec import BadCommand, decode_command, encode, error
from headgate.protocol.codes import Code
from headgate.protocol.commands import Command
from headgate.protocol.fields import (
    MAX_COMMAND_BYTES,
    MAX_GUEST_NAME,
    MAX_ROOMS,
    ROOM_RULE,
)
from headgate.protocol.pushes import Error

__all__ = [
    "asked",
    "body_of",
    "connect_of",
    "member_change_of",
    "number",
    "numbers_in",
    "room_change_of",
    "told",
]

C = TypeVar("C", bound=Command)

_NO_JSON = "The command is not valid JSON."
_NO_OBJECT = "A command is a JSON object."
_RULES = {
    "rooms": f"at most {MAX_ROOMS} names of rooms; {ROOM_RULE}",
    "name": f"1 to {MAX_GUEST_NAME} characters",
}
_SLOW_MODE = f"0, or from {MIN_MS} to {MAX_SLOW_MODE_MS}"
_MEMBER_RULES = {
    "mute_ms": f"0, or from {MIN_MS} to {MAX_MUTE_MS}",
    "banned": "true or false",
}
_JSON_SPACE = " \t\r\n"  # RFC 8259, section 2
_DIGITS = 18  # of a number in a URL; a longer one is as far out as _FAR
_FAR = 10**18


def body_of(request: HttpRequest) -> str:
    """Return a request's body, which is to be JSON.

    Raises:
        Refusal: It is said to be something else, is larger than 16 KiB, or is no text.
    """
    if request.content_type != "application/json":
        text = "Send JSON, with the header `Content-Type: application/json`."
        raise Refusal(error(Code.BINARY, text))
    declared = request.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > MAX_COMMAND_BYTES:
        raise Refusal(_too_large())
    # One that does not tell its size is read no further than is taken.
    body = request.body if declared else request.read(MAX_COMMAND_BYTES + 1)
    if len(body) > MAX_COMMAND_BYTES:
        raise Refusal(_too_large())
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise Refusal(error(Code.BAD_COMMAND, _NO_JSON)) from None


def told(kind: type[C], body: str, **by_url: int | str | None) -> C:
    """Return the command that a body makes, with what the URL says.

    The URL wins over a body that says the same field.

    Raises:
        BadCommand: It is no command, in the words of the WebSocket.
    """
    whole = body.strip(_JSON_SPACE)
    if not (whole.startswith("{") and whole.endswith("}")):
        decode_command(body)  # says what it is
        raise BadCommand(error(Code.BAD_COMMAND, _NO_OBJECT))
    # Joined as text, since what a client says twice, or too large, or not as JSON is
    # the codec's to judge. Of two the last counts, but for `cmd`, which may not differ.
    members = whole[1:-1].strip(_JSON_SPACE)
    return _joined(kind, [members] if members else [], by_url)


def asked(kind: type[C], **by_url: int | str | None) -> C:
    """Return the command that a URL alone makes; None is what it does not say.

    Raises:
        BadCommand: It is no command, in the words of the WebSocket.
    """
    return _joined(kind, [], by_url)


def numbers_in(request: HttpRequest, *names: str) -> dict[str, int | str | None]:
    """Return what the query string says of these numbers; None where it does not."""
    return {name: number(request.GET.get(name)) for name in names}


def number(text: str | None) -> int | str | None:
    """Return the number that a text of a URL is, or a text that is none as it is."""
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        return text
    if len(digits) > _DIGITS:
        return -_FAR if text.startswith("-") else _FAR
    return int(text)


def connect_of(body: str) -> Connect:
    """Return what a body of `connect` asks for; raises `BadCommand`."""
    try:
        return msgspec.json.decode(body, type=Connect)
    except msgspec.ValidationError as exc:
        field = next((name for name in _RULES if f"`$.{name}" in str(exc)), None)
        text = f"`{field}`: {_RULES[field]}." if field else _NO_OBJECT
    except RecursionError:
        field, text = None, "The command nests too deeply."
    except (msgspec.MsgspecError, ValueError):
        field, text = None, _NO_JSON
    raise BadCommand(error(Code.BAD_COMMAND, text, field=field))


def room_change_of(body: str) -> RoomChange:
    """Return what a body says a room is to be; raises `BadCommand`."""
    try:
        wanted = msgspec.json.decode(body, type=RoomChange)
    except msgspec.ValidationError:
        field, text = "slow_mode_ms", f"`slow_mode_ms`: {_SLOW_MODE}."
    except (msgspec.MsgspecError, RecursionError, ValueError):
        field, text = None, _NO_JSON
    else:
        if wanted.slow_mode_ms == 0 or wanted.slow_mode_ms >= MIN_MS:
            return wanted
        field, text = "slow_mode_ms", f"`slow_mode_ms`: {_SLOW_MODE}."
    raise BadCommand(error(Code.BAD_COMMAND, text, field=field))


def member_change_of(body: str) -> MemberChange:
    """Return what a body says is to become of somebody; raises `BadCommand`."""
    field: str | None = None
    try:
        wanted = msgspec.json.decode(body, type=MemberChange)
    except msgspec.ValidationError as exc:
        field = next((name for name in _MEMBER_RULES if f"`$.{name}" in str(exc)), None)
        text = f"`{field}`: {_MEMBER_RULES[field]}." if field else _NO_OBJECT
    except (msgspec.MsgspecError, RecursionError, ValueError):
        text = _NO_JSON
    else:
        if wanted == MemberChange():
            text = "`mute_ms` or `banned` is missing."
        elif wanted.mute_ms is UNSET or not 0 < wanted.mute_ms < MIN_MS:
            return wanted
        else:
            field, text = "mute_ms", f"`mute_ms`: {_MEMBER_RULES['mute_ms']}."
    raise BadCommand(error(Code.BAD_COMMAND, text, field=field))


def _joined(
    kind: type[C],
    members: list[str],
    by_url: Mapping[str, int | str | None],
) -> C:
    first = _member("cmd", str(kind.__struct_config__.tag))
    last = [_member(name, by_url[name]) for name in by_url if by_url[name] is not None]
    command = decode_command("{" + ",".join([first, *members, *last]) + "}")
    if not isinstance(command, kind):
        raise TypeError(f"{command!r} was to be a {kind.__name__}")
    return command


def _member(name: str, value: Any) -> str:
    return f"{encode(name).decode()}:{encode(value).decode()}"


def _too_large() -> Error:
    text = f"The body is larger than {MAX_COMMAND_BYTES} bytes."
    return error(Code.TOO_LARGE, text)
