"""A log in memory and ways out that a test holds in its hands."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from headgate.limits.rates import Rate
from headgate.live.connection import Connection, Watch
from headgate.live.frames import Frame, Mode, frame_of
from headgate.live.node import Node
from headgate.live.outbox import Outbox
from headgate.live.ports import LogUnavailable, RoomHead
from headgate.live.revised import revised
from headgate.protocol.pushes import Author, Deleted, Edited, LogEvent, Message
from tests.live.jumping_loop import jumping_loop

__all__ = [
    "AT",
    "GUS",
    "MemoryLog",
    "Owner",
    "SlowSink",
    "connect",
    "deletion",
    "edit",
    "frames_in",
    "join",
    "message",
    "seqs",
    "turns",
    "until",
]

T = TypeVar("T")

GUS = Author("g:1", "guest", "Gus")
AT = "2026-01-01T00:00:00.000Z"


def message(room_id: int, seq: int, text: str = "hi", **more: Any) -> Message:
    """Return an event of a room's log."""
    return Message(
        room=f"room-{room_id}", seq=seq, author=GUS, text=text, **({"at": AT} | more)
    )


def edit(room_id: int, seq: int, target: int, text: str) -> Edited:
    """Return the event that a message has another text."""
    return Edited(
        room=f"room-{room_id}", seq=seq, target=target, author=GUS, text=text, at=AT
    )


def deletion(room_id: int, seq: int, target: int) -> Deleted:
    """Return the event that a message is gone."""
    return Deleted(room=f"room-{room_id}", seq=seq, target=target, author=GUS, at=AT)


@dataclass(frozen=True)
class Owner:
    """Whose connection it is."""

    key: str


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

    def write(
        self, room_id: int, count: int = 1, text: str = "hi", **more: Any
    ) -> list[LogEvent]:
        """Commit messages and return them."""
        first = self.end(room_id) + 1
        seqs = range(first, first + count)
        return self.add(room_id, [message(room_id, seq, text, **more) for seq in seqs])

    def add(self, room_id: int, events: Sequence[LogEvent]) -> list[LogEvent]:
        """Commit events and return them."""
        self.rooms[room_id].extend(events)
        return list(events)

    def edit(self, room_id: int, target: int, text: str) -> list[LogEvent]:
        """Commit an edit and return it; the message has that text from now on."""
        return self._change(room_id, edit(room_id, self.end(room_id) + 1, target, text))

    def delete(self, room_id: int, target: int) -> list[LogEvent]:
        """Commit a deletion and return it; the text is gone with it."""
        return self._change(room_id, deletion(room_id, self.end(room_id) + 1, target))

    def _change(self, room_id: int, change: LogEvent) -> list[LogEvent]:
        log = self.rooms[room_id]
        log[:] = [revised(event, change) or event for event in log]
        return self.add(room_id, [change])

    def end(self, room_id: int) -> int:
        """Return the seq of a room's last event."""
        return len(self.rooms[room_id])

    def release(self) -> None:
        """Let all held reads go on."""
        self.held = False
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
        *,
        max_bytes: int,
    ) -> Sequence[LogEvent]:
        """Return a page of events, of about as many bytes at most."""
        self.reads.append((room_id, after, to))
        return await self._read(
            lambda: self._page(room_id, after, to, limit, max_bytes)
        )

    def _page(
        self, room_id: int, after: int, to: int, limit: int, max_bytes: int
    ) -> list[LogEvent]:
        page: list[LogEvent] = []
        size = 0
        for event in self.rooms[room_id][after:to][:limit]:
            page.append(event)
            size += frame_of(event).size
            if size >= max_bytes:
                break
        return page

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


def frames_in(written: bytes) -> list[Frame]:
    """Return the text frames that a server wrote (RFC 6455, section 5.2)."""
    found = []
    while written:
        assert written[0] == 0x81
        length, begin = written[1], 2
        if length >= 126:
            begin = 4 if length == 126 else 10
            length = int.from_bytes(written[2:begin], "big")
        found.append(Frame(written[begin : begin + length]))
        written = written[begin + length :]
    return found


