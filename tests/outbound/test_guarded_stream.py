"""What is connected to: the address that was checked, under the name that was asked."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from pytest_django import Settings

from headgate.outbound import guarded_stream
from headgate.outbound.calls import Outcome
from headgate.outbound.http_sender import HttpSender
from tests.outbound.calling import call_of
from tests.outbound.certificates import Authority
from tests.outbound.name_server import NameServer
from tests.outbound.receiver import Receiver

# Linux answers for all of 127.0.0.0/8: so one address can stand for a public one, and
# another, at the same port, for one that must not be reached.
PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"


@pytest.fixture
def authority() -> Authority:
    return Authority()


async def sent(
    url: str, names: NameServer, tls: ssl.SSLContext | None = None
) -> Outcome:
    """Return what came of one call, of a sender of its own."""
    sender = HttpSender(tls=tls, resolve=names.resolve)
    try:
        return await sender.send(call_of(url))
    finally:
        await sender.close()


# --- names that change -------------------------------------------------------------


async def test_a_name_that_alternates_never_leads_to_what_is_private(
    settings: Settings,
) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": [f"{PUBLIC}/32"]}
    names = NameServer({"rebind.test": [[PUBLIC], [PRIVATE]]})
    with Receiver(host=PUBLIC) as public, Receiver(port=public.port) as canary:
        sender = HttpSender(resolve=names.resolve)
        # It closes after each answer, so that each call looks the name up anew.
        url = public.url("last", host="rebind.test")
        results = [(await sender.send(call_of(url))).result for _ in range(20)]
        await sender.close()
        reached = canary.connections

    assert results == ["delivered", "refused"] * 10
    assert reached == 0
    assert len(public.received) == 10
    # Once for each connection: what was checked is what was connected to.
    assert names.asked["rebind.test"] == 20


async def test_one_bad_address_refuses_the_whole_name(settings: Settings) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": [f"{PUBLIC}/32"]}
    both = NameServer({"mixed.test": [[PUBLIC, PRIVATE], [PRIVATE, PUBLIC]]})
    with Receiver(host=PUBLIC) as public, Receiver(port=public.port) as canary:
        url = public.url("200", host="mixed.test")
        results = [(await sent(url, both)).result for _ in range(2)]
        reached = public.connections + canary.connections

    assert results == ["refused", "refused"]
    assert reached == 0


async def test_the_refusal_tells_people_no_address_and_the_log_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = NameServer({"intern.test": [["10.20.30.40"]]})
    outcome = await sent("https://intern.test/", names)

    assert outcome.result == "refused"
    assert "10.20.30.40" not in outcome.error
    assert "OUTBOUND_NETWORKS" in outcome.error
    assert "address_refused host=intern.test address=10.20.30.40" in caplog.text


async def test_what_is_listed_at_home_is_not_called_by_http_elsewhere(
    settings: Settings,
) -> None:
    """A listed network opens http:// and other ports to itself, not to the world."""
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["10.0.0.0/8"]}
    names = NameServer({"public.test": [["8.8.8.8"]]})
    plain = await sent("http://public.test/", names)
    port = await sent("https://public.test:9999/", names)

    assert (plain.result, port.result) == ("refused", "refused")
    assert "https://" in plain.error
    assert "9999" in port.error


async def test_the_next_address_is_tried(settings: Settings) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.0/8"]}
    names = NameServer({"two.test": [["127.0.0.3", PUBLIC]]})
    with Receiver(host=PUBLIC) as public:
        outcome = await sent(public.url("200", host="two.test"), names)

    assert outcome.result == "delivered"


async def test_a_name_without_an_address_is_not_sent(settings: Settings) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.0/8"]}
    outcome = await sent("https://missing.test/", NameServer({}))

    assert outcome.result == "failed"
    assert outcome.error == "missing.test has no address that could be found."


