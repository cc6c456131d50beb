"""Errors over HTTP: the wire's codes as problem+json (RFC 9457)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from django.http import HttpResponse
from msgspec import Struct

from headgate.limits.decision import Decision
from headgate.protocol.codec import encode
from headgate.protocol.codes import ERRORS, Code
from headgate.protocol.pushes import Error

__all__ = [
    "PROBLEM",
    "Problem",
    "Refusal",
    "problem",
    "problem_body",
    "problem_headers",
    "problem_of",
]

PROBLEM = "application/problem+json"


class Problem(Struct, kw_only=True, omit_defaults=True):
    """Why a request was refused.

    `type`, `title`, `status` and `detail` are those of RFC 9457; the others are those
    of an error over a WebSocket. `code` names the error for programs, `detail` says
    it to people, and `field` names what to mend.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    number: int
    field: str | None = None
    policy: str | None = None
    retry_after_ms: int | None = None
    remaining: int | None = None
    client_id: str | None = None


class Refusal(Exception):  # noqa: N818 - an answer, not a fault
    """A request is refused, with this error of the wire.

    `status` is given where HTTP has one that says it better than the code's own, and
    `decisions` where limits have decided it.
    """

    def __init__(
        self,
        failure: Error,
        *,
        status: int | None = None,
        decisions: Sequence[Decision] = (),
    ) -> None:
        super().__init__(failure.code)
        self.error = failure
        self.status = status
        self.decisions = decisions


def problem(failure: Error, *, status: int | None = None) -> HttpResponse:
    """Return an error as the answer to a request."""
    response = HttpResponse(
        problem_body(failure, status=status),
        status=status or ERRORS[Code(failure.code)].http,
        content_type=PROBLEM,
    )
    for name, value in problem_headers(failure).items():
        response[name] = value
    return response


def problem_body(failure: Error, *, status: int | None = None) -> bytes:
    """Return the JSON of an error."""
    return encode(problem_of(failure, status=status))


def problem_of(failure: Error, *, status: int | None = None) -> Problem:
    """Return an error as the body of an answer has it."""
    info = ERRORS[Code(failure.code)]
    return Problem(
        type=f"urn:headgate:error:{failure.code}",
        title=info.text,
        status=status or info.http,
        detail=failure.text,
        code=failure.code,
        number=info.number,
        field=failure.field,
        policy=failure.policy,
        retry_after_ms=failure.retry_after_ms,
        remaining=failure.remaining,
        client_id=failure.client_id,
    )


def problem_headers(failure: Error) -> dict[str, str]:
    """Return the headers that go with an error.

    `Retry-After` has whole seconds (RFC 9110, section 10.2.3): rounded up, at least 1.
    """
    headers = {"Cache-Control": "no-store"}
    if failure.retry_after_ms is not None:
        headers["Retry-After"] = str(max(1, math.ceil(failure.retry_after_ms / 1000)))
    return headers
