"""`past="delay"`: messages and requests that are held until there is room."""

from __future__ import annotations

import asyncio
import time

import pytest

from headgate.contrib.asgi import ThrottleMiddleware
from headgate.contrib.asgi_types import Receive, Scope, Send
from headgate.limits import Charge, Limiter, Policy
from tests.contrib.clocks import Clock
from tests.contrib.sockets import Socket, echo, request, settled, ws_scope
from tests.steady import SteadyClock

KEY = "{192.0.2.7}"
SLOW = Policy("slow", "10/s:1", past="delay")  # one in 100 ms


def left_us(limiter: Limiter, policy: Policy = SLOW) -> int:
    """Return how far ahead of the present the key is."""
    decision = limiter.peek([Charge(policy, KEY)]).decisions[0]
    return decision.tat_us - decision.now_us


async def test_messages_come_later_and_in_order(real_limiter: Limiter) -> None:
    socket = Socket(ThrottleMiddleware(echo, "50/s:1", past="delay"))
    began = time.monotonic()
    socket.say(*"abcdef")
    await socket.count(6)

    assert socket.texts == list("abcdef")
    assert time.monotonic() - began >= 0.099  # five of them waited 20 ms each
    await socket.leave()


async def test_two_sockets_of_one_take_turns(real_limiter: Limiter) -> None:
    application = ThrottleMiddleware(echo, "50/s:1", past="delay")
    order: list[str] = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        async def noted() -> object:
            message = await receive()
            order.append(message.get("text", ""))
            return message

        await echo(scope, noted, send)  # type: ignore[arg-type]

    application.inner = noting
    first, second = Socket(application), Socket(application)
    await first.accepted()
    await second.accepted()
    first.say("a1", "a2", "a3")
    second.say("b1", "b2", "b3")
    await first.count(3)
    await second.count(3)
    said = [text for text in order if text]
    assert said == ["a1", "a2", "b1", "a3", "b2", "b3"]  # as they were read
    await first.leave()
    await second.leave()


async def test_a_held_client_is_read_no_further(limiter: Limiter) -> None:
    socket = Socket(ThrottleMiddleware(echo, SLOW))
    socket.say(*"abcdefgh")
    await socket.count(1)
    await settled()
    # `a` went through, `b` is held, and one was read to notice that the client goes.
    assert socket.unread == 5
    await socket.leave()


async def test_past_the_longest_wait_it_is_rejected(limiter: Limiter) -> None:
    application = ThrottleMiddleware(
        echo, "10/s:1", past="delay", max_wait_seconds=0.15, name="slow"
    )
    # The clock stands still, so places are not given back.
    sockets = [Socket(application) for _ in range(3)]
    for socket in sockets:
        await socket.accepted()
        socket.say("hi")
        await asyncio.sleep(0)
    await sockets[2].count(1)
    assert sockets[2].refusals == [
        {"error": "rate_limited", "policy": "slow", "retry_after_ms": 200},
    ]
    await sockets[1].count(1)
    assert sockets[1].texts == ["hi"]
    for socket in sockets:
        await socket.leave()


async def test_who_goes_while_waiting_gives_the_place_back(limiter: Limiter) -> None:
    socket = Socket(ThrottleMiddleware(echo, Policy("slow", "1/min", past="close")))
    await socket.leave()  # nothing was held

    hour = Policy("hour", "1/h", past="delay", longest_wait_seconds=3600)
    socket = Socket(ThrottleMiddleware(echo, hour))
    socket.say(*"ab")
    await socket.count(1)
    await settled()
    assert left_us(limiter, hour) == 2 * 3_600_000_000
    await socket.leave()  # at once, and not in an hour
    assert socket.texts == ["a"]
    assert left_us(limiter, hour) == 3_600_000_000


async def test_an_application_that_ends_gives_the_place_back(limiter: Limiter) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await receive()

    hour = Policy("hour", "1/h", past="delay", longest_wait_seconds=3600)
    socket = Socket(ThrottleMiddleware(application, hour))
    socket.say(*"ab")
    await socket.ended()
    assert left_us(limiter, hour) == 3_600_000_000


async def test_a_dry_run_holds_nothing(limiter: Limiter, steady: SteadyClock) -> None:
    application = ThrottleMiddleware(echo, "1/5s", past="delay", dry_run=True)
    socket = Socket(application)
    began = time.monotonic()
    socket.say(*"abcd")  # at 0, 5, 10 and 15 s, if it were no dry run
    await socket.count(4)
    assert steady.since(began) < 4
    assert limiter.refusals.totals["throttle (dry run)"] == 1  # past 10 s
    await socket.leave()


async def test_several_policies_delay_together(limiter: Limiter) -> None:
    slow = Policy("a", "10/s:1", past="delay")
    slower = Policy("b", "5/s:1", past="delay")
    socket = Socket(ThrottleMiddleware(echo, [slow, slower]))
    began = time.monotonic()
    socket.say(*"ab")
    await socket.count(2)
    assert time.monotonic() - began >= 0.199
    await socket.leave()


async def test_a_request_is_held_too(real_limiter: Limiter) -> None:
    bodies: list[bytes] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        bodies.append((await receive())["body"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    throttled = ThrottleMiddleware(application, "20/s:1", past="delay")
    began = time.monotonic()
    for number in range(3):
        answer = await request(throttled, body=b"%d" % number)
        assert answer.status == 200
    assert time.monotonic() - began >= 0.099
    assert bodies == [b"0", b"1", b"2"]


async def test_a_request_whose_client_goes_gives_the_place_back(
    limiter: Limiter,
) -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError

    hour = Policy("hour", "1/h", past="delay", longest_wait_seconds=3600)
    limiter.decide_one(hour, KEY)
    gone = asyncio.Event()
    asking = asyncio.create_task(request(ThrottleMiddleware(never, hour), gone=gone))
    await settled()
    assert left_us(limiter, hour) == 2 * 3_600_000_000
    gone.set()
    answer = await asking
    assert answer.messages == []
    assert left_us(limiter, hour) == 3_600_000_000


async def test_a_request_past_the_longest_wait_is_answered(
    limiter: Limiter, clock: Clock
) -> None:
    throttled = ThrottleMiddleware(echo, "1/min", past="delay")
    limiter.decide_one(Policy("throttle", "1/min"), KEY)
    assert (await request(throttled, ws_scope() | {"type": "http"})).status == 429