class SlowSink:
    """Implements `Sink`. Takes as many frames as it may; None stands for all.

    One that is `straight` takes runs past the outbox as long as it may take anything,
    as ready frames do: what it was given beyond that waits in a buffer of its own. One
    that is not has all go through the outbox, as ASGI `send` does. Each frame takes
    `seconds` of the loop's time.
    """

    def __init__(
        self,
        budget: int | None = None,
        *,
        straight: bool = True,
        seconds: float = 0.0,
    ) -> None:
        self.budget = budget
        self.straight = straight
        self.seconds = seconds
        self.taken: list[Frame] = []
        self.buffer: list[Frame] = []
        self.writes = 0
        self.written: list[bytes] = []  # past the outbox
        self.flushes = 0
        self.aborted = False
        self._outbox: Outbox | None = None

    @property
    def _open(self) -> bool:
        """Whether a straight one takes more into its buffer."""
        return self.budget != 0 and not self.buffer

    def write(self, frames: bytes) -> bool:
        """Take frames past the outbox, if it does that, and may."""
        if not self.straight or not self._open:
            return False
        self.writes += 1
        self.written.append(frames)
        self._buffer(frames_in(frames))
        return True

    def takes(self, outbox: Outbox) -> bool:
        """Return whether it may be given more."""
        return self._open if self.straight else outbox.roomy

    def flush(self, outbox: Outbox) -> None:
        """Take what may be taken; through an outbox it is taken in a later turn."""
        self.flushes += 1
        self._outbox = outbox
        if self.straight:
            self._take()
        else:
            asyncio.get_running_loop().call_soon(self._take)

    def allow(self, frames: int | None) -> None:
        """Take so many more frames from now on, or all."""
        self.budget = None if frames is None else (self.budget or 0) + frames
        self._spend_budget()
        self._take()

    def _buffer(self, frames: Sequence[Frame]) -> None:
        self.buffer += frames
        if self.seconds:
            jumping_loop().spend(self.seconds * len(frames))
        self._spend_budget()

    def _spend_budget(self) -> None:
        """Give the client what it takes of the buffer."""
        count = len(self.buffer) if self.budget is None else self.budget
        gone, self.buffer = self.buffer[:count], self.buffer[count:]
        self.taken += gone
        if self.budget is not None:
            self.budget -= len(gone)

    def _take(self) -> None:
        outbox = self._outbox
        if outbox is None or self.aborted:
            return
        if self.straight:
            if self._open:
                self._buffer(outbox.take_all())
                outbox.took()
            return
        while not outbox.empty and self.budget != 0:
            self._buffer([outbox.take()])
            outbox.took()

    @property
    def heard(self) -> list[Any]:
        """What the client has got."""
        return [msgspec.json.decode(frame.payload) for frame in self.taken]

    def waiting(self) -> int:
        """Return what has been taken, if there is more to take."""
        waits = self._outbox is not None and not self._outbox.empty
        return len(self.taken) + 1 if self.buffer or waits else 0

    def abort(self) -> None:
        """Take nothing any more."""
        self.aborted = True
        self.buffer = []
        self.budget = 0

    async def drained(self) -> None:
        """Not asked for in these tests."""

    async def close(self) -> None:
        """Take nothing more from the outbox."""
        self._outbox = None


def connect(
    sink: SlowSink | None = None,
    *,
    limit_bytes: int = 256 * 1024,
    mode: Mode = Mode.V1,
    owner: str = "u:1",
) -> tuple[Connection, SlowSink]:
    """Return a connection and its sink."""
    sink = SlowSink() if sink is None else sink
    connection = Connection(
        sink, mode, owner=Owner(owner), outbox_max_bytes=limit_bytes
    )
    return connection, sink


async def join(
    node: Node,
    connection: Connection,
    room_id: int,
    after: int | None = None,
    pace: str | None = None,
    visible_from: int = 1,
) -> Watch:
    """Watch a room as a client does."""
    if connection not in node.connections:
        node.add(connection)
    room = await node.open(room_id)
    node.watch(
        connection,
        room,
        after=after,
        epoch=None,
        visible_from=visible_from,
        rights=None,
    )
    watch = connection.watches[room_id]
    node.pace(watch, None if pace is None else Rate.parse(pace))
    node.go(connection, room_id)
    return watch


def seqs(sink: SlowSink, room_id: int = 1) -> list[int]:
    """Return the seqs of a room that a sink has taken, in their order."""
    room = f"room-{room_id}"
    return [
        said["seq"] for said in sink.heard if said.get("room") == room and "seq" in said
    ]


async def turns(count: int = 20) -> None:
    """Let the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool], most_seconds: float = 60.0) -> None:
    """Let the loop's time pass until something holds; it must hold before long."""
    loop = asyncio.get_running_loop()
    end = loop.time() + most_seconds
    while not condition():
        if loop.time() >= end:
            raise AssertionError(f"it does not come to hold in {most_seconds} s")
        for _ in range(10):
            if condition():
                return
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
