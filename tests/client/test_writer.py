"""Pacing and the outbox as an application meets them, over real sockets."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from headgate.client import Allowance, Limit, Outgoing, OutgoingStatus, Status
from headgate.limits.policy import Policy
from headgate.protocol import commands, pushes
from headgate.protocol.codes import Code
from tests.client.conftest import Connect, Visit
from tests.client.limited_server import LimitedServer
from tests.client.model_server import LIMIT_SECONDS, Fault, ModelServer, refusal
from tests.client.model_site import Answer, ModelSite

LIMITS = [
    Policy("command", "100/s:60"),
    Policy("send", "20/s:5"),
    Policy("send.all", "40/s:8"),
    Policy("typing", "1/s"),
]


def sends(server: ModelServer) -> list[commands.Send]:
    return [each for each in server.seen if isinstance(each, commands.Send)]


async def gathered(*sent: Any) -> list[Any]:
    async with asyncio.timeout(LIMIT_SECONDS):
        return list(await asyncio.gather(*sent))


async def test_a_burst_meets_no_limit(server: ModelServer, connect: Connect) -> None:
    server.limited = LimitedServer(LIMITS)
    ada = await connect(rooms=["a", "b"])

    await gathered(*(ada.client.send(room, str(n)) for n in range(25) for room in "ab"))

    assert server.limited.refusals == {}
    assert server.texts("a") == server.texts("b") == [str(n) for n in range(25)]
    assert len(sends(server)) == 50


async def test_two_connections_of_one_person_lose_nothing(
    server: ModelServer, connect: Connect
) -> None:
    server.limited = LimitedServer(LIMITS)
    ada, again = await connect(rooms=["a"]), await connect(rooms=["a"])

    await gathered(
        *(
            each.client.send("a", f"{i}-{n}")
            for n in range(12)
            for i, each in enumerate((ada, again))
        )
    )

    for i in range(2):
        own = [text for text in server.texts("a") if text.startswith(f"{i}-")]
        assert own == [f"{i}-{n}" for n in range(12)]
    assert len(server.texts("a")) == 24


async def test_other_commands_wait_for_their_turn_too(
    server: ModelServer, connect: Connect
) -> None:
    server.limited = LimitedServer(
        [Policy("command", "20/s:5"), Policy("history", "10/s:3")]
    )
    ada = await connect(rooms=["a"])

    await gathered(*(ada.client.history("a") for _ in range(8)))
    await gathered(*(ada.client.join(room) for room in "bcdefgh"))

    assert server.limited.refusals == {}


async def test_what_is_given_up_keeps_no_place(
    server: ModelServer, connect: Connect
) -> None:
    """A limit that forgot to give places back would be used up for good."""
    server.limited = LimitedServer([Policy("history", "50/s:2")])
    server.on_command = lambda _, command: (
        Fault.SILENCE if isinstance(command, commands.History) else None
    )
    ada = await connect(rooms=["a"])
    for _ in range(4):
        asked = asyncio.ensure_future(ada.client.history("a"))
        count = len(server.seen)
        await server.until(lambda count=count: len(server.seen) > count)
        asked.cancel()
        await asyncio.wait([asked])
    server.on_command = lambda *_: None

    await gathered(ada.client.history("a"))


async def test_what_is_known_of_limits(server: ModelServer, connect: Connect) -> None:
    server.limited = LimitedServer(LIMITS)
    ada = await connect(rooms=["a"])

    await gathered(*(ada.client.send("a", str(n)) for n in range(5)))

    found = {(each.policy, each.room): each for each in ada.client.limits}
    assert isinstance(found["send", "a"], Limit)
    assert found["send", "a"].burst == 5
    assert found["send.all", None].per_second == 40
    left = ada.client.allowance("a")
    assert isinstance(left, Allowance)
    assert left.remaining < 5
    assert ada.client.allowance("elsewhere").remaining > left.remaining
    with pytest.raises(ValueError, match="names no room"):
        ada.client.allowance("no room")


async def test_an_id_begins_with_the_time(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    before_ms = time.time_ns() // 1_000_000

    await gathered(ada.client.send("a", "one"), ada.client.send("a", "two"))

    ids = [each.client_id or "" for each in sends(server)]
    times = [int(each.partition("-")[0], 16) for each in ids]
    assert before_ms <= min(times) <= max(times) <= time.time_ns() // 1_000_000
    assert len({each.partition("-")[2] for each in ids}) == 2


async def test_the_outbox_says_what_each_message_does(
    server: ModelServer, connect: Connect
) -> None:
    server.limited = LimitedServer([Policy("send", "1/10s:1")])
    ada = await connect(rooms=["a"], min_backoff_seconds=60, max_backoff_seconds=60)
    await gathered(ada.client.send("a", "zero"))
    server.on_command = lambda _, command: (
        Fault.SILENCE if isinstance(command, commands.Send) else None
    )
    waiting = [
        asyncio.ensure_future(ada.client.send("a", "one", client_id="c-1")),
        asyncio.ensure_future(ada.client.delete("a", 1)),
        asyncio.ensure_future(ada.client.send("b", "two", client_id="c-2")),
    ]
    await server.until(lambda: sends(server)[-1].room == "b")

    first, second, third = ada.client.outbox
    assert first == Outgoing(
        "a", "c-1", "one", OutgoingStatus.WAITING, first.not_before, "send"
    )
    assert 8 < first.not_before - time.monotonic() <= 10.1
    assert second == Outgoing("a", None, None, OutgoingStatus.QUEUED)
    assert third == Outgoing("b", "c-2", "two", OutgoingStatus.SENDING)
    left = ada.client.allowance("a")
    assert (left.remaining, left.policy) == (0, "send")
    assert left.wait_seconds > 18, "what waits already goes before"
    assert ada.client.allowance("b").remaining == 0

    server.cut_all()
    await ada.until(Status.WAITING)
    assert [each.status for each in ada.client.outbox] == ["queued"] * 3
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
    assert ada.client.outbox == []


async def test_without_a_connection_all_is_queued(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"], min_backoff_seconds=60, max_backoff_seconds=60)
    server.cut_all()
    await ada.until(Status.WAITING)
    sending = asyncio.ensure_future(ada.client.send("a", "x"))
    await asyncio.sleep(0)
    assert [each.status for each in ada.client.outbox] == ["queued"]
    sending.cancel()
    await asyncio.wait([sending])
    assert ada.client.outbox == []


async def test_a_busy_server_is_waited_for_too(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    server.on_command = lambda _, command: (
        refusal(Code.OVERLOADED, retry_after_ms=60_000)
        if isinstance(command, commands.Send)
        else None
    )
    sending = asyncio.ensure_future(ada.client.send("a", "x"))
    await server.until(lambda: sends(server))
    await ada.client.ping()  # the refusal has arrived
    (found,) = ada.client.outbox
    assert (found.status, found.policy) == ("waiting", None)
    sending.cancel()
    await asyncio.wait([sending])


async def test_a_hint_of_nothing_does_not_make_a_flood(
    server: ModelServer, connect: Connect
) -> None:
    """At least 100 ms after each refusal, and not at the same moment as others."""
    ada = await connect(rooms=["a"], random=lambda: 1.0)
    refusals = [refusal(Code.RATE_LIMITED, retry_after_ms=1, policy="send")] * 2
    server.on_command = lambda _, command: (
        refusals.pop() if isinstance(command, commands.Send) and refusals else None
    )
    began = time.monotonic()
    await gathered(ada.client.send("a", "x"))
    assert time.monotonic() - began >= 2 * (0.1 + 0.25)


async def test_slow_mode_is_kept_from_the_join_on(
    server: ModelServer, connect: Connect
) -> None:
    server.slow_mode_ms = dict.fromkeys("ab", 30_000)
    server.moderators_of = {"b"}
    ada = await connect(rooms=["a", "b"])
    for room in "ab":
        await gathered(ada.client.send(room, "x"))
    assert ada.client.allowance("a").policy == "slow_mode"
    assert ada.client.allowance("b").policy is None

    sending = asyncio.ensure_future(ada.client.send("a", "y"))
    await asyncio.sleep(0)
    server.push_all(pushes.RoomChanged(room="a", slow_mode_ms=0))
    await gathered(sending)
    assert server.texts("a") == ["x", "y"]


async def test_a_new_welcome_is_believed(server: ModelServer, connect: Connect) -> None:
    """What was waited for is not, once the server says that it is over."""
    server.limited = LimitedServer([Policy("send", "1/h:2")])
    ada = await connect(rooms=["a"])
    await gathered(*(ada.client.send("a", str(n)) for n in range(2)))
    sending = asyncio.ensure_future(ada.client.send("a", "later"))
    await asyncio.sleep(0)
    server.limited = LimitedServer([Policy("send", "1/s:2")])
    server.cut_all()
    await gathered(sending)
    assert server.texts("a") == ["0", "1", "later"]


async def test_answers_over_http_are_learnt_from(site: ModelSite, visit: Visit) -> None:
    site.chat.limited = LimitedServer([Policy("send", "1/s:10")])
    ada = await visit(rooms=["a"])
    path = "/api/v1/rooms/a/messages"
    fields = {
        "RateLimit-Policy": '"send";q=1;w=60;headgate-burst=1',
        "RateLimit": '"send";r=0;t=60',
    }
    for status, headers in ((429, {**fields, "Retry-After": "60"}), (201, fields)):
        site.answers[path].append(Answer(status, headers))
    own = {
        "RateLimit-Policy": '"send.all";q=1;w=60;headgate-burst=1',
        "RateLimit": '"send.all";r=0;t=60',
    }
    site.answers["/own"].append(Answer(200, own))

    await ada.client.http.get("/own")
    assert ada.client.allowance("a").policy is None, "a limit of the project's own"
    answer = await ada.client.http.post(path, json={"text": "x"})
    assert answer.status_code == 429
    left = ada.client.allowance("a")
    assert left.policy == "send"
    assert 58 < left.wait_seconds <= 61
    assert ada.client.allowance("b").policy is None


async def test_typing_is_throttled_and_marks_are_gathered(
    server: ModelServer, connect: Connect
) -> None:
    server.limited = LimitedServer(LIMITS)
    ada = await connect(rooms=["a"])
    for seq in range(20):
        ada.client.typing("a")
        ada.client.read("a", seq)
    await server.until(lambda: isinstance(server.seen[-1], commands.Read))

    said = [c for c in server.seen if isinstance(c, commands.Typing | commands.Read)]
    assert [type(each) for each in said] == [commands.Typing, commands.Read]
    assert said[1].seq == 19


async def test_typing_without_a_connection_is_lost_and_a_mark_is_not(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"], min_backoff_seconds=0.2, max_backoff_seconds=0.2)
    server.cut_all()
    await ada.until(Status.WAITING)
    ada.client.typing("a")
    for seq in (3, 5):
        ada.client.read("a", seq)
    await server.until(lambda: isinstance(server.seen[-1], commands.Read))

    said = [c for c in server.seen if isinstance(c, commands.Typing | commands.Read)]
    assert [getattr(each, "seq", None) for each in said] == [5]


async def test_a_mark_whose_answer_is_lost_goes_again(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    drops = [Fault.DROP]
    server.on_command = lambda _, command: (
        drops.pop() if isinstance(command, commands.Read) and drops else None
    )
    ada.client.read("a", 7)
    await server.until(
        lambda: [c.seq for c in server.seen if isinstance(c, commands.Read)] == [7, 7]
    )
    assert ada.times(Status.ONLINE) == 2


async def test_a_refused_mark_is_told_to_the_log(
    server: ModelServer, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    ada = await connect(rooms=["a"])
    refusals = [refusal(Code.FORBIDDEN), refusal(Code.OVERLOADED, retry_after_ms=1)]
    server.on_command = lambda _, command: (
        refusals.pop() if isinstance(command, commands.Read) and refusals else None
    )
    ada.client.read("a", 7)
    await server.until(lambda: not refusals)
    await ada.client.ping()
    await ada.client.ping()
    assert "Read mark in a refused: forbidden" in caplog.text
    with pytest.raises(ValueError, match="no seq"):
        ada.client.read("a", -1)


async def test_marks_go_before_leaving_and_before_the_end(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a", "b"])
    ada.client.read("a", 1)
    ada.client.read("b", 2)
    await ada.client.leave("a")
    await ada.client.close()

    kinds = (commands.Read, commands.Leave)
    said = [each for each in server.seen if isinstance(each, kinds)]
    assert [(type(each), each.room) for each in said] == [
        (commands.Read, "a"),
        (commands.Leave, "a"),
        (commands.Read, "b"),
    ]


async def test_an_end_does_not_wait_for_a_server_that_says_nothing(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(rooms=["a"])
    server.on_command = lambda *_: Fault.SILENCE
    ada.client.read("a", 1)
    async with asyncio.timeout(5):
        await ada.client.close()
