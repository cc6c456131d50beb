"""What every relay promises; `test_contract.py` holds each of them to it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from tests.relay.ears import Ears, Open, linked

__all__ = ["RelayContract"]


class RelayContract:
    """Asked of relays that `opened` opens."""

    async def test_who_watches_is_told_and_nobody_else(self, opened: Open) -> None:
        one, two, three = Ears(), Ears(), Ears()
        publisher, watcher, other = opened(one), opened(two), opened(three)
        await linked(publisher, one, "a")
        await linked(watcher, two, "a")
        await linked(other, three, "b")

        publisher.publish("a", b"1")
        publisher.publish("b", b"2")

        await two.hears(("a", b"1"))
        await three.hears(("b", b"2"))
        assert one.heard == []

    async def test_ones_own_hints_are_not_told(self, opened: Open) -> None:
        one, two = Ears(), Ears()
        relay, other = opened(one), opened(two)
        await linked(relay, one, "a")
        await linked(other, two, "a")

        relay.publish("a", b"own")
        await two.hears(("a", b"own"))
        other.publish("a", b"other")  # comes after it, had it come

        await one.hears(("a", b"other"))

    async def test_what_another_watches_is_reached(self, opened: Open) -> None:
        one, two = Ears(), Ears()
        relay, other = opened(one), opened(two)
        await linked(relay, one, "a")
        await linked(other, two, "a")

        assert relay.reaches("a")

    async def test_any_bytes_and_any_topic(self, opened: Open) -> None:
        ears = Ears()
        relay, publisher = opened(ears), opened(Ears())
        hints = [
            ("a", b""),
            ("a b\r\n$1*:{}", b"\r\n$-1\r\n\x00\xff"),
            ("Ærø ☃", b"x" * 300_000),
        ]
        await linked(relay, ears, *(topic for topic, _ in hints))
        for topic, payload in hints:
            publisher.publish(topic, payload)

        await ears.hears(*hints)

    async def test_a_watch_is_doubtful_once_and_effective_then(
        self, opened: Open
    ) -> None:
        ears = Ears()
        relay, publisher = opened(ears), opened(Ears())
        relay.watch("a")
        relay.watch("a")
        assert ears.told == []  # not from within the call
        await ears.doubts_all(["a"])
        publisher.publish("a", b"1")

        await ears.hears(("a", b"1"))
        relay.watch("a")
        publisher.publish("a", b"2")
        await ears.hears(("a", b"1"), ("a", b"2"))
        assert ears.told == [{"a"}, ("a", b"1"), ("a", b"2")]

    async def test_nothing_more_of_what_is_not_watched_any_more(
        self, opened: Open
    ) -> None:
        ears = Ears()
        relay, publisher = opened(ears), opened(Ears())
        await linked(relay, ears, "a", "b")
        relay.unwatch("a")
        relay.unwatch("never")
        publisher.publish("a", b"1")
        publisher.publish("b", b"2")

        await ears.hears(("b", b"2"))

    async def test_a_listener_that_unwatches_is_told_nothing_more(
        self, opened: Open
    ) -> None:
        """Not even what has come already."""

        class Leaving(Ears):
            def received(self, topic: str, payload: bytes) -> None:
                super().received(topic, payload)
                relay.unwatch("a")

        ears = Leaving()
        relay, publisher = opened(ears), opened(Ears())
        await linked(relay, ears, "a", "b")
        for _ in range(50):
            publisher.publish("a", b"1")
        publisher.publish("b", b"2")

        await ears.hears(("a", b"1"), ("b", b"2"))

    async def test_what_is_watched_again_is_doubtful_again(self, opened: Open) -> None:
        ears = Ears()
        relay, publisher = opened(ears), opened(Ears())
        for _ in range(3):
            await linked(relay, ears, "a")
            relay.unwatch("a")
        await linked(relay, ears, "a")
        relay.unwatch("a")
        relay.watch("a")  # in the same turn: a hint in between was not told
        await ears.doubts_all(["a"], times=5)
        publisher.publish("a", b"1")

        await ears.hears(("a", b"1"))

    async def test_the_order_of_a_topic_is_kept(self, opened: Open) -> None:
        ears = Ears()
        relay, *publishers = opened(ears), opened(Ears()), opened(Ears())
        await linked(relay, ears, "a", "b")
        for number in range(3_000):
            for who, publisher in enumerate(publishers):
                publisher.publish("ab"[number % 2], b"%d %d" % (who, number))
            if number % 500 == 0:
                await asyncio.sleep(0)
        await ears.until(lambda: len(ears.heard) == 6_000)

        for who in range(2):
            for topic in "ab":
                told = [
                    int(payload[2:])
                    for where, payload in ears.heard
                    if where == topic and payload[:1] == b"%d" % who
                ]
                assert told == list(range("ab".index(topic), 3_000, 2))

    async def test_many_topics(self, opened: Open) -> None:
        ears = Ears()
        relay, publisher = opened(ears), opened(Ears())
        topics = [f"room {number}" for number in range(5_000)]
        await linked(relay, ears, *topics)
        for topic in topics:
            publisher.publish(topic, topic.encode())

        await ears.hears(*((topic, topic.encode()) for topic in topics))
        assert set(ears.doubts.values()) == {1}

    async def test_the_loop_has_others_in_between(self, opened: Open) -> None:
        """Told are at most so many a turn, however many have come."""
        loop = asyncio.get_running_loop()
        turns: list[int] = [0]

        class Counting(Ears):
            def received(self, topic: str, payload: bytes) -> None:
                turns[-1] += 1
                super().received(topic, payload)

        ears = Counting()
        relay, publisher = opened(ears), opened(Ears())
        await linked(relay, ears, "a")

        handles: list[asyncio.Handle] = []

        def turn() -> None:
            if turns[-1]:
                turns.append(0)
            handles[:] = [loop.call_soon(turn)]

        turn()
        for _ in range(5_000):
            publisher.publish("a", b"1")
        await ears.until(lambda: len(ears.heard) == 5_000)
        handles[0].cancel()

        assert sum(turns) == 5_000
        assert max(turns) < 200

    async def test_a_listener_that_raises_is_logged_and_told_more(
        self, opened: Open, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Raising(Ears):
            def received(self, topic: str, payload: bytes) -> None:
                super().received(topic, payload)
                raise LookupError("of the listener")

            def doubtful(self, topics: object) -> None:
                super().doubtful(topics)  # type: ignore[arg-type]
                raise LookupError("of the listener")

        caplog.set_level(logging.INFO, "headgate.relay")
        ears = Raising()
        relay, publisher = opened(ears), opened(Ears())
        await linked(relay, ears, "a")
        hints = [("a", b"%d" % number) for number in range(1_000)]
        for hint in hints:
            publisher.publish(*hint)

        await ears.hears(*hints)
        await linked(relay, ears, "b")
        lines = [record.getMessage() for record in caplog.records]
        assert lines[0] == "relay_listener_failed unsaid=0"
        assert "of the listener" in caplog.text
        assert len(lines) < 100  # one a second
        assert not relay.away

    async def test_namespaces_are_apart(self, opened: Open) -> None:
        one, two = Ears(), Ears()
        relay, other = opened(one), opened(two, "other")
        publisher = opened(Ears())
        await linked(relay, one, "a")
        await linked(other, two, "a", "b")
        publisher.publish("a", b"1")
        await one.hears(("a", b"1"))
        opened(Ears(), "other").publish("b", b"2")

        await two.hears(("b", b"2"))

    async def test_it_counts(self, opened: Open) -> None:
        ears = Ears()
        relay, publisher = opened(ears), opened(Ears())
        await linked(relay, ears, "a")
        for topic in "aab":
            publisher.publish(topic, b"1")
        await ears.hears(*[("a", b"1")] * 2)

        assert (publisher.published, publisher.received) == (3, 0)
        assert (relay.published, relay.received) == (0, 2)
        for each in (relay, publisher):
            assert (each.dropped_out, each.reconnects, each.away) == (0, 0, False)

    async def test_closed_it_is_silent_and_takes_everything(self, opened: Open) -> None:
        one, two = Ears(), Ears()
        relay, other = opened(one), opened(two)
        await linked(relay, one, "a")
        await linked(other, two, "a")
        relay.watch("b")
        relay.publish("a", b"last")
        await relay.close()
        await relay.close()
        await two.hears(("a", b"last"))  # what was published before goes out

        told = list(one.told)
        relay.watch("c")
        relay.unwatch("a")
        relay.publish("a", b"closed")
        opened(Ears()).publish("a", b"1")
        await two.hears(("a", b"last"), ("a", b"1"))
        assert one.told == told

    async def test_nothing_is_left_of_it(self, opened: Open) -> None:
        before = asyncio.all_tasks()
        ears = Ears()
        relay = opened(ears)
        await linked(relay, ears, "a")
        await relay.close()

        assert asyncio.all_tasks() == before
