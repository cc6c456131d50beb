"""The API's description of itself (OpenAPI 3.1), made from the structs of the wire.

django-ninja writes the frame of it, paths and parameters; what a request and an
answer consist of comes from the same structs that decode and encode them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from django.conf import settings
from pydantic import WithJsonSchema

from headgate.chat.http import schemas as api_schemas
from headgate.chat.http.problems import PROBLEM, Problem, problem_of
from headgate.chat.http.schemas import MAX_MUTE_MS, MAX_SLOW_MODE_MS, MIN_MS
from headgate.chat.identity import GUEST_HEADER
from headgate.chat.token_people import takes_tokens
from headgate.protocol import commands
from headgate.protocol.codec import error
from headgate.protocol.codes import ERRORS, Code
from headgate.protocol.fields import (
    AUTHOR_ID_PATTERN,
    AUTHOR_ID_RULE,
    MAX_AUTHOR_ID,
    MAX_DATA_BYTES,
    MAX_DATA_DEPTH,
    MAX_INTEGER,
)

__all__ = [
    "AUTHOR_ID",
    "also_describe",
    "components",
    "described",
    "security",
    "shown_as",
]

# The id of an author, in a URL.
AUTHOR_ID = {
    "type": "string",
    "pattern": AUTHOR_ID_PATTERN,
    "maxLength": MAX_AUTHOR_ID,
    "description": AUTHOR_ID_RULE,
}

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
# What the codec asks for besides its types.
# Of a text: something to be seen. Spelled out, as regular expressions do not agree
# about what is white space; this is what Python takes for it.
_SEEN = r"[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
_TEXT_RULE = "not blank; the character U+0000 is not taken, here and elsewhere"
_DATA_RULE = (
    f"at most {MAX_DATA_BYTES} bytes as JSON, nested at most {MAX_DATA_DEPTH} deep, "
    f"no integer beyond {MAX_INTEGER}"
)

# What is taken as a body: a command, of which the URL says a part.
_BODIES: dict[str, tuple[type[msgspec.Struct], tuple[str, ...]]] = {
    "SendBody": (commands.Send, ("cmd", "room", "open")),
    "EditBody": (commands.Edit, ("cmd", "room", "target")),
}
# What stands in bodies and answers beside those.
_STRUCTS: list[type[msgspec.Struct]] = [
    api_schemas.Connect,
    api_schemas.Connected,
    api_schemas.EventsRead,
    api_schemas.Limits,
    api_schemas.MemberChange,
    api_schemas.MemberChanged,
    api_schemas.MembersShown,
    api_schemas.MessagesRead,
    api_schemas.Posted,
    api_schemas.RoomChange,
    api_schemas.RoomShown,
    api_schemas.RoomsShown,
    Problem,
]


def also_describe(*structs: type[msgspec.Struct]) -> None:
    """Have the description name what operations of another app take and answer."""
    _STRUCTS.extend(each for each in structs if each not in _STRUCTS)


def shown_as(command: type[msgspec.Struct], field: str) -> WithJsonSchema:
    """Return how a part of a path is described: as a field of a command."""
    return WithJsonSchema(_field(command, field))


def described(
    summary: str,
    answers: Mapping[int, tuple[str, msgspec.Struct]],
    *codes: Code,
    query: Mapping[str, tuple[str | Mapping[str, Any], str]] | None = None,
    body: tuple[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the arguments of a route that describe an operation.

    Args:
        summary: One line.
        answers: By status: what it says, and an example.
        codes: The errors that it may answer, beside those that all may.
        query: By name: the field of `history` that it is, or its schema, and what it is
            for.
        body: The name of the body's schema and an example.
    """
    extra: dict[str, Any] = {"responses": _answers(answers) | _problems(codes)}
    if query:
        extra["parameters"] = [
            {
                "in": "query",
                "name": name,
                "description": said,
                "schema": _field(commands.History, kind)
                if isinstance(kind, str)
                else kind,
            }
            for name, (kind, said) in query.items()
        ]
    if body is not None:
        content = {"schema": _ref(body[0]), "example": body[1]}
        extra["requestBody"] = {"required": True, "content": {_JSON: content}}
    return {"summary": summary, "openapi_extra": extra}


