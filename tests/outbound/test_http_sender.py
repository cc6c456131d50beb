"""The sender against a receiver that is as nasty as it can be."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from importlib.metadata import version
from urllib.parse import quote

import pytest
from pytest_django import Settings
from standardwebhooks import Webhook

from headgate.outbound import kept_connections, lookups
from headgate.outbound.calls import Outcome
from headgate.outbound.http_sender import HttpSender
from tests.outbound.calling import SECRET, call_of
from tests.outbound.receiver import GIGABYTE, Receiver

NOW = 1_796_000_000.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
async def sender(settings: Settings) -> AsyncIterator[HttpSender]:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.1/32"]}
    made = HttpSender()
    yield made
    await made.close()


async def outcome_of(
    sender: HttpSender, receiver: Receiver, mode: str, *, seconds: float = 10
) -> Outcome:
    return await sender.send(call_of(receiver.url(mode), timeout_seconds=seconds))


# --- what is sent -----------------------------------------------------------------


async def test_a_call_is_a_signed_post(sender: HttpSender, receiver: Receiver) -> None:
    outcome = await sender.send(call_of(receiver.url("200?key=1"), id="d-1"))

    assert (outcome.result, outcome.status, outcome.error) == ("delivered", 200, "")
    assert 0 < outcome.service_seconds < 5
    (came,) = receiver.received
    assert came.id == "d-1"
    assert came.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert came.headers["user-agent"] == f"Headgate/{version('headgate')}"
    assert came.headers["accept-encoding"] == "identity"
    assert came.headers["content-type"] == "application/json"
    assert abs(float(came.headers["webhook-timestamp"]) - time.time()) < 30
    body = Webhook(SECRET).verify(came.body, came.headers)
    assert body["type"] == "room.message"
    assert body["data"]["text"] == "hi"


async def test_without_a_secret_a_call_has_no_signature(
    sender: HttpSender, receiver: Receiver
) -> None:
    outcome = await sender.send(call_of(receiver.url("200"), secrets=()))

    assert outcome.result == "delivered"
    assert "webhook-signature" not in receiver.received[0].headers


async def test_a_secret_that_is_none_refuses_the_call(
    sender: HttpSender, receiver: Receiver
) -> None:
    outcome = await sender.send(call_of(receiver.url("200"), secrets=("hunter2",)))

    assert outcome.result == "refused"
    assert "hunter2" not in outcome.error
    assert receiver.connections == 0


# --- what comes back --------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "result"),
    [
        ("200", "delivered"),
        ("201", "delivered"),
        ("202", "delivered"),
        ("300", "failed"),
        ("304", "failed"),
        ("400", "failed"),
        ("401", "failed"),
        ("403", "failed"),
        ("404", "failed"),
        ("408", "failed"),
        ("410", "gone"),
        ("422", "failed"),
        ("425", "failed"),
        ("429", "throttled"),
        ("500", "failed"),
        ("502", "failed"),
        ("503", "failed"),
        ("503?after=5", "throttled"),
        ("503?after=soon", "failed"),
        ("504", "failed"),
        ("599", "failed"),
        ("abort", "refused"),
    ],
)
async def test_each_status_has_its_result(
    sender: HttpSender, receiver: Receiver, mode: str, result: str
) -> None:
    outcome = await outcome_of(sender, receiver, mode)

    assert outcome.result == result
    assert str(outcome.status).startswith(mode[0]) or mode == "abort"
    assert (outcome.error == "") == (result == "delivered")


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        (["120"], 120),
        (["0"], 0),
        ([" 7 "], 7),
        ([formatdate(NOW + 90, usegmt=True)], 90),
        ([formatdate(NOW - 90, usegmt=True)], 0),
        ([time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(NOW + 90))], 90),
        ([time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(NOW + 90))], 90),
        (["999999999999999999999"], 86_400),
        (["5", "60"], 60),
        (["5", "soon"], 5),
        (["-5"], None),
        (["1.5"], None),
        (["5, 60"], None),
        (["soon"], None),
        ([""], None),
    ],
)
@pytest.mark.parametrize("status", [429, 500])
async def test_each_form_of_retry_after_is_understood(
    receiver: Receiver,
    settings: Settings,
    status: int,
    after: list[str],
    seconds: float | None,
) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.1/32"]}
    sender = HttpSender(clock=lambda: NOW)
    query = "&".join(f"after={quote(each)}" for each in after)
    outcome = await outcome_of(sender, receiver, f"{status}?{query}")
    await sender.close()

    assert outcome.result == ("throttled" if status == 429 else "failed")
    assert outcome.retry_after_seconds == seconds


async def test_redirects_are_not_followed(
    sender: HttpSender, receiver: Receiver
) -> None:
    with Receiver() as other:
        itself = await outcome_of(sender, receiver, "redirect")
        away = await outcome_of(
            sender, receiver, f"redirect?to={quote(other.url('200'), safe='')}"
        )
        reached = other.connections

    assert (itself.result, itself.status) == ("failed", 302)
    assert (away.result, away.status) == ("failed", 302)
    assert "not followed" in away.error
    assert len(receiver.received) == 2
    assert reached == 0


async def test_a_name_that_must_wait_was_no_attempt(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many others are looked up as may be: that is not the service's fault."""
    monkeypatch.setattr(lookups, "MAX_LOOKUPS", 0)
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.1/32"]}
    sender = HttpSender(resolve=lambda _: ["127.0.0.1"])
    url = receiver.url("200", host="a.test")
    outcome = await sender.send(call_of(url))
    monkeypatch.setattr(lookups, "MAX_LOOKUPS", 1)
    again = await sender.send(call_of(url))
    await sender.close()

    assert (outcome.result, outcome.retry_after_seconds) == ("throttled", 1.0)
    assert "a.test was not looked up yet" in outcome.error
    assert again.result == "delivered"


