"""The property of `test_delivery` finds faults that are put in.

A test that finds nothing here would find nothing anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from headgate.live import feeder as feeder_module
from headgate.live.connection import Connection, Watch
from headgate.live.feeder import Feeder
from headgate.live.frames import Mode, Shared
from headgate.live.hub import Hub
from headgate.live.node import Node
from headgate.live.outbox import Outbox
from headgate.live.pace import Pace, chosen
from headgate.live.pages import Page, Pages
from headgate.live.room import HubRoom, _Pass
from headgate.live.run import Run, Said
from headgate.live.tail import Tail
from headgate.protocol.pushes import Gap, LogEvent
from tests.live.deliver import deliver, thorough
from tests.live.listener import Broken
from tests.live.programs import programs
from tests.live.rare_programs import RARE

MOST_EXAMPLES = 1_000  # by chance; what takes more is among the `RARE`


def publish_past_holes(self: Hub, room: HubRoom, events: Sequence[LogEvent]) -> None:
    self._append(room, events)


def publish_doubled(self: Hub, room_id: int, events: Sequence[LogEvent]) -> None:
    room = self.rooms.get(room_id)
    if room is not None and room.head >= 0 and events:
        self._append(room, events)


def append_the_held_twice(self: Hub, room: HubRoom, events: Sequence[LogEvent]) -> None:
    real_hold(self, room, events)
    for event in events:
        room.held[event.seq] = event


def forget_the_gap(events: Sequence[LogEvent], most: int, **where: Any) -> list[Any]:
    said = chosen(events, most, **where)
    return [each for each in said if not isinstance(each, Gap)]


def cover_a_sent_event(
    events: Sequence[LogEvent], most: int, **where: Any
) -> list[Any]:
    said = chosen(events, most, **where)
    for before, after in pairwise(said):
        if isinstance(before, Gap) and not isinstance(after, Gap):
            before.to = after.seq
    return said


def leave_one_out_of_the_gap(
    events: Sequence[LogEvent], most: int, **where: Any
) -> list[Any]:
    said = chosen(events, most, **where)
    return [
        Gap(room=each.room, from_=each.from_ + 1, to=each.to)
        if isinstance(each, Gap) and each.from_ < each.to
        else each
        for each in said
    ]


def allow_one_more(self: Pace, waiting: int, now: float) -> int:
    return min(real_allowed(self, waiting, now) + 1, waiting)


def double_a_page(self: Feeder, room: HubRoom, watch: Watch) -> bool:
    before = watch.position
    more = real_feed_run(self, room, watch)
    if watch.position > before + 1:
        watch.position -= 1
    return more


def live_one_event_early(self: Feeder, room: HubRoom, watch: Watch) -> bool:
    if watch.position >= room.head - 1:
        watch.live = True
        return False
    return real_feed_run(self, room, watch)


def forget_the_place(self: HubRoom, watch: Watch) -> None:
    watch.position = self.head
    real_fell_behind(self, watch)


def put_past_the_limit(self: HubRoom, connection: Connection, said: Said) -> bool:
    connection.outbox.put_in_order(said.frames, said.size_bytes)
    self._out.touch(connection)
    return True


def overtake_what_waits(self: HubRoom, connection: Connection, said: Said) -> bool:
    return connection.sink.write(said.ready) or real_deliver(self, connection, said)


def keep_the_watches(self: Node, connection: Connection) -> None:
    connection.closed = True
    self.connections.discard(connection)


def read_past_the_head(
    self: Feeder, room: HubRoom, position: int, watch: Watch
) -> None:
    def came(page: Page) -> None:
        self._came(watch, page)

    self._pages.read(room.room_id, position, room.head + 5, came)


def feed_all_that_was_read(self: Feeder, room: HubRoom, watch: Watch) -> Run | None:
    position = watch.position
    if room.tail.has(position):
        return room.tail.run(position)
    page = self._pages.find(room.room_id, position)
    run = None if page is None else page.run(position)
    if run is None:
        read_past_the_head(self, room, position, watch)
    return run


def ignore_positions(self: HubRoom, run: Run, watches: list[Watch]) -> None:
    for watch in watches:
        if watch.live:
            self._send_to(watch, run.said(Mode.V1), run.last)


def send_to_all(self: HubRoom, run: Run, watches: list[Watch]) -> None:
    for watch in watches:
        if watch.begun and run.after <= watch.position < run.last:
            said = run.part(watch.position).said(Mode.V1)
            self._send_to(watch, said, run.last)


def leave_the_tail_as_it_was(self: Tail, change: LogEvent) -> None:
    """Change no text."""


def leave_pages_as_they_were(self: Pages, room_id: int, change: LogEvent) -> None:
    """Change no text."""


def forget_what_is_read(self: Pages, room_id: int, change: LogEvent) -> None:
    readings, self._readings = self._readings, {}
    real_revise_pages(self, room_id, change)
    self._readings = readings


def take_a_short_page_for_the_end(self: Feeder, watch: Watch, page: Page) -> None:
    room = self._rooms.get(watch.room_id)
    if room is None or watch.ended:
        return
    if page.last <= watch.position:
        watch.position = room.head
    self.feed(watch)


def wait_for_a_read_that_is_off(self: Pages, room_id: int) -> None:
    readings = dict(self._readings)
    real_forget(self, room_id)
    self._readings = readings


def go_on_with_what_is_left(self: HubRoom) -> _Pass:
    """Begin the pass where the tail begins, although not all of it was sent."""
    run = self.tail.run(self._sent)
    if run is None:
        self._sent = self.head
    return real_begin_pass(self)


def stand_in_line_for_nothing(self: Feeder, part: Any) -> bool:
    while self._line and not part.over:
        connection = next(iter(self._line))
        del self._line[connection]
        if not connection.closed and self._feed_next(connection, part):
            self._line[connection] = None
    return bool(self._line)


def keep_all(self: Tail, events: Iterable[LogEvent]) -> None:
    for event in events:
        self._shared.append(Shared(event))
        self.size_bytes += self._shared[-1].size


def finish_with_less(self: Hub, watch: Watch, last: Sequence[LogEvent]) -> None:
    self.leave(watch)


def finish_and_go_on(self: Hub, watch: Watch, last: Sequence[LogEvent]) -> None:
    real_finish(self, watch, last)
    room = self.rooms.get(watch.room_id)
    if room is not None:
        room.watches[watch.connection] = watch
        watch.position, watch.live = room.head + len(last), True


def tell_nobody_of_room(self: Outbox) -> None:
    """Say nothing when frames were taken."""


def begin_before_the_reply(self: Hub, room: HubRoom, watch: Watch) -> None:
    real_watch(self, room, watch)
    watch.begun = True
    watch.live = watch.position >= room.head


def rest_for_ever(self: Feeder, watch: Watch, pace: Pace) -> None:
    pace.timer = None


def pace_beside_the_others(self: Node, watch: Watch, rate: Any) -> None:
    live = watch.live
    real_pace(self, watch, rate)
    watch.live = live


real_hold = Hub._hold
real_finish = Hub.finish
real_watch = Hub.watch
real_feed_run = Feeder._feed_run
real_allowed = Pace.allowed
real_fell_behind = HubRoom._fell_behind
real_deliver = HubRoom.deliver
real_begin_pass = HubRoom._begin_pass
real_revise_pages = Pages.revise
real_forget = Pages.forget
real_pace = Node.pace

FAULTS: list[tuple[object, str, Callable[..., Any]]] = [
    (Hub, "_hold", publish_past_holes),
    (Hub, "_hold", append_the_held_twice),
    (Hub, "publish", publish_doubled),
    (Hub, "finish", finish_with_less),
    (Hub, "finish", finish_and_go_on),
    (Hub, "watch", begin_before_the_reply),
    (feeder_module, "chosen", forget_the_gap),
    (feeder_module, "chosen", cover_a_sent_event),
    (feeder_module, "chosen", leave_one_out_of_the_gap),
    (Pace, "allowed", allow_one_more),
    (Feeder, "_feed_run", double_a_page),
    (Feeder, "_feed_run", live_one_event_early),
    (Feeder, "_run", feed_all_that_was_read),
    (Feeder, "_came", take_a_short_page_for_the_end),
    (Feeder, "_rested", rest_for_ever),
    (Feeder, "work", stand_in_line_for_nothing),
    (HubRoom, "_fell_behind", forget_the_place),
    (HubRoom, "deliver", put_past_the_limit),
    (HubRoom, "deliver", overtake_what_waits),
    (HubRoom, "_send", ignore_positions),
    (HubRoom, "_send", send_to_all),
    (HubRoom, "_begin_pass", go_on_with_what_is_left),
    (Node, "remove", keep_the_watches),
    (Node, "pace", pace_beside_the_others),
    (Tail, "append", keep_all),
    (Tail, "revise", leave_the_tail_as_it_was),
    (Pages, "revise", leave_pages_as_they_were),
    (Pages, "revise", forget_what_is_read),
    (Pages, "forget", wait_for_a_read_that_is_off),
    (Outbox, "took", tell_nobody_of_room),
]


# What is under way when a promise is broken is left as it is.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.source
@pytest.mark.parametrize(
    ("owner", "name", "fault"), FAULTS, ids=[fault[2].__name__ for fault in FAULTS]
)
def test_the_property_finds_a_fault(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, fault: Callable[..., Any]
) -> None:
    monkeypatch.setattr(owner, name, fault)
    rare = RARE.get(fault.__name__)
    if rare is not None:
        with pytest.raises(Broken):
            deliver(rare)
        return
    once = settings(
        thorough,
        max_examples=MOST_EXAMPLES,
        derandomize=True,
        phases=[Phase.generate],
        database=None,
        report_multiple_bugs=False,
    )

    with pytest.raises(Broken):
        once(given(programs())(deliver))()


@pytest.mark.parametrize("name", list(RARE))
def test_what_finds_a_fault_finds_none_where_none_is(name: str) -> None:
    deliver(RARE[name])
