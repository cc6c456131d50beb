"""Messages that have failed, as an application meets them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.client import (
    ClientClosed,
    Discarded,
    Expired,
    Outgoing,
    OutgoingStatus,
    Refused,
    Sent,
    Status,
)
from headgate.protocol import commands, pushes
from headgate.protocol.codes import Code
from tests.client.conftest import Connect
from tests.client.model_server import LIMIT_SECONDS, Fault, ModelServer, Peer, refusal


def sends(server: ModelServer) -> list[str]:
    return [each.text for each in server.seen if isinstance(each, commands.Send)]


def to_sends(server: ModelServer, fault: Fault | pushes.Error | None) -> None:
    """Have this befall each message from now on."""

    def hook(_: Peer, command: commands.Command) -> Fault | pushes.Error | None:
        return fault if isinstance(command, commands.Send) else None

    server.on_command = hook


async def outcome(of: Any) -> Any:
    async with asyncio.timeout(LIMIT_SECONDS):
        return (await asyncio.gather(of, return_exceptions=True))[0]


async def test_a_failed_message_stays_and_can_be_tried_again(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(keep_failed=True)
    to_sends(server, refusal(Code.MUTED))
    one = asyncio.ensure_future(ada.client.send("a", "one", client_id="c-1"))
    two = asyncio.ensure_future(ada.client.send("a", "two", client_id="c-2"))
    refused = await outcome(one)
    assert isinstance(refused, Refused)

    first, second = ada.client.outbox
    assert first == Outgoing("a", "c-1", "one", OutgoingStatus.FAILED, error=refused)
    assert second == Outgoing("a", "c-2", "two", OutgoingStatus.QUEUED)
    assert not two.done()

    with pytest.raises(Refused):
        await ada.client.retry("a", "c-1")
    assert sends(server) == ["one", "one"], "those behind it wait"
    assert ada.client.outbox[0].status == "failed"

    to_sends(server, None)
    again = await outcome(ada.client.retry("a", "c-1"))
    assert again == Sent(1, "2026-01-01T00:00:00Z", "c-1")
    assert isinstance(await outcome(two), Sent)
    assert server.texts("a") == ["one", "two"]
    assert ada.client.outbox == []


async def test_other_rooms_are_not_held_up(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(keep_failed=True)
    to_sends(server, refusal(Code.FORBIDDEN))
    assert isinstance(await outcome(ada.client.send("a", "one")), Refused)
    to_sends(server, None)
    assert isinstance(await outcome(ada.client.send("b", "two")), Sent)


async def test_a_failed_message_that_is_given_up_lets_the_next_go(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(keep_failed=True)
    to_sends(server, refusal(Code.MUTED))
    one = asyncio.ensure_future(ada.client.send("a", "one", client_id="c-1"))
    two = asyncio.ensure_future(ada.client.send("a", "two", client_id="c-2"))
    assert isinstance(await outcome(one), Refused)
    to_sends(server, None)

    given_up = ada.client.discard("a", "c-1")

    assert given_up is not None
    assert (given_up.text, given_up.status) == ("one", "failed")
    assert isinstance(await outcome(two), Sent)
    assert server.texts("a") == ["two"]
    assert ada.client.discard("a", "c-1") is None


async def test_what_waits_can_be_taken_back(
    server: ModelServer, connect: Connect
) -> None:
    """Also where nothing that failed is kept."""
    ada = await connect()
    to_sends(server, Fault.SILENCE)
    one = asyncio.ensure_future(ada.client.send("a", "one", client_id="c-1"))
    two = asyncio.ensure_future(ada.client.send("a", "two", client_id="c-2"))
    await server.until(lambda: sends(server))

    for client_id, status in (("c-2", "queued"), ("c-1", "sending")):
        given_up = ada.client.discard("a", client_id)
        assert given_up is not None
        assert given_up.status == status
    assert ada.client.discard("a", "c-1") is None

    first, second = await outcome(one), await outcome(two)
    assert isinstance(first, Discarded)
    assert isinstance(second, Discarded)
    assert (first.unanswered, second.unanswered) == (True, False)
    to_sends(server, None)
    server.cut_all()
    await ada.until(Status.ONLINE, times=2)
    assert isinstance(await outcome(ada.client.send("a", "three")), Sent)
    assert server.texts("a") == ["three"]


async def test_only_what_has_failed_is_tried_again(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(keep_failed=True)
    to_sends(server, Fault.SILENCE)
    one = asyncio.ensure_future(ada.client.send("a", "one", client_id="c-1"))
    await server.until(lambda: sends(server))
    for client_id in ("c-1", "unknown"):
        with pytest.raises(LookupError, match=client_id):
            await ada.client.retry("a", client_id)
    await ada.client.close()
    await outcome(one)
    with pytest.raises(ClientClosed):
        await ada.client.retry("a", "c-1")
    assert ada.client.discard("a", "c-1") is None


async def test_a_retry_that_is_cancelled_is_not_sent_again(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(
        keep_failed=True, min_backoff_seconds=60, max_backoff_seconds=60
    )
    to_sends(server, refusal(Code.MUTED))
    one = ada.client.send("a", "one", client_id="c-1")
    assert isinstance(await outcome(one), Refused)
    server.cut_all()
    await ada.until(Status.WAITING)
    again = asyncio.ensure_future(ada.client.retry("a", "c-1"))
    await asyncio.sleep(0)
    assert [each.status for each in ada.client.outbox] == ["queued"]
    again.cancel()
    await asyncio.wait([again])
    assert ada.client.outbox == []


async def test_who_is_cancelled_late_takes_nothing_from_who_tries_again(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(keep_failed=True)
    to_sends(server, refusal(Code.MUTED))
    one = asyncio.ensure_future(ada.client.send("a", "one", client_id="c-1"))
    await server.until(lambda: sends(server))
    while ada.client.outbox[0].error is None:  # noqa: ASYNC110 - step by step
        await asyncio.sleep(0)
    assert not one.done(), "`send` goes on in the next step"
    to_sends(server, None)
    again = asyncio.ensure_future(ada.client.retry("a", "c-1"))
    one.cancel()
    await asyncio.wait([one])
    assert isinstance(await outcome(again), Sent)


async def test_what_waits_for_too_long_fails(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(
        max_outbox_age_seconds=0.05,
        keep_failed=True,
        min_backoff_seconds=60,
        max_backoff_seconds=60,
        random=lambda: 1.0,
    )
    server.cut_all()
    await ada.until(Status.WAITING)

    expired = await outcome(ada.client.send("a", "one", client_id="c-1"))

    assert isinstance(expired, Expired)
    assert (expired.client_id, expired.unanswered) == ("c-1", False)
    assert [each.error for each in ada.client.outbox] == [expired]
    assert sends(server) == []


async def test_without_a_longest_age_all_is_waited_for(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(clock=iter(range(10**9)).__next__)
    assert isinstance(await outcome(ada.client.send("a", "one")), Sent)


async def test_an_answer_that_never_comes_is_not_waited_for_twice(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(max_outbox_age_seconds=0.05, reply_timeout_seconds=0.3)
    to_sends(server, Fault.SILENCE)

    expired = await outcome(ada.client.send("a", "one", client_id="c-1"))

    assert isinstance(expired, Expired)
    assert expired.unanswered
    await ada.until(Status.ONLINE, times=2)
    assert ada.client.outbox == []
    await ada.client.ping()
    assert sends(server) == ["one"]


async def test_what_was_saved_after_all_is_not_kept_as_failed(
    server: ModelServer, connect: Connect
) -> None:
    ada = await connect(
        max_outbox_age_seconds=0.05,
        keep_failed=True,
        min_backoff_seconds=0.5,
        max_backoff_seconds=0.5,
        random=lambda: 1.0,
    )
    to_sends(server, Fault.LOSE_REPLY)
    expired = await outcome(ada.client.send("a", "one", client_id="c-1"))
    assert isinstance(expired, Expired)
    assert expired.unanswered
    await ada.until(Status.ONLINE, times=2)
    assert ada.client.outbox == []
    assert server.texts("a") == ["one"]
