"""Delivery as a whole, driven by a program and checked against the log.

A `World` is a node over a log in memory, with clients that take what they like when
they like. Ticks, holds, retries and paces are the real ones, on a loop that jumps.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from headgate.limits.rates import Rate
from headgate.live import hub, pages, run, tail
from headgate.live.connection import Connection, Watch
from headgate.live.frames import frame_of
from headgate.live.node import Node
from headgate.live.ports import LogUnavailable
from headgate.live.signals import Signal
from headgate.protocol.pushes import (
    Author,
    Deleted,
    Edited,
    LogEvent,
    Membership,
    Message,
    TypingSignal,
)
from tests.live.bounds import EPOCH
from tests.live.jumping_loop import jumping_loop
from tests.live.listener import GONE, Broken, Listener, mark, version
from tests.live.parts import AT, GUS, MemoryLog, SlowSink, connect, message, turns
from tests.live.programs import CLIENTS, ROOMS, Step

__all__ = ["World"]

RESUME_LIMIT = 40
OUTBOX_BYTES = 600
LARGEST_BYTES = 300  # of an event in these tests, at most
FRAME_SECONDS = 0.0004
REST_SECONDS = 6.0  # in which all that waits has come, with the slowest of paces


class _Errors(logging.Handler):
    """Keeps what was logged as an error: no step of a program is one."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(self.format(record))


class Client:
    """Somebody who comes, goes and comes back."""

    def __init__(self, number: int) -> None:
        self.key = f"u:{number}"
        self.straight = number != 1
        self.connection: Connection | None = None
        self.sink = SlowSink()
        self.listener = Listener()
        self.read = 0  # of the frames that the sink has taken
        self.joining: asyncio.Task[None] | None = None
        self.finished_bytes = 0  # what was put at the end of a watch, past the limit
        self.numbers: dict[Watch, int] = {}
        self.inside: set[int] = set()  # the rooms in which it was told that it is

    def mark(self, **said: Any) -> None:
        """Put a mark among what goes out."""
        if self.connection is not None and not self.connection.closed:
            frame = mark(**said)
            self.connection.outbox.put_in_order([frame], frame.size)

    def leave(self, room_id: int, last: int | None, *, whole: bool) -> None:
        """Tell it that it is out of a room, by the event `last` if by one."""
        if room_id in self.inside:
            self.inside.remove(room_id)
            self.mark(left=room_id, last=last, whole=whole)

    def listen(self) -> None:
        """Read what is new, and hold it to the rules."""
        now = jumping_loop().time()
        for frame in self.sink.taken[self.read :]:
            self.listener.hear(msgspec.json.decode(frame.payload), now)
        self.read = len(self.sink.taken)


