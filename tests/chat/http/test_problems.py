"""Errors over HTTP: each code with its status, and nothing lost on the way."""

from __future__ import annotations

import json

import pytest

from headgate.chat.http.problems import problem, problem_body, problem_headers
from headgate.protocol.codec import error
from headgate.protocol.codes import ERRORS, Code


@pytest.mark.parametrize("code", list(Code))
def test_each_code_is_a_problem(code: Code) -> None:
    response = problem(error(code, "What to do."))

    said = json.loads(response.content)
    assert response.status_code == said["status"] == ERRORS[code].http
    assert response["Content-Type"] == "application/problem+json"
    assert response["Cache-Control"] == "no-store"
    assert said == {
        "type": f"urn:headgate:error:{code}",
        "title": ERRORS[code].text,
        "status": ERRORS[code].http,
        "detail": "What to do.",
        "code": code.value,
        "number": ERRORS[code].number,
    }


def test_it_has_all_that_the_error_has() -> None:
    failure = error(
        Code.RATE_LIMITED,
        field="text",
        policy="send",
        retry_after_ms=730,
        remaining=0,
        client_id="c-1",
    )

    said = json.loads(problem_body(failure))

    for name in ("field", "policy", "retry_after_ms", "remaining", "client_id"):
        assert said[name] == getattr(failure, name)


def test_a_status_of_http_alone() -> None:
    response = problem(error(Code.UNKNOWN_COMMAND), status=405)

    assert response.status_code == json.loads(response.content)["status"] == 405


@pytest.mark.parametrize(
    ("retry_after_ms", "seconds"),
    [(1, "1"), (730, "1"), (1000, "1"), (1001, "2"), (90_000, "90"), (90_001, "91")],
)
def test_whole_seconds_that_are_enough(retry_after_ms: int, seconds: str) -> None:
    failure = error(Code.OVERLOADED, retry_after_ms=retry_after_ms)

    assert problem_headers(failure)["Retry-After"] == seconds


def test_without_a_time_there_is_none() -> None:
    assert "Retry-After" not in problem_headers(error(Code.FORBIDDEN))
