"""What a refusal says: 429 with problem+json over HTTP, an object over a WebSocket.

The members and their names are those of the chat's own errors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from headgate.limits.decision import Decision, Verdict
from headgate.limits.fields import limit_fields, retry_after

__all__ = [
    "CLOSE_CODE",
    "CLOSE_REASON",
    "STATUS",
    "GivenRefusal",
    "checked_refusal",
    "joined_fields",
    "problem_body",
    "problem_fields",
    "refusal_text",
]

STATUS = 429
CLOSE_CODE = 4000
CLOSE_REASON = "Rate limit exceeded."

_TITLE = "Too fast."
_NUMBER = 400  # the error's number, which is the chat's

# More members for the refusal, or a function that makes all of it.
GivenRefusal = Mapping[str, Any] | Callable[[Decision], Mapping[str, Any] | str]


def checked_refusal(refusal: Any) -> GivenRefusal | None:
    """Return what a refusal is to say, as it was given.

    Raises:
        TypeError: It is nothing that could be said as JSON.
    """
    if refusal is None or callable(refusal):
        return refusal  # type: ignore[no-any-return] # what it returns is looked at
    if not isinstance(refusal, Mapping):
        raise TypeError(
            f"refusal={refusal!r}: a dict, whose members are added, or a function "
            "that takes the decision and returns a dict or a text.",
        )
    json.dumps(dict(refusal))  # now, and not at the first refusal
    return refusal


def refusal_text(refused: Decision, refusal: GivenRefusal | None = None) -> str:
    """Return what is sent instead of an answer to a message."""
    if callable(refusal):
        made = refusal(refused)
        return made if isinstance(made, str) else json.dumps(dict(made))
    said: dict[str, Any] = {
        "error": "rate_limited",
        "policy": refused.policy.name,
        "retry_after_ms": refused.retry_after_ms,
    }
    return json.dumps(said | dict(refusal or {}))


def problem_body(refused: Decision) -> bytes:
    """Return the JSON of a refused request's answer (RFC 9457)."""
    said = {
        "type": "urn:headgate:error:rate_limited",
        "title": _TITLE,
        "status": STATUS,
        "detail": _detail(refused),
        "code": "rate_limited",
        "number": _NUMBER,
        "policy": refused.policy.name,
        "retry_after_ms": refused.retry_after_ms,
        "remaining": refused.remaining,
    }
    told = {name: value for name, value in said.items() if value is not None}
    return json.dumps(told).encode()


def problem_fields(verdict: Verdict, refused: Decision) -> dict[str, str]:
    """Return the header fields of a refused request's answer."""
    return {
        "Content-Type": "application/problem+json",
        "Cache-Control": "no-store",
        **retry_after(refused),
        **limit_fields(verdict.decisions),
    }


def joined_fields(
    verdict: Verdict | None, present: Callable[[str], str | None]
) -> Iterable[tuple[str, str]]:
    """Yield the limit's fields for an answer that may have some of another limit.

    Args:
        verdict: What allowed the request.
        present: Returns what the answer has in a field, or None.
    """
    if verdict is not None:
        for name, value in limit_fields(verdict.decisions).items():
            before = present(name)
            yield name, f"{before}, {value}" if before else value


def _detail(refused: Decision) -> str:
    wait = retry_after(refused).get("Retry-After")
    if wait is None:
        return f"{_TITLE} This costs more than the limit ever allows."
    return f"{_TITLE} Try again in {wait} s."
