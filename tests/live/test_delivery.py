"""Whatever happens, each client gets a run of the log without a hole or a double.

The same property must find faults that are put in: a test that finds nothing there
would find nothing anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from headgate.live import node as node_module
from headgate.live.catch_up import PAGE, _feed
from headgate.live.connection import Connection, Watch
from headgate.live.frames import Shared
from headgate.live.hub import Hub
from headgate.live.node import Node
from headgate.live.ports import Log, LogUnavailable
from headgate.protocol.pushes import LogEvent
from tests.live.world import Broken, Step, World, programs

thorough = settings(
    deadline=None,
    max_examples=500,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)

JOIN = ("join", 0, 1, "now")
FROM_2 = ("join", 0, 1, 2)


def deliver(program: Sequence[Step]) -> None:
    async def run() -> None:
        async with asyncio.timeout(20):
            await World().run(program)

    asyncio.run(run())


@thorough
@given(programs())
@example([JOIN, ("turn", 6), JOIN, ("turn", 6), ("write", 1, 1, 1)])
@example([JOIN, ("turn", 6), ("write", 1, 5, 9), ("hint", 0, "tell"), FROM_2, FROM_2])
def test_every_stream_is_a_run_of_the_log(program: list[Step]) -> None:
    deliver(program)


# --- faults -----------------------------------------------------------------------


def publish_past_holes(self: Hub, room_id: int, events: Sequence[LogEvent]) -> None:
    room = self.rooms.get(room_id)
    if room is None or room.head < 0:
        return
    new = [event for event in events if event.seq > room.head]
    if new:
        self._fan_out(room, new)


def publish_doubled(self: Hub, room_id: int, events: Sequence[LogEvent]) -> None:
    room = self.rooms.get(room_id)
    if room is not None and room.head >= 0:
        self._fan_out(room, events)


async def live_one_event_early(
    connection: Connection,
    hub: Hub,
    log: Log,
    touch: Callable[[Connection], None],
) -> None:
    while not connection.closed:
        watch = next((w for w in connection.watches.values() if not w.live), None)
        if watch is None:
            return
        await connection.outbox.room_in()
        room = hub.rooms.get(watch.room_id)
        if room is None or connection.watches.get(watch.room_id) is not watch:
            continue
        if watch.position >= room.head - 1:
            watch.live = True
            continue
        try:
            events = await log.events(watch.room_id, watch.position, room.head, PAGE)
        except LogUnavailable:
            await asyncio.sleep(0)
            continue
        _feed(watch, [Shared(event) for event in events])
        touch(connection)


def forget_the_place(self: Node, watch: Watch) -> None:
    watch.position = self.hub.rooms[watch.room_id].head
    real_catch_up(self, watch)


def put_without_asking_for_room(self: Connection, shared: Shared) -> bool:
    frame = shared.frame(self.mode)
    if frame is not None:
        self.outbox.put(frame)
    return True


async def remove_but_keep_the_watches(self: Node, connection: Connection) -> None:
    connection.closed = True
    self.connections.discard(connection)


real_catch_up = Node._catch_up


@pytest.mark.parametrize(
    ("owner", "name", "fault"),
    [
        (Hub, "publish", publish_past_holes),
        (Hub, "publish", publish_doubled),
        (node_module, "catch_up", live_one_event_early),
        (Node, "_catch_up", forget_the_place),
        (Connection, "put_event", put_without_asking_for_room),
        (Node, "remove", remove_but_keep_the_watches),
    ],
)
def test_the_property_finds_a_fault(
    monkeypatch: pytest.MonkeyPatch,
    owner: object,
    name: str,
    fault: object,
) -> None:
    monkeypatch.setattr(owner, name, fault)
    once = settings(thorough, derandomize=True, phases=[Phase.generate], database=None)

    with pytest.raises(Broken):
        once(given(programs())(deliver))()