# --- what hangs, drips and floods ---------------------------------------------------


@pytest.mark.parametrize("mode", ["hang", "drip"])
async def test_all_of_a_call_has_one_time_limit(
    sender: HttpSender, receiver: Receiver, mode: str
) -> None:
    started = time.monotonic()
    outcome = await outcome_of(sender, receiver, mode, seconds=1.5)
    took = time.monotonic() - started

    assert (outcome.result, outcome.status) == ("failed", None)
    assert outcome.error == "No answer within 1.5 s."
    assert 1.4 < took < 6
    assert outcome.service_seconds == pytest.approx(took, abs=0.5)


async def test_an_answer_counts_even_if_the_rest_drips(
    sender: HttpSender, receiver: Receiver
) -> None:
    started = time.monotonic()
    outcome = await outcome_of(sender, receiver, "200-drip", seconds=1.5)

    assert outcome.result == "delivered"
    assert time.monotonic() - started < 6


async def test_of_a_gigabyte_little_is_read(
    sender: HttpSender, receiver: Receiver
) -> None:
    outcome = await outcome_of(sender, receiver, "200-big")

    assert outcome.result == "delivered"
    await asyncio.sleep(0.2)  # the receiver would go on, if it could
    # What the kernels hold between the two is not what was read.
    assert receiver.sent_bytes["/200-big"] < GIGABYTE / 50


async def test_of_many_pieces_few_are_read(
    sender: HttpSender, receiver: Receiver
) -> None:
    """Each takes its time, however little is in it: as of a gigabyte, no more."""
    receiver.answers("hook", "200-crumbs", "200")
    results = [
        (await sender.send(call_of(receiver.url("hook")))).result for _ in range(2)
    ]

    assert results == ["delivered", "delivered"]
    assert receiver.connections == 2


async def test_an_answer_that_is_always_to_come_is_not_waited_for(
    sender: HttpSender, receiver: Receiver
) -> None:
    outcome = await outcome_of(sender, receiver, "100-ever", seconds=60)

    assert outcome.result == "failed"
    assert outcome.error == "The connection broke off."
    assert receiver.sent_bytes["/100-ever"] < GIGABYTE / 50


