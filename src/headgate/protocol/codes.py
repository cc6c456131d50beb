"""Error codes and close codes of the wire.

Generated from protocol/codes.toml by protocol/generate.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

__all__ = ["CLOSE_TEXTS", "ERRORS", "Close", "Code", "ErrorInfo"]


class Code(StrEnum):
    """The `code` of an error."""

    BAD_COMMAND = "bad_command"
    UNKNOWN_COMMAND = "unknown_command"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    BINARY = "binary"
    HELLO_EXPECTED = "hello_expected"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    MUTED = "muted"
    BANNED = "banned"
    TICKET_REFUSED = "ticket_refused"
    CSRF_FAILED = "csrf_failed"
    NOT_FOUND = "not_found"
    NOT_JOINED = "not_joined"
    ID_CONFLICT = "id_conflict"
    TOO_MANY_ROOMS = "too_many_rooms"
    BAD_OFFSET = "bad_offset"
    GROWING = "growing"
    NOT_GROWING = "not_growing"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Close(IntEnum):
    """A close code: below 4500 come back, from 4500 on do not."""

    RATE_LIMITED = 4000
    HELLO_TIMEOUT = 4001
    UNAVAILABLE = 4002
    IDENTITY_CHANGED = 4003
    TICKET_REFUSED = 4004
    TOO_SLOW = 4008
    GOING_AWAY = 4012
    CONNECT_LIMITED = 4013
    BAD_COMMANDS = 4500
    UNAUTHENTICATED = 4501
    NOT_FOUND = 4502
    ACCESS_REVOKED = 4503


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What is fixed about an error code."""

    number: int
    http: int
    retry: bool
    text: str


ERRORS: dict[Code, ErrorInfo] = {
    Code.BAD_COMMAND: ErrorInfo(
        number=100,
        http=400,
        retry=False,
        text="The command is not well formed.",
    ),
    Code.UNKNOWN_COMMAND: ErrorInfo(
        number=101,
        http=400,
        retry=False,
        text="There is no such command.",
    ),
    Code.UNSUPPORTED: ErrorInfo(
        number=102,
        http=501,
        retry=False,
        text="This server does not know how to do that yet.",
    ),
    Code.TOO_LARGE: ErrorInfo(
        number=103,
        http=413,
        retry=False,
        text="The command is larger than the server takes.",
    ),
    Code.BINARY: ErrorInfo(
        number=104,
        http=415,
        retry=False,
        text="Commands are JSON in text frames.",
    ),
    Code.HELLO_EXPECTED: ErrorInfo(
        number=105,
        http=400,
        retry=False,
        text="The first command must be hello.",
    ),
    Code.UNAUTHENTICATED: ErrorInfo(
        number=200,
        http=401,
        retry=False,
        text="Sign in first.",
    ),
    Code.FORBIDDEN: ErrorInfo(
        number=201,
        http=403,
        retry=False,
        text="You may not do that here.",
    ),
    Code.MUTED: ErrorInfo(
        number=202,
        http=403,
        retry=True,
        text="You are muted in this room.",
    ),
    Code.BANNED: ErrorInfo(
        number=203,
        http=403,
        retry=False,
        text="You are banned from this room.",
    ),
    Code.TICKET_REFUSED: ErrorInfo(
        number=204,
        http=401,
        retry=False,
        text="This ticket is not good any more.",
    ),
    Code.CSRF_FAILED: ErrorInfo(
        number=205,
        http=403,
        retry=False,
        text="The CSRF token that goes with your cookie is missing or wrong.",
    ),
    Code.NOT_FOUND: ErrorInfo(
        number=300,
        http=404,
        retry=False,
        text="There is no such room or message, or it is not for you.",
    ),
    Code.NOT_JOINED: ErrorInfo(
        number=301,
        http=409,
        retry=False,
        text="Join the room first.",
    ),
    Code.ID_CONFLICT: ErrorInfo(
        number=302,
        http=409,
        retry=False,
        text="This client_id was used for another message.",
    ),
    Code.TOO_MANY_ROOMS: ErrorInfo(
        number=303,
        http=409,
        retry=False,
        text="This connection has joined as many rooms as it may.",
    ),
    Code.BAD_OFFSET: ErrorInfo(
        number=304,
        http=409,
        retry=False,
        text="The growing message ends before that offset.",
    ),
    Code.GROWING: ErrorInfo(
        number=305,
        http=409,
        retry=False,
        text="This message is still growing.",
    ),
    Code.NOT_GROWING: ErrorInfo(
        number=306,
        http=409,
        retry=False,
        text="This message does not grow, or no longer.",
    ),
    Code.RATE_LIMITED: ErrorInfo(
        number=400,
        http=429,
        retry=True,
        text="Too fast.",
    ),
    Code.OVERLOADED: ErrorInfo(
        number=401,
        http=503,
        retry=True,
        text="The server has more to write than it can take.",
    ),
    Code.UNAVAILABLE: ErrorInfo(
        number=402,
        http=503,
        retry=True,
        text="The message could not be saved just now.",
    ),
    Code.INTERNAL: ErrorInfo(
        number=500,
        http=500,
        retry=True,
        text="Something went wrong on the server.",
    ),
}

CLOSE_TEXTS: dict[Close, str] = {
    Close.RATE_LIMITED: "Rate limit exceeded.",
    Close.HELLO_TIMEOUT: "No hello within 10 s.",
    Close.UNAVAILABLE: "The server cannot serve this connection just now.",
    Close.IDENTITY_CHANGED: "Come back and show who you are.",
    Close.TICKET_REFUSED: "Come back with a new ticket.",
    Close.TOO_SLOW: "Nothing was taken, or heard, for too long.",
    Close.GOING_AWAY: "The server is going away.",
    Close.CONNECT_LIMITED: "Too many connections.",
    Close.BAD_COMMANDS: "Too many bad commands.",
    Close.UNAUTHENTICATED: "Sign in first.",
    Close.NOT_FOUND: "There is no such room, or it is not for you.",
    Close.ACCESS_REVOKED: "Your access has ended.",
}
