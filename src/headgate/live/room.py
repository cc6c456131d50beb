"""A room with watchers in this process, and how its events go out to them.

What comes in is kept in the room's tail, and goes out in passes: one run of events to
one watcher after the other, in slices. A quiet room's pass begins at once. After a pass
the room rests for as long as that took, and what comes meanwhile goes out together, in
one write for each watcher: the tick. It is longer the larger the room is and the busier
the loop, and never longer than 50 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headgate.live.connection import Connection, Watch
from headgate.live.frames import Mode, Shared
from headgate.live.growing import GrowingTexts
from headgate.live.meters import Meters
from headgate.live.run import Run, Said
from headgate.live.scheduler import Scheduler, Slice
from headgate.live.signals import Signal, Signals
from headgate.live.tail import Tail
from headgate.protocol.pushes import LogEvent, Partial

__all__ = ["TICK_MAX_SECONDS", "HubRoom", "Outgoing"]

TICK_MAX_SECONDS = 0.05
TICK_OF_PASS = 1.0  # how long a room rests, as a part of what its last pass took
_AT_ONCE = 32  # watchers between two looks at the clock


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What all rooms of a node go out by.

    Attributes:
        feed: Takes each watch that is to be fed from now on.
        touch: Takes each connection that has something in its outbox.
    """

    loop: asyncio.AbstractEventLoop
    scheduler: Scheduler
    meters: Meters
    feed: Callable[[Watch], None]
    touch: Callable[[Connection], None]


class _Pass:
    """Events, what has grown and some signals, on their way to all watchers."""

    __slots__ = ("at", "began_at", "grown", "run", "signals", "watches")

    def __init__(
        self,
        run: Run | None,
        grown: Run | None,
        signals: list[tuple[Signal, Shared]],
        watches: list[Watch],
        began_at: float,
    ) -> None:
        self.run = run
        self.grown = grown
        self.signals = signals
        self.watches = watches
        self.at = 0  # the first of them whose turn has not come yet
        self.began_at = began_at


