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
from headgate.chat.http.schemas import MAX_SLOW_MODE_MS
from headgate.chat.identity import GUEST_HEADER
from headgate.protocol import commands
from headgate.protocol.codec import error
from headgate.protocol.codes import ERRORS, Code
from headgate.protocol.fields import MAX_DATA_BYTES, MAX_DATA_DEPTH, MAX_INTEGER

__all__ = ["components", "described", "security", "shown_as"]

_REF = "#/components/schemas/{name}"
_JSON = "application/json"
# What the codec asks for besides its types.
_SEEN = r"\S"  # of a text: something to be seen
_TEXT_RULE = "not blank; the character U+0000 is not taken, here and elsewhere"
_DATA_RULE = (
    f"at most {MAX_DATA_BYTES} bytes as JSON, nested at most {MAX_DATA_DEPTH} deep, "
    f"no integer beyond {MAX_INTEGER}"
)

# What is taken as a body: a command, of which the URL says a part.
_BODIES: dict[str, tuple[type[msgspec.Struct], tuple[str, ...]]] = {
    "SendBody": (commands.Send, ("cmd", "room")),
    "EditBody": (commands.Edit, ("cmd", "room", "target")),
}
# What stands in bodies and answers beside those.
_STRUCTS: list[type[msgspec.Struct]] = [
    api_schemas.Connect,
    api_schemas.Connected,
    api_schemas.EventsRead,
    api_schemas.Limits,
    api_schemas.MessagesRead,
    api_schemas.Posted,
    api_schemas.RoomChange,
    api_schemas.RoomShown,
    api_schemas.RoomsShown,
    Problem,
]


def shown_as(command: type[msgspec.Struct], field: str) -> WithJsonSchema:
    """Return how a part of a path is described: as a field of a command."""
    return WithJsonSchema(_field(command, field))


def described(
    summary: str,
    answers: Mapping[int, tuple[str, msgspec.Struct]],
    *codes: Code,
    query: Mapping[str, tuple[str, str]] | None = None,
    body: tuple[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the arguments of a route that describe an operation.

    Args:
        summary: One line.
        answers: By status: what it says, and an example.
        codes: The errors that it may answer, beside those that all may.
        query: By name: the field of `history` that it is, and what it is for.
        body: The name of the body's schema and an example.
    """
    extra: dict[str, Any] = {"responses": _answers(answers) | _problems(codes)}
    if query:
        extra["parameters"] = [
            {
                "in": "query",
                "name": name,
                "description": said,
                "schema": _field(commands.History, field),
            }
            for name, (field, said) in query.items()
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
    # Two ranges, which the struct's field cannot say.
    schemas["RoomChange"]["properties"]["slow_mode_ms"] = {
        "anyOf": [
            {"const": 0},
            {"type": "integer", "minimum": 1000, "maximum": MAX_SLOW_MODE_MS},
        ],
    }
    for schema in schemas.values():
        schema["description"] = inspect.cleandoc(schema["description"])
    return {
        "schemas": schemas,
        "securitySchemes": {
            "session": {
                "type": "apiKey",
                "in": "cookie",
                "name": settings.SESSION_COOKIE_NAME,
            },
            "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRFToken"},
            "guest": {"type": "apiKey", "in": "header", "name": GUEST_HEADER},
        },
    }


def security() -> list[dict[str, list[str]]]:
    """Return who may ask: somebody signed in, a guest, a guest who is new."""
    return [{"session": [], "csrf": []}, {"guest": []}, {}]


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
