"""`ThrottleMiddleware` around plain ASGI applications: WebSockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from headgate.contrib import shared
from headgate.contrib.asgi import ThrottleMiddleware
from headgate.contrib.asgi_types import Message, Receive, Scope, Send
from headgate.limits import Decision, Limiter, MemoryStore, Policy
from headgate.limits.open_store import OpenStore
from tests.contrib.clocks import Clock
from tests.contrib.sockets import Socket, echo, settled, ws_scope

CLOSE = {
    "type": "websocket.close",
    "code": 4000,
    "reason": "Rate limit exceeded.",
}


class User:
    is_authenticated = True

    def __init__(self, pk: int) -> None:
        self.pk = self.id = pk


async def test_past_the_limit_it_closes(limiter: Limiter) -> None:
    socket = Socket(ThrottleMiddleware(echo, "3/s"))
    socket.say(*"abcde")
    await socket.ended()

    assert socket.texts == ["a", "b", "c"]
    assert socket.sent[-1] == CLOSE
    assert socket.sent.count(CLOSE) == 1


async def test_messages_are_counted_and_not_connections(
    limiter: Limiter, clock: Clock
) -> None:
    application = ThrottleMiddleware(echo, "3/s", past="reject")
    first = Socket(application)
    first.say(*"ab")
    await first.count(2)
    second = Socket(application)
    second.say(*"cd")
    await second.count(2)

    assert second.texts[0] == "c"
    assert len(second.refusals) == 1
    clock.move(1)
    first.say("e")
    await first.count(3)
    assert first.texts[-1] == "e"
    await first.leave()
    await second.leave()


async def test_the_application_is_told_that_the_client_is_gone(
    limiter: Limiter,
) -> None:
    read: list[Message] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        while not read or read[-1]["type"] != "websocket.disconnect":
            read.append(await receive())
        read.append(await receive())  # once more is once more the same
        await send({"type": "websocket.send", "text": "late"})
        await send({"type": "websocket.close"})

    socket = Socket(ThrottleMiddleware(application, "1/s"))
    socket.say(*"ab")
    await socket.ended()

    gone = {
        "type": "websocket.disconnect",
        "code": 4000,
        "reason": "Rate limit exceeded.",
    }
    assert [each["type"] for each in read[:2]] == [
        "websocket.connect",
        "websocket.receive",
    ]
    assert read[2:] == [gone, gone]
    assert socket.sent[1:] == [CLOSE]


async def test_what_has_closed_is_not_closed_again(limiter: Limiter) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    for past in ("close", "reject"):
        socket = Socket(ThrottleMiddleware(application, Policy("x", "1/s"), past=past))  # type: ignore[arg-type]
        socket.say(*"abc")
        await socket.leave()
        assert [each["type"] for each in socket.sent] == [
            "websocket.accept",
            "websocket.close",
        ]


async def test_a_client_that_is_gone_need_not_be_told(limiter: Limiter) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if message.get("text") or message["type"] == "websocket.close":
            raise OSError("the client is gone")
        sent.append(message)

    async def one(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "websocket.disconnect"

    messages = [
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "text": "b"},
        {"type": "websocket.disconnect", "code": 1006},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    application = ThrottleMiddleware(one, "1/min", past="reject")
    await application(ws_scope(), receive, send)
    assert messages == []


async def test_reject_says_why_and_when(limiter: Limiter, clock: Clock) -> None:
    socket = Socket(ThrottleMiddleware(echo, "2/s", past="reject", name="talk"))
    socket.say(*"abc")
    await socket.count(3)

    assert socket.texts[:2] == ["a", "b"]
    refusal = {"error": "rate_limited", "policy": "talk", "retry_after_ms": 500}
    assert json.loads(socket.texts[2]) == refusal
    clock.move(0.5)
    socket.say("d")
    await socket.count(4)
    assert socket.texts[3] == "d"
    await socket.leave()


def words(decision: Decision) -> str:
    return f"wait {decision.retry_after_ms}"


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ({"type": "error"}, '"type": "error"'),
        ({"error": "slow_down"}, '"error": "slow_down"'),
        (words, "wait 1000"),
        (lambda decision: {"left": decision.remaining}, '{"left": 0}'),
    ],
)
async def test_the_refusal_is_the_projects(
    limiter: Limiter, refusal: Any, said: str
) -> None:
    socket = Socket(ThrottleMiddleware(echo, "1/s", past="reject", refusal=refusal))
    socket.say(*"ab")
    await socket.count(2)
    assert said in socket.texts[1]
    await socket.leave()


async def test_drop_says_nothing(limiter: Limiter, clock: Clock) -> None:
    socket = Socket(ThrottleMiddleware(echo, "2/s", past="drop"))
    socket.say(*"abcdef")
    await socket.count(2)
    await settled()
    clock.move(1)
    socket.say("g")
    await socket.count(3)
    assert socket.texts == ["a", "b", "g"]
    await socket.leave()


async def test_a_dry_run_refuses_nothing_and_counts(limiter: Limiter) -> None:
    socket = Socket(ThrottleMiddleware(echo, "2/s", name="talk", dry_run=True))
    socket.say(*"abcde")
    await socket.count(5)

    assert limiter.refusals.totals["talk (dry run)"] == 3
    assert [each.dry_run for each in limiter.refusals.report()] == [True]
    await socket.leave()


async def test_all_of_several_rates_must_allow_it(
    limiter: Limiter, clock: Clock
) -> None:
    rates = ["2/s", Policy("hour", "3/h")]
    socket = Socket(ThrottleMiddleware(echo, rates, past="reject", name="talk"))
    socket.say(*"abc")
    await socket.count(3)
    assert socket.refusals[-1]["policy"] == "talk"
    clock.move(1)
    socket.say(*"de")  # the refused one cost the hour nothing
    await socket.count(5)
    assert socket.texts[3] == "d"
    assert socket.refusals[-1]["policy"] == "hour"
    await socket.leave()


async def test_the_arguments_of_the_recipe(limiter: Limiter, clock: Clock) -> None:
    socket = Socket(
        ThrottleMiddleware(echo, rate_limit=10, per_second=2, past="reject")
    )
    socket.say(*"abcdefghijk")
    await socket.count(11)
    assert socket.texts[:10] == list("abcdefghij")
    assert socket.refusals[0]["retry_after_ms"] == 200  # 10 in 2 s: one in 200 ms
    await socket.leave()

    plain = Socket(ThrottleMiddleware(echo), ws_scope("192.0.2.8"))  # one a second
    plain.say(*"ab")
    await plain.ended()
    assert plain.texts == ["a"]


async def test_key_user(limiter: Limiter) -> None:
    application = ThrottleMiddleware(echo, "1/s", past="reject")
    first, other = (Socket(application, ws_scope(user=User(pk))) for pk in (1, 2))
    again = Socket(application, ws_scope("192.0.2.99", user=User(1)))
    for socket in (first, other, again):
        socket.say("hi")
        await socket.count(1)

    assert [bool(each.refusals) for each in (first, other, again)] == [
        False,  # two people at one address have a limit each
        False,
        True,  # two sockets of one have one together
    ]
    for socket in (first, other, again):
        await socket.leave()


async def test_who_signs_in_later_is_counted_as_themselves(limiter: Limiter) -> None:
    socket = Socket(ThrottleMiddleware(echo, "1/s", past="reject"))
    socket.say("a")
    await socket.count(1)
    socket.scope["user"] = User(5)
    socket.say("b")
    await socket.count(2)
    assert socket.texts == ["a", "b"]
    await socket.leave()


async def test_key_connection(limiter: Limiter) -> None:
    application = ThrottleMiddleware(echo, "1/s", key="connection", past="reject")
    for _ in range(2):
        socket = Socket(application, ws_scope(user=User(1)))
        socket.say(*"ab")
        await socket.count(2)
        assert socket.texts[0] == "a"
        assert socket.refusals
        await socket.leave()


async def test_key_address(limiter: Limiter) -> None:
    application = ThrottleMiddleware(echo, "1/s", key="address", past="reject")
    for number, expected in ((1, []), (2, [1])):
        socket = Socket(application, ws_scope(user=User(number)))
        socket.say("a")
        await socket.count(1)
        assert [1 for _ in socket.refusals] == expected
        await socket.leave()


async def test_key_function(limiter: Limiter) -> None:
    def room(scope: Scope) -> str | None:
        return None if scope["path"] == "/staff" else f"room:{scope['path']}"

    application = ThrottleMiddleware(echo, "1/s", key=room, past="reject")
    staff = Socket(application, ws_scope(path="/staff"))
    staff.say(*"abc")
    await staff.count(3)
    assert staff.texts == ["a", "b", "c"]
    await staff.leave()
    first = Socket(application, ws_scope("192.0.2.1", path="/a"))
    second = Socket(application, ws_scope("192.0.2.2", path="/a"))
    first.say("a")
    await first.count(1)
    second.say("b")
    await second.count(1)
    assert second.refusals
    await first.leave()
    await second.leave()


async def test_a_key_that_is_no_text_says_so(limiter: Limiter) -> None:
    application = ThrottleMiddleware(echo, "1/s", key=lambda _: 5)  # type: ignore[arg-type, return-value]
    socket = Socket(application)
    socket.say("a")
    with pytest.raises(TypeError, match="returned 5"):
        await socket.ended()


async def test_addresses_are_seen_through_ones_own_proxies(
    limiter: Limiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = shared.LimitSettings(trusted_proxies=1)
    monkeypatch.setattr("headgate.contrib.keys.settings_in_force", lambda: settings)
    application = ThrottleMiddleware(echo, "1/s", past="reject")
    for address, refused in (("198.51.100.1", 0), ("198.51.100.2", 0)):
        headers = [(b"x-forwarded-for", f"203.0.113.9, {address}".encode())]
        socket = Socket(application, ws_scope(headers=headers))
        socket.say("a")
        await socket.count(1)
        assert len(socket.refusals) == refused
        await socket.leave()


async def test_switched_off_nothing_is_limited() -> None:
    shared.use_limiter(Limiter(OpenStore()))
    try:
        socket = Socket(ThrottleMiddleware(echo, "1/s"))
        socket.say(*"abcdef")
        await socket.count(6)
        await socket.leave()
    finally:
        shared.use_limiter(None)


async def test_a_limiter_of_ones_own(limiter: Limiter, clock: Clock) -> None:
    own = Limiter(MemoryStore(clock=clock))
    socket = Socket(ThrottleMiddleware(echo, "1/s", limiter=own))
    socket.say(*"ab")
    await socket.ended()
    assert own.refusals.totals["throttle"] == 1
    assert not limiter.refusals.totals


async def test_lifespan_and_what_else_there_is_passes_untouched() -> None:
    seen: list[tuple[Any, Any, Any]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    throttled = ThrottleMiddleware(application, "1/s")
    for kind in ("lifespan", "channel"):
        scope = {"type": kind}
        await throttled(scope, receive, send)
        assert seen.pop() == (scope, receive, send)


async def test_a_cancelled_receive_loses_nothing(real_limiter: Limiter) -> None:
    """As with the servers' own: an application may read with a timeout."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            try:
                async with asyncio.timeout(0.02):
                    message = await receive()
            except TimeoutError:
                continue
            if message["type"] == "websocket.disconnect":
                return
            await send({"type": "websocket.send", "text": message["text"]})

    socket = Socket(ThrottleMiddleware(application, "10/s:1", past="delay"))
    socket.say(*"abcd")
    await socket.count(4)
    assert socket.texts == list("abcd")
    await socket.leave()
