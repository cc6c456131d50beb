"""`ThrottleMiddleware` around plain ASGI applications: requests over HTTP."""

from __future__ import annotations

import json

import pytest

from headgate.contrib.asgi import ThrottleMiddleware
from headgate.contrib.asgi_types import Receive, Scope, Send
from headgate.limits import Limiter, Policy
from tests.contrib.clocks import Clock
from tests.contrib.sockets import Socket, echo, request, ws_scope


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
        return
    headers = [(b"content-type", b"text/plain"), (b"ratelimit", b'"own";r=1')]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.mark.parametrize("past", ["close", "reject", "drop"])
async def test_past_the_limit_a_request_is_answered_with_429(
    limiter: Limiter, past: str
) -> None:
    application = ThrottleMiddleware(hello, "2/10s", past=past, name="site")  # type: ignore[arg-type]
    assert [(await request(application)).status for _ in range(2)] == [200, 200]
    refused = await request(application)

    assert refused.status == 429
    assert refused.headers == {
        "content-type": "application/problem+json",
        "content-length": str(len(refused.body)),
        "cache-control": "no-store",
        "retry-after": "5",
        "ratelimit-policy": '"site";q=2;w=10;headgate-burst=2',
        "ratelimit": '"site";r=0;t=5',
    }
    assert json.loads(refused.body) == {
        "type": "urn:headgate:error:rate_limited",
        "title": "Too fast.",
        "status": 429,
        "detail": "Too fast. Try again in 5 s.",
        "code": "rate_limited",
        "number": 400,
        "policy": "site",
        "retry_after_ms": 5000,
        "remaining": 0,
    }


async def test_the_problem_is_that_of_the_chat() -> None:
    """Two ways to say the same thing would be one too many."""
    from headgate.contrib.answers import problem_body
    from headgate.limits import MemoryStore
    from headgate.protocol.codes import ERRORS, Code

    slow = Policy("slow", "1/min")
    store = MemoryStore(clock=Clock())
    store.decide_one(slow, "a")
    said = json.loads(problem_body(store.decide_one(slow, "a")))
    info = ERRORS[Code.RATE_LIMITED]
    assert (said["code"], said["number"]) == (Code.RATE_LIMITED, info.number)
    assert (said["title"], said["status"]) == (info.text, info.http)


async def test_a_good_answer_tells_what_is_left(limiter: Limiter) -> None:
    answer = await request(ThrottleMiddleware(hello, "5/min", name="site"))
    assert answer.body == b"hello"
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["ratelimit"] == '"own";r=1, "site";r=4;t=12'


async def test_a_dry_run_tells_nothing(limiter: Limiter) -> None:
    application = ThrottleMiddleware(hello, "1/min", dry_run=True)
    for _ in range(3):
        answer = await request(application)
        assert answer.status == 200
        assert "ratelimit-policy" not in answer.headers
    assert limiter.refusals.totals["throttle (dry run)"] == 2


async def test_requests_and_messages_are_counted_together(limiter: Limiter) -> None:
    application = ThrottleMiddleware(hello, "2/min", past="reject")
    socket = Socket(application)
    socket.say("a")
    await socket.count(1)
    assert (await request(application)).status == 200
    socket.say("b")
    await socket.count(2)
    assert socket.refusals
    assert (await request(application)).status == 429
    await socket.leave()


async def test_a_request_has_no_connection_of_its_own(limiter: Limiter) -> None:
    application = ThrottleMiddleware(hello, "1/min", key="connection")
    assert (await request(application)).status == 200
    assert (await request(application)).status == 429
    assert (await request(application, {"client": ("192.0.2.8", 1)})).status == 200


async def test_who_is_not_limited(limiter: Limiter) -> None:
    application = ThrottleMiddleware(hello, "1/min", key=lambda _: None)
    for _ in range(3):
        answer = await request(application, ws_scope() | {"type": "http"})
        assert answer.headers["ratelimit"] == '"own";r=1'
