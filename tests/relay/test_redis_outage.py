"""Redis ends connections, dies, stands still, refuses: nothing is missed untold."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection
from typing import Any

import pytest

from headgate.relay import Relay
from headgate.relay.redis import RedisRelay, incoming, outgoing
from headgate.relay.redis.link import Link
from headgate.relay.redis.outgoing import Outgoing
from tests.redis_server import RedisServer
from tests.relay.ears import Ears, Open, eventually, linked
from tests.steady import BUSY_SECONDS, SteadyClock

LATE_SECONDS = 2.0 + BUSY_SECONDS  # the promise is two


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "headgate.relay")


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the names of the relay's log lines."""
    return [
        record.getMessage().split()[0]
        for record in caplog.records
        if record.name == "headgate.relay"
    ]


async def test_a_killed_subscription_is_made_again_and_all_is_doubtful(
    redis_opened: Open, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    ears, other = Ears(), Ears()
    relay, publisher = redis_opened(ears), redis_opened(other)
    await linked(publisher, other, "its own")
    topics = [f"room {number}" for number in range(50)]
    await linked(relay, ears, *topics)
    relay.unwatch("room 7")
    topics.remove("room 7")
    with redis_server.client() as client:
        assert client.client_kill_filter(_type="pubsub") == 2
    await ears.doubts_all(topics, times=2)
    await eventually(lambda: relay.reconnects == publisher.reconnects == 1)
    publisher.publish("room 7", b"1")
    publisher.publish("room 8", b"2")

    await ears.hears(("room 8", b"2"))
    assert ears.doubts["room 7"] == 1
    assert (relay.reconnects, relay.away) == (1, False)
    assert sorted(events(caplog)) == ["relay_away"] * 2 + ["relay_back"] * 2


async def test_a_publishing_connection_that_has_ended_loses_nothing(
    redis_opened: Open, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[Link] = []
    use = Outgoing.use

    async def noted_use(self: Outgoing, link: Link) -> None:
        links.append(link)
        await use(self, link)

    monkeypatch.setattr(Outgoing, "use", noted_use)
    ears = Ears()
    relay, publisher = redis_opened(ears), redis_opened(Ears())
    await linked(relay, ears, "a")
    for number in range(1, 4):
        await eventually(lambda: len(links) >= 2 and not publisher.away)
        with redis_server.client() as client:
            client.client_kill_filter(_type="normal", skipme=True)
        await eventually(lambda: all(each.is_ended for each in links))
        publisher.publish("a", b"%d" % number)
        await ears.until(lambda: len(ears.heard) == number)  # noqa: B023 - waited for here

    assert (publisher.dropped_out, publisher.reconnects) == (0, 3)
    assert ears.doubts == {"a": 1}


class Follower(Ears):
    """Follows a log by hints, and reads it when told to, as a chat does."""

    def __init__(self, log: list[float]) -> None:
        super().__init__()
        self.log = log
        self.seen: list[float] = []  # when each seq was seen

    def received(self, topic: str, payload: bytes) -> None:
        if int(payload) >= len(self.seen):
            self.read(int(payload) + 1)

    def doubtful(self, topics: Collection[str]) -> None:
        self.read(len(self.log))
        super().doubtful(topics)

    def read(self, to: int) -> None:
        self.seen += [time.monotonic()] * (to - len(self.seen))


@pytest.mark.parametrize("seconds_away", [0.0, 0.7])
async def test_killed_and_restarted_under_load_nothing_is_lost_or_late(
    redis_opened: Open,
    redis_server: RedisServer,
    steady: SteadyClock,
    seconds_away: float,
) -> None:
    log: list[float] = []  # when each seq was written
    ears = Follower(log)
    relay, publisher = redis_opened(ears), redis_opened(Ears())
    await linked(relay, ears, "a")
    back_at: list[float] = []

    async def write() -> None:
        while True:
            for _ in range(20):
                log.append(time.monotonic())
                publisher.publish("a", b"%d" % (len(log) - 1))
            await asyncio.sleep(0.005)

    writing = asyncio.create_task(write())
    for _ in range(3):
        enough = len(log) + 500
        await eventually(lambda: len(ears.seen) > enough)  # noqa: B023 - waited for here
        await asyncio.to_thread(redis_server.kill)
        await asyncio.sleep(seconds_away)
        await asyncio.to_thread(redis_server.start)
        back_at.append(time.monotonic())
        # Only the hints of the log may tell from here on.
        await eventually(lambda: not relay.away and not publisher.away)
    writing.cancel()
    await eventually(lambda: len(ears.seen) == len(log))

    late = [
        steady.between(max(written, *(b for b in back_at if b <= seen), 0.0), seen)
        for written, seen in zip(log, ears.seen, strict=True)
    ]
    assert max(late) < LATE_SECONDS
    assert relay.reconnects >= 3


async def test_the_last_hint_before_an_outage_is_not_missed(
    redis_opened: Open, redis_server: RedisServer, steady: SteadyClock
) -> None:
    """Nothing comes after it that would show a hole."""
    log: list[float] = []
    ears = Follower(log)
    relay, publisher = redis_opened(ears), redis_opened(Ears())
    await linked(relay, ears, "a")
    await asyncio.to_thread(redis_server.kill)
    log.append(time.monotonic())
    publisher.publish("a", b"0")
    await asyncio.to_thread(redis_server.start)

    back_at = time.monotonic()
    await eventually(lambda: len(ears.seen) == 1)
    assert steady.between(back_at, ears.seen[0]) < LATE_SECONDS


async def test_a_server_that_stands_still_is_noticed(
    redis_opened: Open,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    steady: SteadyClock,
) -> None:
    ears = Ears()
    relay, publisher = redis_opened(ears), redis_opened(Ears())
    await linked(relay, ears, "a", "b")
    began = time.monotonic()
    redis_server.pause()
    await eventually(lambda: relay.away and publisher.away)
    assert steady.since(began) < 2.0
    assert "ServerSilent" in caplog.text
    await asyncio.sleep(began + 3 - time.monotonic())  # for what is tried in vain
    publisher.publish("a", b"1")
    assert ears.doubts == {"a": 1, "b": 1}
    redis_server.resume()

    resumed_at = time.monotonic()
    await eventually(lambda: not (relay.away or publisher.away))
    assert steady.since(resumed_at) < LATE_SECONDS
    await ears.doubts_all(["a", "b"], times=2)
    publisher.publish("b", b"2")
    await ears.until(lambda: ("b", b"2") in ears.heard)
    assert sorted(events(caplog)) == ["relay_away"] * 2 + ["relay_back"] * 2


async def test_a_server_that_has_nothing_to_say_is_asked(
    redis_opened: Open, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "TICK_SECONDS", 0.02)
    ears = Ears()
    relay = redis_opened(ears)
    await linked(relay, ears, "a")
    await eventually(lambda: redis_server.calls("ping") > 5)

    assert (relay.reconnects, relay.away) == (0, False)


async def test_the_publishing_connection_is_tried_while_nothing_goes_out(
    redis_opened: Open,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(incoming, "TICK_SECONDS", 1000.0)
    monkeypatch.setattr(outgoing, "IDLE_SECONDS", 0.02)
    relay = redis_opened(Ears())
    await eventually(lambda: redis_server.calls("ping") > 5)
    assert (relay.reconnects, relay.away) == (0, False)
    redis_server.pause()

    await eventually(lambda: relay.away)
    assert "connection=publish error=ServerSilent" in caplog.text


async def test_what_was_on_the_way_is_doubtful_to_those_who_were_there_all_along(
    redis_opened: Open, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "TICK_SECONDS", 1000.0)  # the subscription stays
    monkeypatch.setattr("headgate.relay.redis.link.ANSWER_SECONDS", 0.1)
    ears = Ears()
    relay, publisher = redis_opened(ears), redis_opened(Ears())
    await linked(relay, ears, "a")
    publisher.publish("a", b"1")
    await ears.hears(("a", b"1"))
    redis_server.pause()
    publisher.publish("a", b"2")
    await eventually(lambda: publisher.dropped_out == 1)
    redis_server.resume()

    await ears.doubts_all(["a"], times=2)
    assert relay.reconnects == 0


async def test_a_loop_that_stood_still_blames_nobody(
    redis_opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incoming, "TICK_SECONDS", 0.02)
    monkeypatch.setattr("headgate.relay.redis.link.ANSWER_SECONDS", 0.06)
    ears = Ears()
    relay = redis_opened(ears)
    await linked(relay, ears, "a")
    for _ in range(5):
        relay.publish("a", b"1")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 - that is what it is about
        await asyncio.sleep(0.03)

    assert (relay.reconnects, relay.away) == (0, False)


async def test_past_its_bound_the_oldest_are_dropped_and_that_is_told(
    redis_opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    ears = Ears()
    relay, publisher = redis_opened(ears), redis_opened(Ears())
    await linked(relay, ears, "a", "b", "c")
    for number in range(outgoing.MOST_HINTS + 100):  # in one turn: nothing is sent
        publisher.publish("ab"[number >= 50], b"%d" % number)
    assert publisher.dropped_out == 100
    publisher.publish("c", b"last")

    await ears.until(lambda: ("c", b"last") in ears.heard)
    told = [int(payload) for topic, payload in ears.heard if topic != "c"]
    assert told == list(range(101, outgoing.MOST_HINTS + 100))
    assert ears.doubts == {"a": 2, "b": 2, "c": 1}
    await eventually(lambda: len(events(caplog)) == 2)
    publisher.publish("c", b"more")  # and then it is over
    await ears.until(lambda: ("c", b"more") in ears.heard)
    assert events(caplog) == ["relay_queue_full", "relay_queue_sent"]


async def test_the_queue_is_bounded_in_bytes(redis_opened: Open) -> None:
    ears = Ears()
    relay, publisher = redis_opened(ears), redis_opened(Ears())
    await linked(relay, ears, "a", "b")
    mebibyte = bytes(1024 * 1024)
    for number in range(1, 4):  # what has gone out counts no more
        for _ in range(7):
            publisher.publish("a", mebibyte)
        await ears.until(lambda: len(ears.heard) == 7 * number)  # noqa: B023 - waited for here
    assert publisher.dropped_out == 0
    ears.heard.clear()
    for _ in range(20):
        publisher.publish("a", mebibyte)
    assert publisher.dropped_out == 12
    publisher.publish("b", mebibyte * 9)  # drops all others, and does not fit itself
    assert publisher.dropped_out == 21
    publisher.publish("b", b"1")

    await ears.hears(("b", b"1"))
    assert ears.doubts == {"a": 2, "b": 2}


async def test_a_reader_that_is_too_slow_is_told(
    redis_opened: Open, redis_server: RedisServer
) -> None:
    """The server ends the connection when too much waits for it."""
    ears = Ears()
    relay = redis_opened(ears)
    await linked(relay, ears, "a")
    with redis_server.client() as client:
        before: Any = client.config_get("client-output-buffer-limit")
        client.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
        for _ in range(40):  # and this loop reads nothing meanwhile
            client.publish("test:relay:a", "x" * 9 + "y" * 1024 * 1024)
        client.config_set(*next(iter(before.items())))
    await ears.doubts_all(["a"], times=2)

    assert len(ears.heard) < 40
    other = redis_opened(Ears())
    other.publish("a", b"1")
    await ears.until(lambda: ("a", b"1") in ears.heard)


async def test_what_is_not_ours_on_a_channel_is_nothing(
    redis_opened: Open, redis_server: RedisServer
) -> None:
    ears = Ears()
    relay, publisher = redis_opened(ears), redis_opened(Ears())
    await linked(relay, ears, "a")
    with redis_server.client() as client:
        for strange in ("", "x", "x" * 8, "x" * 100):
            client.publish("test:relay:a", strange)
    publisher.publish("a", b"1")

    await ears.hears(("a", b"1"))


async def test_it_begins_without_a_server(
    redis_opened: Open,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
    steady: SteadyClock,
) -> None:
    redis_server.kill()
    ears = Ears()
    relay, publisher = redis_opened(ears), redis_opened(Ears())
    relay.watch("a")
    publisher.publish("a", b"1")
    await eventually(lambda: relay.away and publisher.away)
    redis_server.start()

    started_at = time.monotonic()
    await ears.doubts_all(["a"])
    await eventually(lambda: not (relay.away or publisher.away))
    assert steady.since(started_at) < LATE_SECONDS
    assert sorted(events(caplog)) == ["relay_away"] * 2 + ["relay_back"] * 2
    assert (relay.reconnects, publisher.dropped_out) == (0, 0)


async def test_what_is_watched_meanwhile_is_not_gathered(
    redis_opened: Open, redis_server: RedisServer
) -> None:
    ears = Ears()
    relay, publisher = redis_opened(ears), redis_opened(Ears())
    await linked(relay, ears, "a")
    redis_server.kill()
    await eventually(lambda: relay.away)
    for number in range(1_000):  # of an outage that may be long
        relay.watch(f"room {number}")
        relay.unwatch(f"room {number}")
    assert not relay._incoming._changed  # type: ignore[attr-defined]
    relay.watch("b")
    relay.unwatch("a")
    redis_server.start()

    await ears.doubts_all(["b"])
    assert ears.doubts == {"a": 1, "b": 1}
    publisher.publish("b", b"1")
    await ears.hears(("b", b"1"))


async def _left(redis_server: RedisServer) -> int:
    """Return how many connections there are but one's own."""
    with redis_server.client() as client:
        return len(client.client_list()) - 1


@pytest.mark.parametrize("how", ["there", "pause", "kill"])
async def test_closed_nothing_is_left(
    redis_server: RedisServer, steady: SteadyClock, how: str
) -> None:
    before = asyncio.all_tasks()
    ears = Ears()
    relay = RedisRelay(redis_server.url, ears, namespace="test")
    await linked(relay, ears, "a")
    if how != "there":
        getattr(redis_server, how)()
        relay.publish("a", bytes(8_000_000))  # more than the system takes
        is_there = how == "pause"  # nobody has noticed yet
        await eventually(
            lambda: relay._outgoing._on_the_way if is_there else relay.away
        )
    began = time.monotonic()
    await relay.close()
    assert steady.since(began) < (1.0 if how == "pause" else 0.4) + BUSY_SECONDS
    assert asyncio.all_tasks() == before

    redis_server.ready()
    for _ in range(400):
        if not await _left(redis_server):
            break
        await asyncio.sleep(0.01)  # until the server has noticed
    else:
        pytest.fail("connections are left")


async def test_closed_while_it_connects(redis_server: RedisServer) -> None:
    """At whatever point: what is awaited then must not swallow that it is cancelled."""
    before = asyncio.all_tasks()
    for turns in range(150):
        relay = RedisRelay(redis_server.url, Ears(), namespace="test")
        for _ in range(turns % 50):
            await asyncio.sleep(0)
        await relay.close()

    assert asyncio.all_tasks() == before


async def test_closed_while_it_connects_to_a_server_that_stands_still(
    redis_server: RedisServer, steady: SteadyClock
) -> None:
    before = asyncio.all_tasks()
    redis_server.pause()
    relays: list[Relay] = []
    for turns in range(6):
        relays.append(RedisRelay(redis_server.url, Ears(), namespace="test"))
        for _ in range(turns):
            await asyncio.sleep(0.001 * turns)
    began = time.monotonic()
    await asyncio.gather(*(each.close() for each in relays))
    assert steady.since(began) < 1.0 + BUSY_SECONDS

    assert asyncio.all_tasks() == before
