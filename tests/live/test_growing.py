"""Growing texts: whoever watches has the beginning of what was written, and soon all.

The author writes in another process. What is told of it by the relay is lost, comes
twice, or late; what is saved is behind. People join in the middle, come back, and take
what comes when they like.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headgate.live import growing
from headgate.live.connection import Connection
from headgate.live.frames import Mode
from headgate.live.growing import GrowingTexts
from headgate.live.node import Node
from headgate.protocol.pushes import Edited, Partial
from tests.live.bounds import small_bounds
from tests.live.deliver import thorough
from tests.live.jumping_loop import JumpingLoop
from tests.live.parts import AT, GUS, MemoryLog, SlowSink, connect, join, turns, until

LETTERS = "abcdefghijklmnopqrstuvwxyzäöü👋"
CLIENTS = 4
Step = tuple[Any, ...]


def partial(at: int, text: str, seq: int = 1) -> Partial:
    return Partial(room="room-1", seq=seq, at=at, text=text)


def end(log: MemoryLog, text: str, target: int = 1) -> list[Any]:
    """Commit the end of a growing message, as `chat.append` does."""
    seq = log.end(1) + 1
    more = {"author": GUS, "text": text, "at": AT, "state": "done"}
    return log._change(1, Edited(room="room-1", seq=seq, target=target, **more))


# --- what is kept -----------------------------------------------------------------


def test_what_overlaps_or_comes_late_changes_nothing() -> None:
    texts = GrowingTexts()
    for at, text in ((0, "abc"), (1, "bcd"), (0, "ab"), (4, ""), (2, "cdef")):
        assert texts.take(partial(at, text), 0.0)
    assert texts.text(1) == "abcdef"
    assert not texts.take(partial(7, "h"), 0.0)
    assert not texts.take(partial(1, "b", seq=2), 0.0)
    assert texts.text(1) == "abcdef"


def test_what_is_new_is_due_once() -> None:
    texts = GrowingTexts()
    texts.take(partial(0, "abc"), 0.0)
    assert texts.take_due(0) == []  # its message has not gone out yet
    assert texts.take_due(1) == [partial(0, "abc")]
    texts.take(partial(0, "abcd"), 0.0)
    assert (texts.is_due(0), texts.is_due(1)) == (False, True)
    assert texts.take_due(1) == [partial(3, "d")]
    assert texts.take_due(1) == []
    assert texts.whole(1, 1) == [partial(0, "abcd")]
    assert texts.whole(2, 9) == []


def test_what_comes_after_the_end_is_nothing() -> None:
    texts = GrowingTexts()
    texts.take(partial(0, "abc"), 0.0)
    texts.end(1)
    assert texts.take(partial(0, "abcd"), 0.0)
    assert texts.take(partial(9, "x"), 0.0)
    assert texts.text(1) is None
    assert texts.whole(1, 1) == []


def test_what_is_quiet_is_forgotten() -> None:
    texts = GrowingTexts()
    texts.take(partial(0, "abc"), 0.0)
    texts.take(partial(0, "abc", seq=2), 50.0)
    texts.forget_quiet(70.0)
    assert (texts.text(1), texts.text(2)) == (None, "abc")
    assert not texts.take(partial(3, "d"), 70.0)  # to be read from what is saved


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing, "MOST_TEXTS", 2)
    monkeypatch.setattr(growing, "MOST_CHARACTERS", 10)
    texts = GrowingTexts()
    for seq in (1, 2, 3):
        assert texts.take(partial(0, "abcd", seq), 0.0)
    assert [texts.text(seq) for seq in (1, 2, 3)] == ["abcd", "abcd", None]
    assert texts.take(partial(4, "efg"), 0.0)
    assert texts.text(1) == "abcd"
    texts.end(2)
    assert texts.take(partial(4, "efg"), 0.0)
    assert texts.text(1) == "abcdefg"


# --- who is told ------------------------------------------------------------------


async def test_it_is_told_after_its_message_and_before_its_end(
    log: MemoryLog, node: Node
) -> None:
    _, sink = await _joined(node, SlowSink())
    assert node.hub.grow(1, partial(0, "early", seq=2))  # faster than its message
    await turns()
    assert sink.heard == []
    node.hub.publish(1, log.write(1, text="before"))
    await asyncio.sleep(0.1)
    assert [said["text"] for said in sink.heard] == ["before"]
    node.hub.publish(1, log.write(1, text="", open=True))
    await turns()
    node.hub.grow(1, partial(5, " late", seq=2))
    node.hub.publish(1, end(log, "early late", target=2))
    await until(lambda: len(sink.heard) >= 4)
    await turns()
    kinds = [(said["push"], said["text"]) for said in sink.heard[1:]]
    assert kinds[:2] == [("message", ""), ("partial", "early")]
    assert kinds[-1] == ("edited", "early late")


async def test_a_stream_of_events_and_plain_mode(log: MemoryLog, node: Node) -> None:
    _, stream = await _joined(node, SlowSink(straight=False), Mode.STREAM)
    _, plain = await _joined(node, SlowSink(straight=False), Mode.PLAIN)
    node.hub.publish(1, log.write(1, text="", open=True))
    node.hub.grow(1, partial(0, "abc"))
    await turns()
    node.hub.publish(1, end(log, "abcd"))
    await until(lambda: len(stream.taken) >= 3)
    assert [b"event: partial" in frame.payload for frame in stream.taken] == [
        False,
        True,
        False,
    ]
    assert plain.heard == [{"message": "abcd", "author": "Gus", "seq": 1, "at": AT}]


async def test_a_newcomer_is_not_told_what_was_begun_before(
    log: MemoryLog, node: Node
) -> None:
    node.hub.publish(1, log.write(1, text="", open=True))
    await _joined(node, SlowSink())
    node.hub.grow(1, partial(0, "before"))
    newcomer, sink = connect(owner="u:2")
    await join(node, newcomer, 1, visible_from=2)
    _, known = await _joined(node, SlowSink())
    await until(lambda: len(known.heard) >= 1)
    assert [said["push"] for said in known.heard] == ["partial"]
    assert sink.heard == []


async def test_what_was_begun_before_does_not_grow_for_a_newcomer(
    log: MemoryLog, node: Node
) -> None:
    node.hub.publish(1, log.write(1, text="", open=True))
    newcomer, sink = connect(owner="u:2")
    await join(node, newcomer, 1, visible_from=2)
    _, known = await _joined(node, SlowSink())
    node.hub.publish(1, log.write(1, text="", open=True))
    node.hub.grow(1, partial(0, "before"))
    node.hub.grow(1, partial(0, "after", seq=2))
    await until(lambda: len(known.heard) >= 3 and len(sink.heard) >= 2)
    assert [(said["push"], said["seq"]) for said in known.heard] == [
        ("message", 2),
        ("partial", 1),
        ("partial", 2),
    ]
    assert [(said["push"], said["seq"]) for said in sink.heard] == [
        ("message", 2),
        ("partial", 2),
    ]


async def test_whoever_has_a_pace_is_told_the_end(log: MemoryLog, node: Node) -> None:
    connection, sink = connect()
    await join(node, connection, 1, pace="100/s:100")
    node.hub.publish(1, log.write(1, text="", open=True))
    node.hub.grow(1, partial(0, "abc"))
    node.hub.publish(1, end(log, "abc"))
    await until(lambda: len(sink.heard) >= 2)
    assert [said["push"] for said in sink.heard] == ["message", "edited"]


async def test_who_cannot_take_it_is_told_all_of_it_later(
    log: MemoryLog, node: Node
) -> None:
    _, slow = await _joined(node, SlowSink(budget=1))
    _, fast = await _joined(node, SlowSink())
    node.hub.publish(1, log.write(1, text="", open=True))
    for length in range(1, 9):
        node.hub.grow(1, partial(0, LETTERS[:length]))
        await asyncio.sleep(0.1)
    assert len(slow.heard) == 1
    fast_texts = [said["text"] for said in fast.heard]
    assert fast_texts == ["", *LETTERS[:8]]
    slow.allow(None)
    await until(lambda: len(slow.heard) >= 2)
    assert slow.heard[-1]["at"] == 0
    assert slow.heard[-1]["text"] == LETTERS[:8]


async def _joined(
    node: Node, sink: SlowSink, mode: Mode = Mode.V1
) -> tuple[Connection, SlowSink]:
    connection, sink = connect(sink, mode=mode)
    await join(node, connection, 1)
    return connection, sink


# --- whatever happens ---------------------------------------------------------------


@dataclass
class Reader:
    """Somebody who comes and goes, and holds what they get to the rules."""

    sink: SlowSink
    connection: Connection | None = None
    text: str | None = None  # None: the message is not known
    read: int = 0
    position: int = 0
    ended: bool = False

    def listen(self, written: str) -> None:
        for said in self.sink.heard[self.read :]:
            self.read += 1
            if said["push"] == "partial":
                if self.text is None or self.ended:
                    continue
                assert said["at"] <= len(self.text), "a hole"
                self.text = self.text[: said["at"]] + said["text"]
            else:
                self.position = said["seq"]
                if said.get("target", said["seq"]) == 1:
                    self.text = said["text"]
                    self.ended = said["push"] == "edited" or not said.get("open")
            assert written.startswith(self.text or "")


steps = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 5)),
    st.tuples(st.just("save")),
    st.tuples(st.just("tell")),
    st.tuples(st.just("arrive"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("lose"), st.integers(0, 3)),
    st.tuples(
        st.just("join"), st.integers(0, CLIENTS - 1), st.sampled_from(["list", "seen"])
    ),
    st.tuples(st.just("leave"), st.integers(0, CLIENTS - 1)),
    st.tuples(st.just("take"), st.integers(0, CLIENTS - 1), st.integers(0, 3)),
    st.tuples(st.just("other")),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.01, 0.2])),
)


class Growth:
    """One message that grows, and all who read it."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.node = Node(self.log, resume_limit=100, told=lambda _room, _events: None)
        self.written = ""
        self.saved = 0
        self.relay: list[Partial] = []
        self.readers = [Reader(SlowSink()) for _ in range(CLIENTS)]
        self._letters = 0

    async def run(self, program: list[Step]) -> None:
        self.log.write(1, text="", open=True)
        for name, *arguments in program:
            await getattr(self, f"do_{name}")(*arguments)
            self.listen()
        for reader in self.readers:
            if reader.connection is None:
                await self.join(reader, "list")
            reader.sink.allow(None)
        await self.do_tell()
        while self.relay:
            await self.do_arrive(0, again=False)
        await asyncio.sleep(1.0)
        self.listen()
        assert [reader.text for reader in self.readers] == [self.written] * CLIENTS
        self.node.hub.publish(1, end(self.log, self.written))
        await asyncio.sleep(1.0)
        self.listen()
        assert all(reader.ended for reader in self.readers)
        assert [reader.text for reader in self.readers] == [self.written] * CLIENTS
        self.node.close()

    def listen(self) -> None:
        for reader in self.readers:
            reader.listen(self.written)

    async def do_write(self, count: int) -> None:
        for _ in range(count):
            self.written += LETTERS[self._letters % len(LETTERS)]
            self._letters += 1

    async def do_save(self) -> None:
        self.saved = len(self.written)
        first = self.log.rooms[1][0]
        self.log.rooms[1][0] = type(first)(
            **{name: getattr(first, name) for name in first.__struct_fields__}
            | {"text": self.written}
        )

    async def do_tell(self) -> None:
        self.relay.append(partial(self.saved, self.written[self.saved :]))

    async def do_arrive(self, place: int, again: bool) -> None:  # noqa: FBT001 - a draw
        """Have one that is on its way come, out of order, and maybe again."""
        if self.relay:
            told = self.relay[place % len(self.relay)]
            if not again:
                self.relay.remove(told)
            if not self.node.hub.grow(1, told):
                # As `chat.growing_care` does: what is saved is read.
                self.node.hub.grow(1, partial(0, self.written[: self.saved]))
                self.node.hub.grow(1, told)

    async def do_lose(self, place: int) -> None:
        if self.relay:
            del self.relay[place % len(self.relay)]

    async def do_join(self, number: int, how: str) -> None:
        await self.join(self.readers[number], how)

    async def join(self, reader: Reader, how: str) -> None:
        """Come, having read the list of messages, or from what was seen last."""
        await self.leave(reader)
        budget = None if reader.connection is None and how == "list" else 2
        reader.sink, reader.read = SlowSink(budget, straight=how == "list"), 0
        if how == "list" or not reader.position:
            reader.text = self.written[: self.saved]
            reader.position = self.log.end(1)
        reader.connection, _ = connect(reader.sink, limit_bytes=300)
        await join(self.node, reader.connection, 1, after=reader.position)

    async def do_leave(self, number: int) -> None:
        await self.leave(self.readers[number])

    async def leave(self, reader: Reader) -> None:
        if reader.connection is not None:
            reader.listen(self.written)
            self.node.remove(reader.connection)
            reader.connection = None

    async def do_take(self, number: int, frames: int) -> None:
        self.readers[number].sink.allow(frames)

    async def do_other(self) -> None:
        """Have somebody else write a message."""
        self.node.hub.publish(1, self.log.write(1, text="x" * 40))

    async def do_wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await turns(3)


@thorough
@given(st.lists(steps, max_size=40))
@example(
    [
        ("join", 0, "list"),
        ("write", 3),
        ("tell",),
        ("arrive", 0, False),
        ("wait", 0.2),
        ("write", 2),
        ("save",),
        ("write", 2),
        ("tell",),
        ("join", 1, "list"),
        ("arrive", 0, True),
        ("wait", 0.2),
        ("arrive", 0, False),
    ]
)
def test_everybody_has_a_beginning_of_the_text_and_then_all(
    program: list[Step],
) -> None:
    loop = JumpingLoop()

    async def run() -> None:
        with small_bounds():
            await Growth().run(program)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(run())