class HubRoom:
    """A room of this process.

    Attributes:
        head: The last event that is in the tail; below 0 until the log told the head.
        target: The furthest seq that is known to be committed.
        noted: A seq that the layer above notes here; at first the head, as what came
            before was not seen in this process.
        watches: Who watches.
        filling: What reads the log up to the target.
        held: Events from beyond a hole, which may be filled by what comes next.
        growing: The texts of messages that grow; None where there was none.
    """

    __slots__ = (
        "_due",
        "_out",
        "_pass",
        "_sent",
        "_signals",
        "_timer",
        "_waits_since",
        "epoch",
        "filling",
        "growing",
        "head",
        "held",
        "noted",
        "queued",
        "room_id",
        "tail",
        "target",
        "watches",
    )

    def __init__(self, room_id: int, out: Outgoing) -> None:
        self.room_id = room_id
        self.epoch = ""
        self.head = -1
        self.target = -1
        self.noted = -1
        self.tail = Tail(-1)
        self.watches: dict[Connection, Watch] = {}
        self.filling: asyncio.Task[None] | None = None
        self.held: dict[int, LogEvent] = {}
        self.growing: GrowingTexts | None = None
        self.queued = False
        self._out = out
        self._signals = Signals(out.meters)
        self._pass: _Pass | None = None
        self._sent = -1  # up to where passes have begun
        self._due = 0.0  # before it, what comes is gathered
        self._timer: asyncio.TimerHandle | None = None
        # When the first of what waits for a pass came; None where nothing waits.
        self._waits_since: float | None = None

    def begin(self, head: int, epoch: str) -> None:
        """Begin at the head that the log told."""
        self.head = self.noted = self._sent = head
        self.epoch = epoch
        self.tail = Tail(head)

    def append(self, events: Sequence[LogEvent]) -> None:
        """Take events that follow the head, and send them soon."""
        self.tail.append(events)
        self.head = events[-1].seq
        if self.target < self.head:  # noqa: PLR1730 - `max` is a call
            self.target = self.head
        self._out.meters.events += len(events)
        self._send_soon()

    def signal(self, signal: Signal) -> None:
        """Take a signal, and send it soon."""
        self._signals.put(signal)
        self._send_soon()

    def grow(self, partial: Partial) -> bool:
        """Take what a growing message's text is from an offset on, and send it soon.

        False where a part before that is missing.
        """
        if self.growing is None:
            self.growing = GrowingTexts()
        taken = self.growing.take(partial, self._out.loop.time())
        if self.growing.is_due(self.head):
            self._send_soon()
        return taken

    def show_growing(self, watch: Watch) -> None:
        """Tell a watch that has become live what all growing texts are by now.

        Not those of before it was theirs to see.
        """
        if self.growing is not None:
            texts = self.growing.whole(watch.visible_from, self.head)
            whole = [Shared(each) for each in texts]
            said = Said(whole, watch.connection.mode)
            if not self.deliver(watch.connection, said):
                self._fell_behind(watch)

    @property
    def still(self) -> bool:
        """Whether nothing waits for a pass, nor is in one."""
        return self._pass is None and self._waits_since is None

    def end(self) -> None:
        """Stop: nobody watches any more."""
        if self.filling is not None:
            self.filling.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._pass = None

    # --- passes ---

    def _send_soon(self) -> None:
        """Have a pass begin when the tick is over, unless that is arranged."""
        now = self._out.loop.time()
        if self._waits_since is None:
            self._waits_since = now
        if self._pass is None and self._timer is None and not self.queued:
            if now >= self._due:
                self._out.scheduler.ready(self)
            else:
                self._timer = self._out.loop.call_at(self._due, self._ticked)

    def _ticked(self) -> None:
        self._timer = None
        self._out.scheduler.ready(self)

    def work(self, part: Slice) -> bool:
        """Go on with a pass, or begin one; return whether it goes on."""
        if self._pass is None:
            self._pass = self._begin_pass()
        here = self._pass
        try:
            while True:  # the scheduler has looked whether there is anything left
                some = here.watches[here.at : here.at + min(_AT_ONCE, part.writes)]
                here.at += len(some)
                part.writes -= len(some)
                if here.run is not None:
                    self._send(here.run, some)
                if here.grown is not None:
                    self._tell(here.grown, some)
                for signal, shared in here.signals:
                    self._say(signal, shared, some)
                if here.at >= len(here.watches):
                    self._end_pass(here)
                    return False
                if part.over:
                    return True
        except Exception:
            self._break_off(here)
            raise

    def _break_off(self, broken: _Pass) -> None:
        """Give a pass up that failed; who may have missed it gets it from the log.

        The room goes on: one watcher's fault is not its neighbours'.
        """
        self._pass = None
        for watch in broken.watches:
            missed = watch.position < self._sent or broken.grown is not None
            if watch.live and missed:
                self._fell_behind(watch)
        if self._sent < self.head or self._signals.waiting:
            self._send_soon()

    def _begin_pass(self) -> _Pass:
        now = self._out.loop.time()
        run = self.tail.run(self._sent)
        if run is None and self._sent < self.head:
            run = Run((), self.head)  # all was forgotten: who waits for it is behind
        if run is not None:
            self._sent = run.last
        if self._waits_since is not None:
            self._out.meters.waited(now - self._waits_since)
        self._waits_since = now if self._sent < self.head else None
        signals: list[tuple[Signal, Shared]] = []
        if self._signals.waiting:
            signals += [(each, Shared(each.push)) for each in self._signals.take_all()]
        # What grows is told after the event that began it, and never after the one
        # that ended it: who was sent either is sent nothing else of it.
        due = [] if self.growing is None else self.growing.take_due(self._sent)
        grown = Run([Shared(each) for each in due], 0) if due else None
        return _Pass(run, grown, signals, list(self.watches.values()), now)

    def _end_pass(self, done: _Pass) -> None:
        self._pass = None
        now = self._out.loop.time()
        self._out.meters.passes += 1
        if self._sent < self.head and done.run is not None and done.run.is_full:
            self._due = now  # there was more than goes out at once
        else:
            took = now - done.began_at
            self._due = now + min(took * TICK_OF_PASS, TICK_MAX_SECONDS)
        grows = self.growing is not None and self.growing.is_due(self._sent)
        if self._sent < self.head or self._signals.waiting or grows:
            self._send_soon()

    def _send(self, run: Run, watches: list[Watch]) -> None:
        """Send a run to those who are where it begins, and the rest of it to others."""
        # Once for each delivery: every call and look-up here is felt.
        before, last = run.after, run.last
        most = run.said(Mode.V1)
        ready = most.ready
        straight = 0  # deliveries of what most get, written at once
        for watch in watches:
            connection = watch.connection
            if watch.position == before and connection.mode is Mode.V1 and watch.live:
                if not connection.outbox.size_bytes and connection.sink.write(ready):
                    watch.position = last
                    straight += 1
                else:
                    self._send_to(watch, most, last)
            elif watch.live and watch.position < last:
                if watch.position >= before:
                    part = run.part(watch.position)
                    self._send_to(watch, part.said(connection.mode), last)
                else:  # what lies between has been forgotten
                    self._fell_behind(watch)
            elif watch.pace is not None and watch.position < last:
                self._out.feed(watch)
        self._out.meters.delivered(most, straight)

    def _send_to(self, watch: Watch, said: Said, last: int) -> None:
        if self.deliver(watch.connection, said):
            watch.position = last
        else:
            self._fell_behind(watch)

    def deliver(self, connection: Connection, said: Said) -> bool:
        """Hand frames to a connection; False where it cannot take them."""
        if not said.frames:
            return True
        outbox, sink = connection.outbox, connection.sink
        if outbox.size_bytes or not sink.write(said.ready):
            if not sink.takes(outbox):
                return False
            outbox.put_in_order(said.frames, said.size_bytes)
            self._out.touch(connection)
        self._out.meters.delivered(said, 1)
        return True

    def _tell(self, grown: Run, watches: list[Watch]) -> None:
        """Send what has grown to all who are live.

        Not what was begun before it was theirs to see. Who cannot take it is behind, so
        that they are told all of it once they can.
        """
        first = min(shared.push.seq for shared in grown.shared)
        for watch in watches:
            said = grown.said(watch.connection.mode)
            if watch.visible_from > first:
                seen = [s for s in grown.shared if s.push.seq >= watch.visible_from]
                said = Said(seen, watch.connection.mode)
            if watch.live and not self.deliver(watch.connection, said):
                self._fell_behind(watch)

    def _fell_behind(self, watch: Watch) -> None:
        watch.live = False
        self._out.meters.fell_behind += 1
        self._out.feed(watch)

    def _say(self, signal: Signal, shared: Shared, watches: list[Watch]) -> None:
        dropped = self._out.meters.signals_dropped
        for watch in watches:
            connection = watch.connection
            if not watch.begun or watch.ended or not signal.concerns(connection):
                continue
            frame = shared.frame(connection.mode)
            if frame is None:
                continue
            if not (watch.live or watch.pace) or not connection.sink.takes(
                connection.outbox
            ):
                dropped["behind"] += 1
                watch.missed = True
                continue
            if not connection.outbox.put_signal((self.room_id, *signal.key), frame):
                dropped["connection"] += 1
            self._out.touch(connection)
