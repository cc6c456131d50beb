"""A log in memory and ways out that a test holds in its hands."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from headgate.live.connection import Connection
from headgate.live.frames import Frame, Mode
from headgate.live.node import Node
from headgate.live.outbox import Outbox
from headgate.live.ports import LogUnavailable, RoomHead
from headgate.protocol.pushes import Author, LogEvent, Message

__all__ = [
    "MemoryLog",
    "SlowSink",
    "connect",
    "join",
    "message",
    "seqs",
    "turns",
    "until",
]

T = TypeVar("T")

GUS = Author("g:1", "guest", "Gus")


def message(room_id: int, seq: int, text: str = "hi") -> Message:
    """Return an event of a room's log."""
    at = "2026-01-01T00:00:00.000Z"
    return Message(room=f"room-{room_id}", seq=seq, author=GUS, text=text, at=at)


class MemoryLog:
    """Implements `Log`. Reads can be held back, made late, and refused."""

    def __init__(self) -> None:
        self.rooms: dict[int, list[LogEvent]] = defaultdict(list)
        self.epoch = "e1"
        self.away = False
        # Held reads wait for `release`; `late` ones have looked before they wait.
        self.held = False
        self.late = False
        self.waiting: list[asyncio.Event] = []
        self.reads: list[tuple[int, int, int]] = []

    def write(self, room_id: int, count: int = 1, text: str = "hi") -> list[LogEvent]:
        """Commit events and return them."""
        log = self.rooms[room_id]
        first = len(log) + 1
        new = [message(room_id, seq, text) for seq in range(first, first + count)]
        log.extend(new)
        return list(new)

    def end(self, room_id: int) -> int:
        """Return the seq of a room's last event."""
        return len(self.rooms[room_id])

    def release(self) -> None:
        """Let all held reads go on."""
        waiting, self.waiting = self.waiting, []
        for gate in waiting:
            gate.set()

    async def head(self, room_id: int) -> RoomHead:
        """Return a room's head."""
        return await self._read(lambda: RoomHead(self.end(room_id), self.epoch))

    async def events(
        self,
        room_id: int,
        after: int,
        to: int,
        limit: int,
    ) -> list[LogEvent]:
        """Return a page of events."""
        self.reads.append((room_id, after, to))
        return await self._read(lambda: self.rooms[room_id][after:to][:limit])

    async def _read(self, look: Callable[[], T]) -> T:
        early = look() if self.late else None
        if self.held:
            gate = asyncio.Event()
            self.waiting.append(gate)
            await gate.wait()
        else:
            await asyncio.sleep(0)
        if self.away:
            raise LogUnavailable("away")
        return look() if early is None else early


class SlowSink:
    """Implements `Sink`. Takes as many frames as it may; None stands for all."""

    def __init__(self, budget: int | None = None) -> None:
        self.budget = budget
        self.taken: list[Frame] = []
        self.flushes = 0
        self._outbox: Outbox | None = None

    def flush(self, outbox: Outbox) -> None:
        """Take what may be taken."""
        self.flushes += 1
        self._outbox = outbox
        self._take()

    def allow(self, frames: int | None) -> None:
        """Take so many more frames from now on, or all."""
        self.budget = None if frames is None else (self.budget or 0) + frames
        self._take()

    def _take(self) -> None:
        outbox = self._outbox
        while outbox is not None and outbox.frames and self.budget != 0:
            self.taken.append(outbox.take())
            if self.budget is not None:
                self.budget -= 1
            outbox.took()

    @property
    def heard(self) -> list[Any]:
        """What the client has got."""
        return [msgspec.json.decode(frame.payload) for frame in self.taken]

    async def drained(self) -> None:
        """Not asked for in these tests."""

    async def close(self) -> None:
        """Have nothing to let go of."""


def connect(
    sink: SlowSink | None = None,
    *,
    limit_bytes: int = 256 * 1024,
    mode: Mode = Mode.V1,
) -> tuple[Connection, SlowSink]:
    """Return a connection and its sink."""
    sink = SlowSink() if sink is None else sink
    return Connection(sink, mode, owner=None, outbox_max_bytes=limit_bytes), sink


async def join(
    node: Node,
    connection: Connection,
    room_id: int,
    after: int | None = None,
) -> None:
    """Watch a room as a client does."""
    if connection not in node.connections:
        node.add(connection)
    room = await node.open(room_id)
    node.watch(
        connection,
        room,
        after=after,
        epoch=None,
        visible_from=1,
        rights=None,
    )
    node.go(connection, room_id)


def seqs(sink: SlowSink, room_id: int = 1) -> list[int]:
    """Return the seqs of a room that a sink has taken, in their order."""
    room = f"room-{room_id}"
    return [said["seq"] for said in sink.heard if said.get("room") == room]


async def turns(count: int = 20) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], most: int = 5_000) -> None:
    """Let the loop turn until something holds; it must hold before long."""
    for _ in range(most):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"it does not come to hold in {most} turns of the loop")