async def test_the_systems_own_names_are_looked_up(settings: Settings) -> None:
    with Receiver() as receiver:
        url = receiver.url("200", host="localhost")
        settings.HEADGATE = {"OUTBOUND_PORTS": [str(receiver.port)]}
        sender = HttpSender()
        refused = await sender.send(call_of(url.replace("http:", "https:")))
        settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.0/8", "::1/128"]}
        delivered = await sender.send(call_of(url))
        await sender.close()

    assert (refused.result, delivered.result) == ("refused", "delivered")


# --- TLS ------------------------------------------------------------------------------


async def test_host_and_sni_are_those_of_the_name(
    settings: Settings, tmp_path: Path, authority: Authority
) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.1/32"]}
    names = NameServer({"hooks.test": [["127.0.0.1"]]})
    with Receiver(tls=authority.serving(tmp_path, "hooks.test")) as receiver:
        url = receiver.url("200", host="hooks.test")
        outcome = await sent(url, names, authority.trusting())

    assert outcome.result == "delivered", outcome
    (came,) = receiver.received
    assert came.server_name == "hooks.test"
    assert came.headers["host"] == f"hooks.test:{receiver.port}"


async def test_what_one_destination_may_reach_another_may_not(
    settings: Settings, tmp_path: Path, authority: Authority
) -> None:
    """Not even by the connection that is still open."""
    names = NameServer({"hooks.test": [["127.0.0.1"]]})
    with Receiver(tls=authority.serving(tmp_path, "hooks.test")) as receiver:
        settings.HEADGATE = {
            "OUTBOUND_NETWORKS": ["127.0.0.1/32"],
            "OUTBOUND_PORTS": [str(receiver.port)],
        }
        sender = HttpSender(tls=authority.trusting(), resolve=names.resolve)
        url = receiver.url("200", host="hooks.test")
        trusted = await sender.send(call_of(url))
        others = await sender.send(call_of(url, public_only=True))
        again = await sender.send(call_of(url))
        await sender.close()

    results = trusted.result, others.result, again.result
    assert results == ("delivered", "refused", "delivered")
    assert receiver.connections == 1


async def test_a_certificate_of_another_name_is_refused(
    settings: Settings, tmp_path: Path, authority: Authority
) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.1/32"]}
    names = NameServer({"other.test": [["127.0.0.1"]]})
    with Receiver(tls=authority.serving(tmp_path, "hooks.test")) as receiver:
        url = receiver.url("200", host="other.test")
        outcome = await sent(url, names, authority.trusting())

    assert outcome.result == "failed"
    assert "certificate" in outcome.error
    assert receiver.received == []


async def test_an_authority_that_nobody_trusts_is_refused(
    settings: Settings, tmp_path: Path, authority: Authority
) -> None:
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.1/32"]}
    names = NameServer({"hooks.test": [["127.0.0.1"]]})
    with Receiver(tls=authority.serving(tmp_path, "hooks.test")) as receiver:
        outcome = await sent(receiver.url("200", host="hooks.test"), names)

    assert outcome.result == "failed"
    assert "certificate" in outcome.error
    assert receiver.received == []


async def test_what_speaks_no_tls_is_a_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded_stream, "CONNECT_SECONDS", 0.5)
    settings.HEADGATE = {"OUTBOUND_NETWORKS": ["127.0.0.1/32"]}
    with Receiver() as receiver:
        url = receiver.url("200").replace("http:", "https:")
        outcome = await sent(url, NameServer({}))

    assert outcome.result == "failed"
    assert "could not be reached" in outcome.error
    assert receiver.received == []


async def test_others_have_their_turn_while_an_answer_is_read() -> None:
    stream = guarded_stream.GuardedStream()
    stream.data_received(b"x" * 3 * guarded_stream.READ_BYTES)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    read = [len(await stream.read(65_536)) for _ in range(3)]
    beside.cancel()

    assert read == [guarded_stream.READ_BYTES] * 3
    assert turns >= 3