class World:
    """Runs one program; to be made within `small_bounds`, on a `JumpingLoop`."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.node = Node(self.log, resume_limit=RESUME_LIMIT, told=self._told)
        self.clients = [Client(number) for number in range(CLIENTS)]
        self.hints: list[tuple[int, list[LogEvent]]] = []
        self.told: dict[int, int] = {}
        # By room and seq, the version of a text that the hub was told of.
        self.due: dict[int, dict[int, int]] = defaultdict(dict)
        self.watches = 0
        self.errors = _Errors()

    def _told(self, room_id: int, events: Sequence[LogEvent]) -> None:
        """Hold what is told to the rule of the log, and do as `chat.standing` does."""
        for place, event in enumerate(events):
            room = self.node.hub.rooms[room_id]
            if event.seq != max(self.told.get(room_id, 0), room.head) + 1:
                raise Broken(f"{event.seq} was told at head {room.head}")
            self.told[room_id] = event.seq
            if isinstance(event, Edited):
                self._due(room_id, event.target, version(event.text))
            elif isinstance(event, Deleted):
                for edit in self.log.rooms[room_id]:
                    if isinstance(edit, Edited) and edit.target == event.target:
                        self._due(room_id, edit.seq, GONE)
                self._due(room_id, event.target, GONE)
            elif isinstance(event, Membership):
                self._finish(room_id, event, events[:place])
                if room_id not in self.node.hub.rooms:
                    return

    def _due(self, room_id: int, seq: int, version: int) -> None:
        """Note that whoever was not sent an event yet is to get it as it is now."""
        self.due[room_id][seq] = version
        for client in self.clients:
            watch = client.connection and client.connection.watches.get(room_id)
            if watch and not watch.live and watch.position < seq:
                client.listener.due[client.numbers[watch]][seq] = version

    def _finish(
        self, room_id: int, event: Membership, before: Sequence[LogEvent]
    ) -> None:
        client = self.clients[int(event.member.id.removeprefix("u:"))]
        connection = client.connection
        if connection is None or room_id not in connection.watches:
            return
        watch = connection.watches[room_id]
        here = self.node.hub.rooms[room_id]
        whole = (
            watch.live
            and here.tail.has(watch.position)
            and connection.sink.takes(connection.outbox)
        )
        waited = connection.outbox.size_bytes
        self.node.hub.finish(watch, before)
        client.finished_bytes += connection.outbox.size_bytes - waited
        client.leave(room_id, event.seq, whole=whole)
        self.node.touch(connection)

    async def run(self, program: Sequence[Step]) -> None:
        """Do each step, then let all come to rest; raises `Broken`."""
        logger = logging.getLogger("headgate")
        logger.addHandler(self.errors)
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: self.errors.told.append(str(context))
        )
        try:
            for name, *arguments in program:
                await getattr(self, f"do_{name}")(*arguments)
                await self.check()
            await self.rest()
            await self.end()
        finally:
            logger.removeHandler(self.errors)

    # --- steps ---

    async def do_write(
        self,
        room_id: int,
        count: int,
        size: int,
        priority: str,
        expires_in_ms: int | None,
    ) -> None:
        """Commit messages; somebody may hear of them later."""
        now = EPOCH + timedelta(seconds=jumping_loop().time())
        at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        more = {"at": at, "priority": priority, "expires_in_ms": expires_in_ms}
        text = "0 " + "x" * size
        self.hints.append((room_id, self.log.write(room_id, count, text, **more)))

    async def do_edit(self, room_id: int, back: int) -> None:
        """Commit another text of a message of the last ones."""
        message = self._message(room_id, back)
        if message is not None:
            text = f"{version(message.text) + 1} edited"
            self.hints.append((room_id, self.log.edit(room_id, message.seq, text)))

    async def do_delete(self, room_id: int, back: int) -> None:
        """Commit that a message of the last ones is gone."""
        message = self._message(room_id, back)
        if message is not None:
            self.hints.append((room_id, self.log.delete(room_id, message.seq)))

    def _message(self, room_id: int, back: int) -> Message | None:
        place = self.log.end(room_id) - 1 - back
        event = self.log.rooms[room_id][place] if place >= 0 else None
        return event if isinstance(event, Message) and not event.deleted else None

    async def do_remove(self, number: int, room_id: int) -> None:
        """Commit that somebody is out of a room."""
        member = Author(self.clients[number].key, "user", "Ada")
        event = Membership(
            room=f"room-{room_id}",
            seq=self.log.end(room_id) + 1,
            member=member,
            change="removed",
            author=GUS,
            at=AT,
        )
        self.hints.append((room_id, self.log.add(room_id, [event])))

    async def do_hint(self, place: int, fate: str) -> None:
        """Tell, double, lose or shorten one of the hints that are on their way."""
        if not self.hints:
            return
        room_id, events = self.hints.pop(place % len(self.hints))
        if fate == "reach":
            self.node.hub.reach(room_id, events[-1].seq)
        elif fate != "lose":
            self.node.hub.publish(room_id, events)
        if fate == "twice":
            self.node.hub.publish(room_id, events)

    async def do_tell(self) -> None:
        """Tell all hints that are on their way, in their order."""
        hints, self.hints = self.hints, []
        for room_id, events in hints:
            self.node.hub.publish(room_id, events)

    async def do_signal(self, room_id: int, who: int) -> None:
        """Tell those who are there that somebody is typing."""
        push = TypingSignal(room=f"room-{room_id}", author=GUS, typing=True)
        self.node.hub.signal(room_id, Signal(("typing", f"u:{who}"), push))

    async def do_join(
        self, number: int, room_id: int, after: str | int, pace: str | None, wait: int
    ) -> None:
        """Join from now, from what was seen, or from anywhere, on a connection."""
        client = self.clients[number]
        if client.joining is not None and not client.joining.done():
            return  # a client's commands are heard one after the other
        if client.connection is None:
            self._connect(client)
        begun = self._join(client, room_id, after, pace, wait)
        client.joining = asyncio.create_task(begun)
        await turns(1)

    def _connect(self, client: Client) -> None:
        client.sink = SlowSink(straight=client.straight, seconds=FRAME_SECONDS)
        client.read, client.finished_bytes = 0, 0
        client.listener.places.clear()
        client.connection, _ = connect(
            client.sink, limit_bytes=OUTBOX_BYTES, owner=client.key
        )
        self.node.add(client.connection)

    async def _join(
        self,
        client: Client,
        room_id: int,
        after: str | int,
        pace: str | None,
        wait: int,
    ) -> None:
        connection = client.connection
        if connection is None:
            return
        place = None if after == "now" else after
        if place == "seen":
            place = client.listener.seen.get(room_id)
        asked = place if isinstance(place, int) else None
        try:
            here = await self.node.open(room_id, (asked or 0) if after == "seen" else 0)
        except LogUnavailable:
            return
        if connection.closed:
            self.node.hub.sweep()
            return
        if after not in {"now", "seen"} and asked is not None and asked > here.head:
            asked = self.log.end(room_id) + asked  # from the future, truly
        reset = self.node.watch(
            connection,
            here,
            after=asked,
            epoch=None,
            visible_from=1,
            rights=None,
        )
        watch = connection.watches[room_id]
        begins = watch.position
        self._check_beginning(asked, begins, here.head, reloads=reset is not None)
        self.watches += 1
        client.numbers[watch] = self.watches
        due = {seq: each for seq, each in self.due[room_id].items() if seq > begins}
        client.listener.due[self.watches] = due
        await turns(wait)
        if watch.ended or connection.closed:
            return
        client.inside.add(room_id)
        client.mark(joined=room_id, at=begins, watch=client.numbers[watch])
        self._pace(client, watch, pace)
        self.node.touch(connection)
        self.node.go(connection, room_id)

    def _check_beginning(
        self,
        asked: int | None,
        begins: int,
        head: int,
        *,
        reloads: bool,
    ) -> None:
        if asked is None or reloads:
            lost = asked is not None and not head - RESUME_LIMIT <= asked <= head
            if begins != head or (reloads and not lost):
                raise Broken(f"begins at {begins} of {head}, asked after {asked}")
        elif begins != asked:
            raise Broken(f"begins at {begins}, asked after {asked}")

    def _pace(self, client: Client, watch: Watch, pace: str | None) -> None:
        rate = None if pace is None else Rate.parse(pace)
        if rate == (watch.pace and watch.pace.rate):
            return  # the same again changes nothing
        client.mark(paced=watch.room_id, rate=pace, since=jumping_loop().time())
        self.node.pace(watch, rate)

    async def do_pace(self, number: int, room_id: int, pace: str | None) -> None:
        """Have somebody take only so much from now on, or all."""
        client = self.clients[number]
        watch = client.connection and client.connection.watches.get(room_id)
        if client.connection and watch and watch.begun:
            self._pace(client, watch, pace)
            self.node.touch(client.connection)

    async def do_leave(self, number: int, room_id: int) -> None:
        """Leave a room."""
        client = self.clients[number]
        connection = client.connection
        if connection is None or room_id not in connection.watches:
            return
        watch = connection.watches[room_id]
        self.node.hub.leave(watch)
        client.leave(room_id, None, whole=False)
        self.node.touch(connection)

    async def do_drop(self, number: int) -> None:
        """Lose the connection; nothing of it may be kept."""
        client = self.clients[number]
        connection = client.connection
        if connection is None:
            return
        client.connection = None
        if client.joining is not None:
            client.joining.cancel()  # as the consumer's own task ends with it
            await asyncio.gather(client.joining, return_exceptions=True)
        self.node.remove(connection)
        await client.sink.close()
        taken = len(client.sink.taken)
        await turns(3)
        client.listener.due.clear()
        client.numbers.clear()
        client.inside.clear()
        watching = [each.watches for each in self.node.hub.rooms.values()]
        if (
            connection in self.node.connections
            or any(connection in watches for watches in watching)
            or connection.watches
            or connection.behind
            or len(client.sink.taken) != taken
        ):
            raise Broken("a closed connection is kept")

    async def do_drain(self, number: int, frames: int | None) -> None:
        """Let a client take frames."""
        self.clients[number].sink.allow(frames)

    async def do_stall(self, number: int) -> None:
        """Let a client take no more."""
        self.clients[number].sink.budget = 0

    async def do_turn(self, count: int) -> None:
        """Let the loop turn."""
        await turns(count)

    async def do_wait(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def do_hold(self, late: bool) -> None:  # noqa: FBT001 - a step's argument
        """Hold reads back: before they look, or after."""
        self.log.held, self.log.late = True, late

    async def do_release(self) -> None:
        """Let held reads go on."""
        self.log.release()

    async def do_away(self, away: bool) -> None:  # noqa: FBT001 - a step's argument
        """Let the log be away, or back."""
        self.log.away = away

    # --- what must hold ---

    async def check(self) -> None:
        """Hold every client and every bound to the promises."""
        for number, client in enumerate(self.clients):
            client.listen()
            if client.connection is None:
                continue
            self._check_outbox(client, client.connection)
            if client.connection.closed:  # it was cut off, and its consumer ends
                await self.do_drop(number)
        self._check_memory()
        if self.errors.told:
            raise Broken(self.errors.told[0])

    def _check_outbox(self, client: Client, connection: Connection) -> None:
        outbox = connection.outbox
        lanes = [*outbox.control, *outbox.stream, *outbox.signals.values()]
        if outbox.size_bytes != sum(frame.size for frame in lanes):
            raise Broken("the outbox does not know its size")
        events = sum(f.size for f in outbox.stream if b'"push"' in f.payload)
        most = OUTBOX_BYTES + run.RUN_MAX_BYTES + LARGEST_BYTES + client.finished_bytes
        if events >= most:
            raise Broken(f"{events} bytes wait in an outbox")
        if any(f.size > LARGEST_BYTES for f in lanes):
            raise Broken("these tests know of no event as large as that")
        for watch in connection.watches.values():
            if watch.position > self.node.hub.rooms[watch.room_id].head:
                raise Broken("somebody was fed past the head")

    def _check_memory(self) -> None:
        """Hold tails and pages to their bounds; each may be one event over."""
        here = self.node.hub
        sizes = largest = 0
        for each in here.rooms.values():
            size = sum(shared.size for shared in each.tail.events(0))
            if size != each.tail.size_bytes or each.tail.head != each.head:
                raise Broken("a tail does not know its size, or its head")
            if size > tail.KEPT_BYTES:
                raise Broken(f"a tail has {size} bytes")
            if len(each.held) > hub.MOST_HELD:
                raise Broken(f"{len(each.held)} events are held")
            sizes += each.tail.memory_bytes
            largest = max(largest, each.tail.memory_bytes)
        if sizes != here._tails_bytes or sizes > max(hub.TAILS_MAX_BYTES, largest):
            raise Broken(f"tails have {sizes} bytes")
        kept = list(here._pages._kept.values())
        size = sum(page.memory_bytes for page in kept)
        if size != here._pages._memory_bytes:
            raise Broken("pages do not know their size")
        if len(kept) > 1 and size > pages.KEPT_MAX_BYTES:
            raise Broken(f"pages have {size} bytes")

    async def rest(self) -> None:
        """Let everything arrive: all clients take, the log answers, heads are told."""
        self.log.away = False
        await self.do_release()
        for client in self.clients:
            client.sink.allow(None)
        await asyncio.sleep(REST_SECONDS)
        await self.check()
        for room_id in ROOMS:
            self.node.hub.reach(room_id, self.log.end(room_id))
        await asyncio.sleep(REST_SECONDS)
        await self.check()
        for client in self.clients:
            if client.connection is None:
                continue
            for room_id, place in client.listener.places.items():
                if place.seq != self.log.end(room_id):
                    raise Broken(f"{place.seq} of {self.log.end(room_id)} arrived")

    async def end(self) -> None:
        """Let all go; nothing may be left."""
        for number in range(CLIENTS):
            await self.do_drop(number)
        self.node.hub.sweep()
        self.node.close()
        await turns(3)
        if self.node.hub.rooms or self.node.connections:
            raise Broken("rooms or connections are kept")
        here = self.node.hub._pages
        if here._kept or here._readings or here._memory_bytes or self.node.hub._tails:
            raise Broken("what was read is kept")
        if not self.node.scheduler.idle or len(asyncio.all_tasks()) > 1:
            raise Broken("something is still under way")
        await self.check()


assert frame_of(message(1, 10_000, "x" * 60)).size < LARGEST_BYTES - 60