async def test_nothing_is_inflated(sender: HttpSender, receiver: Receiver) -> None:
    started = time.process_time()
    outcome = await outcome_of(sender, receiver, "bomb")

    assert outcome.result == "delivered"
    assert time.process_time() - started < 0.5
    assert receiver.received[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("mode", ["reset", "close", "garbage"])
async def test_a_connection_that_breaks_is_a_failure(
    sender: HttpSender, receiver: Receiver, mode: str
) -> None:
    outcome = await outcome_of(sender, receiver, mode)

    assert (outcome.result, outcome.status) == ("failed", None)
    assert "connection" in outcome.error.lower()


async def test_nobody_who_listens_is_a_failure(sender: HttpSender) -> None:
    with Receiver() as gone:
        url = gone.url("200?token=hidden")
    outcome = await sender.send(call_of(url))

    assert outcome.result == "failed"
    assert outcome.error == "127.0.0.1 could not be reached: connection refused."


@pytest.mark.parametrize(
    "mode", ["500?token=hidden", "hang?token=hidden", "reset?token=hidden"]
)
async def test_errors_tell_nothing_of_the_query_or_a_secret(
    sender: HttpSender,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    mode: str,
) -> None:
    outcome = await outcome_of(sender, receiver, mode, seconds=1)

    assert outcome.result == "failed"
    for said in (outcome.error, caplog.text):
        assert "hidden" not in said
        assert SECRET not in said


async def test_a_fault_of_ours_is_an_outcome_too(
    sender: HttpSender, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    call = call_of(receiver.url("200"), id="no\r\nheader: hidden")
    outcome = await sender.send(call)

    assert outcome.result == "failed"
    assert "hidden" not in outcome.error + caplog.messages[0].partition("error=")[2]
    assert receiver.received == []


# --- connections --------------------------------------------------------------------


async def test_connections_are_used_again(
    sender: HttpSender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "KEPT_SECONDS", 60.0)
    outcomes = [await outcome_of(sender, receiver, "200") for _ in range(5)]
    at_once = (outcome_of(sender, receiver, "200") for _ in range(8))
    outcomes += await asyncio.gather(*at_once)

    assert {each.error for each in outcomes} == {""}
    assert len(receiver.received) == 13
    assert receiver.connections <= 8


async def test_connections_are_not_kept_for_long(
    sender: HttpSender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "KEPT_SECONDS", 0.1)
    await asyncio.gather(*(outcome_of(sender, receiver, "200") for _ in range(3)))
    await asyncio.to_thread(receiver.wait_for_open, 0)

    before = receiver.connections
    assert (await outcome_of(sender, receiver, "200")).result == "delivered"
    assert receiver.connections == before + 1


async def test_not_all_connections_are_kept(
    sender: HttpSender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "KEPT_SECONDS", 60.0)
    monkeypatch.setattr(kept_connections, "MAX_IDLE", 4)
    slow = (outcome_of(sender, receiver, "slow?seconds=0.3") for _ in range(20))
    await asyncio.gather(*slow)
    await asyncio.to_thread(receiver.wait_for_open, 4)

    assert receiver.open == 4


async def test_a_connection_that_was_closed_is_not_used_again(
    sender: HttpSender, receiver: Receiver
) -> None:
    for _ in range(3):
        outcome = await outcome_of(sender, receiver, "last")
        assert outcome.result == "delivered"

    assert receiver.connections == 3


async def test_what_the_other_side_closed_meanwhile_is_not_used_again(
    sender: HttpSender, receiver: Receiver
) -> None:
    for number in range(1, 4):
        outcome = await outcome_of(sender, receiver, "200-close")
        assert outcome.result == "delivered", outcome
        await asyncio.to_thread(receiver.wait_for_open, 0)
        await asyncio.sleep(0.1)  # until that is known on this side, too
        assert receiver.connections == number


async def test_no_more_connections_than_there_may_be(
    settings: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "MAX_OPEN", 40)
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.1/32"]}
    sender = HttpSender()
    calls = (outcome_of(sender, receiver, "slow?seconds=0.2") for _ in range(100))
    outcomes = await asyncio.gather(*calls)
    await sender.close()

    assert {each.result for each in outcomes} == {"delivered"}
    assert 10 < receiver.most_in_flight["/slow"] <= 40


async def test_a_call_that_is_cancelled_leaves_nothing_behind(
    sender: HttpSender, receiver: Receiver
) -> None:
    calls = [
        asyncio.create_task(outcome_of(sender, receiver, "hang")) for _ in range(300)
    ]
    await asyncio.to_thread(receiver.wait_for, 256)
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert all(each.cancelled() for each in calls)

    # All places are free again.
    outcomes = await asyncio.gather(
        *(outcome_of(sender, receiver, "200") for _ in range(256))
    )
    assert {each.result for each in outcomes} == {"delivered"}


async def test_a_name_that_hangs_takes_no_place_for_good(
    receiver: Receiver, settings: Settings
) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.1/32"]}
    gate = threading.Event()

    def resolve(host: str) -> list[str]:
        gate.wait(30)
        return ["127.0.0.1"]

    sender = HttpSender(resolve=resolve)
    url = receiver.url("200", host="slow.test")
    calls = (sender.send(call_of(url, timeout_seconds=0.5)) for _ in range(256))
    hung = await asyncio.gather(*calls)
    gate.set()
    outcome = await sender.send(call_of(url))
    await sender.close()

    assert {each.error for each in hung} == {"No answer within 0.5 s."}
    assert outcome.result == "delivered", outcome


async def test_no_proxy_of_the_environment_is_used(
    sender: HttpSender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        made = HttpSender()
        outcome = await outcome_of(made, receiver, "200")
        await made.close()
        by_proxy = proxy.connections

    assert outcome.result == "delivered"
    assert by_proxy == 0


async def test_answers_in_turn(sender: HttpSender, receiver: Receiver) -> None:
    """What others' tests lean on: a path that fails first and works then."""
    url = receiver.answers("hook", "500", "429?after=1", "200")
    outcomes = [await sender.send(call_of(url, id="same")) for _ in range(4)]

    results = [each.result for each in outcomes]
    assert results == ["failed", "throttled", "delivered", "delivered"]
    assert {each.id for each in receiver.wait_for(4, path="/hook")} == {"same"}
    assert json.loads(receiver.received[0].body)["data"]["room"] == "general"
