"""Delivery as a whole, driven by a program and checked against the log.

A `World` is a node over a log in memory, with clients that take what they like when
they like. Each client's stream is held to one rule: in every room, from where it was
told that it begins, what arrives is a run of the log without a hole or a double.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from headgate.live.connection import Connection
from headgate.live.frames import Frame, Mode, frame_of
from headgate.live.node import Node
from headgate.live.ports import LogUnavailable
from headgate.protocol.pushes import LogEvent
from tests.live.parts import MemoryLog, SlowSink, message, turns, until

__all__ = ["Broken", "Step", "World", "programs"]

ROOMS = (1, 2)
CLIENTS = 3
RESUME_LIMIT = 12
LARGEST = frame_of(message(1, 10_000, "x" * 60)).size  # of an event in these tests

Step = tuple[Any, ...]


class Broken(AssertionError):  # noqa: N818 - as in a broken promise
    """A promise of delivery was broken."""


_rooms = st.sampled_from(ROOMS)
_clients = st.integers(0, CLIENTS - 1)
_step: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("write"), _rooms, st.integers(1, 6), st.integers(1, 60)),
    st.tuples(
        st.just("hint"),
        st.integers(0, 5),
        st.sampled_from(["tell", "tell", "tell", "twice", "lose", "reach"]),
    ),
    st.tuples(st.just("join"), _clients, _rooms, st.sampled_from(["now", "seen"])),
    st.tuples(st.just("join"), _clients, _rooms, st.integers(0, 20)),
    st.tuples(st.just("leave"), _clients, _rooms),
    st.tuples(st.just("drop"), _clients),
    st.tuples(st.just("drain"), _clients, st.integers(0, 4) | st.none()),
    st.tuples(st.just("stall"), _clients),
    st.tuples(st.just("turn"), st.integers(1, 6)),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("release")),
    st.tuples(st.just("away"), st.booleans()),
)


def programs() -> st.SearchStrategy[list[Step]]:
    """Return programs that begin with watchers in a room."""
    start = st.lists(
        st.tuples(st.just("join"), _clients, _rooms, st.just("now")),
        min_size=1,
        max_size=4,
    )
    # Hypothesis prefers short lists, and most of what can go wrong takes many steps.
    steps = st.lists(_step, max_size=40) | st.lists(_step, min_size=25, max_size=60)
    return st.builds(lambda a, b: [*a, ("turn", 6), *b], start, steps)


class Client:
    """Somebody who comes, goes and comes back; keeps what it saw in each room."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.sink = SlowSink()
        self.seen: dict[int, int] = {}
        # Where it is in each room that it is in, by what it was told.
        self.places: dict[int, int] = {}
        self.read = 0  # of the frames that the sink has taken
        self.joining: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Read what is new, and hold it to the rule."""
        for frame in self.sink.taken[self.read :]:
            self._hear(msgspec.json.decode(frame.payload))
        self.read = len(self.sink.taken)

    def _hear(self, said: dict[str, Any]) -> None:
        if "joined" in said:
            self.places[said["joined"]] = said["at"]
            self.seen[said["joined"]] = said["at"]
            return
        if "left" in said:
            self.places.pop(said["left"], None)
            return
        room_id, seq = int(said["room"].removeprefix("room-")), said["seq"]
        if room_id not in self.places:
            raise Broken(f"{seq} of room {room_id}, which it is not in")
        if seq != self.places[room_id] + 1:
            raise Broken(f"{seq} after {self.places[room_id]} of room {room_id}")
        self.places[room_id] = self.seen[room_id] = seq


class World:
    """Runs one program."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.node = Node(self.log, resume_limit=RESUME_LIMIT, told=self._told)
        self.clients = [Client() for _ in range(CLIENTS)]
        self.hints: list[tuple[int, list[LogEvent]]] = []
        self.told: dict[int, int] = {}

    def _told(self, room_id: int, events: Sequence[LogEvent]) -> None:
        """Hold what is told to the rule of the log: each event once, in order."""
        for event in events:
            room = self.node.hub.rooms[room_id]
            if event.seq != max(self.told.get(room_id, 0), room.head) + 1:
                raise Broken(f"{event.seq} was told at head {room.head}")
            self.told[room_id] = event.seq

    async def run(self, program: Sequence[Step]) -> None:
        """Do each step, then let all come to rest; raises `Broken`."""
        for name, *arguments in program:
            await getattr(self, f"do_{name}")(*arguments)
            self.check()
        await self.rest()
        await self.end()

    # --- steps ---

    async def do_write(self, room_id: int, count: int, size: int) -> None:
        """Commit events; somebody may hear of them later."""
        self.hints.append((room_id, self.log.write(room_id, count, "x" * size)))

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

    async def do_join(self, number: int, room_id: int, after: str | int) -> None:
        """Join from now, from what was seen, or from anywhere, on a connection."""
        client = self.clients[number]
        if client.joining is not None and not client.joining.done():
            return  # a client's commands are heard one after the other
        if client.connection is None:
            self._connect(client)
        begun = self._join(client, room_id, after)
        client.joining = asyncio.create_task(begun)
        await turns(1)

    def _connect(self, client: Client) -> None:
        client.sink, client.read, client.places = SlowSink(), 0, {}
        client.connection = Connection(
            client.sink,
            Mode.V1,
            owner=None,
            outbox_max_bytes=400,
        )
        self.node.add(client.connection)

    async def _join(self, client: Client, room_id: int, after: str | int) -> None:
        connection = client.connection
        if connection is None:
            return
        place = None if after == "now" else after
        if place == "seen":
            place = client.seen.get(room_id)
        try:
            room = await self.node.open(room_id)
        except LogUnavailable:
            return
        if connection.closed:
            self.node.hub.sweep()
            return
        asked = place if isinstance(place, int) else None
        if after not in {"now", "seen"} and asked is not None and asked > room.head:
            asked = self.log.end(room_id) + asked  # from the future, truly
        reset = self.node.watch(
            connection,
            room,
            after=asked,
            epoch=None,
            visible_from=1,
            rights=None,
        )
        begins = connection.watches[room_id].position
        self._check_beginning(asked, begins, room.head, reloads=reset is not None)
        said = msgspec.json.encode({"joined": room_id, "at": begins})
        connection.put(Frame(said))
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

    async def do_leave(self, number: int, room_id: int) -> None:
        """Leave a room."""
        client = self.clients[number]
        connection = client.connection
        if connection is None or room_id not in connection.watches:
            return
        self.node.hub.leave(connection.watches[room_id])
        connection.put(Frame(msgspec.json.encode({"left": room_id})))
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
        await self.node.remove(connection)
        taken = len(client.sink.taken)
        await turns(3)
        watching = [r.watches for r in self.node.hub.rooms.values()]
        if (
            connection in self.node.connections
            or any(connection in watches for watches in watching)
            or connection.watches
            or connection.catching_up is not None
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

    async def do_hold(self, late: bool) -> None:  # noqa: FBT001 - a step's argument
        """Hold reads back: before they look, or after."""
        self.log.held, self.log.late = True, late

    async def do_release(self) -> None:
        """Let held reads go on."""
        self.log.held = False
        self.log.release()

    async def do_away(self, away: bool) -> None:  # noqa: FBT001 - a step's argument
        """Let the log be away, or back."""
        self.log.away = away

    # --- what must hold ---

    def check(self) -> None:
        """Hold every client and every outbox to the promises."""
        for client in self.clients:
            client.listen()
            if client.connection is None:
                continue
            outbox = client.connection.outbox
            if outbox.size_bytes != sum(frame.size for frame in outbox.frames):
                raise Broken("the outbox does not know its size")
            events = [f for f in outbox.frames if b'"push"' in f.payload]
            if sum(frame.size for frame in events) >= outbox.limit_bytes + LARGEST:
                raise Broken("the outbox is over its limit by more than one event")

    def resting(self) -> bool:
        """Return whether nothing is under way."""
        busy = (c.catching_up or c.dirty for c in self.node.connections)
        return len(asyncio.all_tasks()) == 1 and not any(busy)

    async def rest(self) -> None:
        """Let everything arrive: all clients take, the log answers, heads are told."""
        self.log.away = False
        await self.do_release()
        for client in self.clients:
            client.sink.allow(None)
        await until(self.resting)
        for room_id in ROOMS:
            self.node.hub.reach(room_id, self.log.end(room_id))
        await until(self.resting)
        self.check()
        for client in self.clients:
            places = {} if client.connection is None else client.places
            for room_id, place in places.items():
                if place != self.log.end(room_id):
                    raise Broken(f"{place} of {self.log.end(room_id)} arrived")

    async def end(self) -> None:
        """Let all go; nothing may be left."""
        for number in range(CLIENTS):
            await self.do_drop(number)
        self.node.hub.sweep()
        await turns(3)
        if self.node.hub.rooms or self.node.connections:
            raise Broken("rooms or connections are kept")