def components() -> dict[str, Any]:
    """Return the schemas that the description refers to."""
    _, found = msgspec.json.schema_components(_STRUCTS, ref_template=_REF)
    schemas = dict(found)
    for name, (command, by_url) in _BODIES.items():
        schemas[name] = _body(command, by_url) | {"title": name}
    # What the structs' fields cannot say.
    schemas["RoomChange"]["properties"]["slow_mode_ms"] = _none_or(MAX_SLOW_MODE_MS)
    schemas["MemberChange"]["properties"]["mute_ms"] = _none_or(MAX_MUTE_MS)
    schemas["MemberChange"]["anyOf"] = [
        {"required": [name]} for name in schemas["MemberChange"]["properties"]
    ]
    for schema in schemas.values():
        schema["description"] = inspect.cleandoc(schema["description"])
    return {"schemas": schemas, "securitySchemes": _security_schemes()}


def _security_schemes() -> dict[str, Any]:
    session = {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}
    found: dict[str, Any] = {
        "session": session,
        "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRFToken"},
        "guest": {"type": "apiKey", "in": "header", "name": GUEST_HEADER},
    }
    if takes_tokens():
        said = "The token of a bot, `hgb_…`."
        found["bot"] = {"type": "http", "scheme": "bearer", "description": said}
    return found


def _none_or(most_ms: int) -> dict[str, Any]:
    """Return the schema of a time: none, or from a second up to the most."""
    some = {"type": "integer", "minimum": MIN_MS, "maximum": most_ms}
    return {"anyOf": [{"const": 0}, some]}


def security() -> list[dict[str, list[str]]]:
    """Return who may ask: somebody signed in, a bot, a guest, a guest who is new."""
    bots: list[dict[str, list[str]]] = [{"bot": []}] if takes_tokens() else []
    return [{"session": [], "csrf": []}, *bots, {"guest": []}, {}]


def _field(command: type[msgspec.Struct], field: str) -> dict[str, Any]:
    """Return the schema of one field; in a URL, null is said by leaving it out."""
    found: dict[str, Any] = _schema(command)["properties"][field]
    for choice in found.get("anyOf", []):
        if choice != {"type": "null"}:
            return dict(choice)
    return found


def _schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    _, found = msgspec.json.schema_components([struct], ref_template=_REF)
    return dict(found[struct.__name__])


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF.format(name=name)}


def _body(command: type[msgspec.Struct], by_url: Iterable[str]) -> dict[str, Any]:
    """Return the schema of a command of which the URL says a part."""
    schema = _schema(command)
    fields = dict(schema["properties"])
    for name in by_url:
        fields[name] = {**fields[name], "description": "said by the URL, which wins"}
    fields["text"] = {**fields["text"], "pattern": _SEEN, "description": _TEXT_RULE}
    fields["data"] = {**fields["data"], "description": _DATA_RULE}
    required = [name for name in schema["required"] if name not in by_url]
    return {**schema, "properties": fields, "required": required}


def _answers(
    answers: Mapping[int, tuple[str, msgspec.Struct]],
) -> dict[int, dict[str, Any]]:
    return {
        status: {
            "description": said,
            "content": {
                _JSON: {
                    "schema": _ref(type(example).__name__),
                    "example": msgspec.to_builtins(example),
                },
            },
        }
        for status, (said, example) in answers.items()
    }


def _problems(codes: Iterable[Code]) -> dict[int, dict[str, Any]]:
    """Return the refusals of an operation, by their status."""
    every = {*codes, Code.BAD_COMMAND, Code.UNAUTHENTICATED}
    every |= {Code.INTERNAL, Code.UNAVAILABLE, Code.RATE_LIMITED}
    by_status: dict[int, list[Code]] = {}
    for code in sorted(every, key=lambda code: ERRORS[code].number):
        by_status.setdefault(ERRORS[code].http, []).append(code)
    return {status: _problem(status, said) for status, said in by_status.items()}


def _problem(status: int, codes: list[Code]) -> dict[str, Any]:
    examples = {code.value: {"value": _example(code)} for code in codes}
    content = {"schema": _ref(Problem.__name__), "examples": examples}
    said = " ".join(ERRORS[code].text for code in codes)
    found: dict[str, Any] = {"description": said, "content": {PROBLEM: content}}
    if status == HTTPStatus.UNAUTHORIZED:
        found["headers"] = {"WWW-Authenticate": _header("How to sign in.", "string")}
    if any(ERRORS[code].retry for code in codes):
        wait = _header("Seconds to wait before trying again.", "integer")
        found["headers"] = {"Retry-After": wait}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        found["headers"] |= {
            "RateLimit-Policy": _header("The policies that apply.", "string"),
            "RateLimit": _header("What is left of each.", "string"),
        }
    return found


def _header(description: str, kind: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


def _example(code: Code) -> Any:
    retry = 730 if ERRORS[code].retry else None
    return msgspec.to_builtins(problem_of(error(code, retry_after_ms=retry)))
