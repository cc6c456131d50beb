"""The two sorts of chat that can be driven, each with its clients and its verdict.

`HeadgateStage` numbers, resumes and reads the log back. `StrangerStage` knows of a
chat only that it returns what was said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from headgate.server.replay import words
from headgate.server.replay.dialect import MarkReader, marked_text
from headgate.server.replay.judge import Judge
from headgate.server.replay.log import LogReader, read_log
from headgate.server.replay.senders import Sender
from headgate.server.replay.settle import (
    Verdict,
    settle_log,
    settle_rows,
    settle_seqs,
)
from headgate.server.replay.strangers import StrangerSender, StrangerWatcher
from headgate.server.replay.stream import Arrivals, Stream
from headgate.server.replay.texts import make_text
from headgate.server.replay.watchers import Watcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headgate.server.replay.dialect import Dialect
    from headgate.server.replay.judge import Event
    from headgate.server.replay.link import Link
    from headgate.server.replay.plan import Plan
    from headgate.server.replay.senders import Offers
    from headgate.server.replay.tally import Tally

__all__ = ["HeadgateStage", "Stage", "StrangerStage"]


class Stage(Protocol):
    """What a run needs to know of a chat."""

    @property
    def links(self) -> Sequence[Link]:
        """All connections."""

    @property
    def senders(self) -> Sequence[Offers]:
        """The connections that send."""

    async def prepare(self) -> None:
        """Try the server; raises `OSError` or `OpeningFailed`."""

    def refresh(self) -> None:
        """Bring the tally up to date."""

    def watchers_are_done(self) -> bool:
        """Return whether every watcher is where the room is."""

    async def read_back(self) -> None:
        """Read what the server kept, if it can be read."""

    def verdict(self) -> Verdict:
        """Judge, once the run is over."""


class HeadgateStage:
    """A Headgate server."""

    def __init__(self, plan: Plan, tally: Tally, run: str) -> None:
        self._plan = plan
        self._tally = tally
        self._run = run
        self._texts = [
            make_text(row, size) for row, size in enumerate(plan.traffic.sizes)
        ]
        self._judge = Judge(plan.room, run, self._texts)
        self._start = 0  # the head before the run
        self._log: list[Event] | None = None
        self._log_head: int | None = None
        self._arrivals: Arrivals | None = None
        self.watchers: list[Watcher] = []
        self.senders: list[Sender] = []

    @property
    def links(self) -> Sequence[Link]:
        """All connections."""
        return [*self.watchers, *self.senders]

    async def prepare(self) -> None:
        """Ask for the head, then make the clients."""
        plan, tally, judge = self._plan, self._tally, self._judge
        reader = LogReader(plan.target, tally, judge)
        try:
            await reader.connect()
        finally:
            reader.stop()
        self._start = reader.head
        stream = Stream(self._start + 1, judge)
        self._arrivals = Arrivals(stream, tally)
        self.watchers = [
            Watcher(
                plan.target,
                tally,
                judge,
                stream=stream,
                arrivals=self._arrivals,
                name=f"watcher {number}",
            )
            for number in range(1, plan.watchers + 1)
        ]
        self.senders = [
            Sender(
                plan.target,
                tally,
                judge,
                name=f"sender {number}",
                command=self._command,
            )
            for number in range(1, plan.senders + 1)
        ]

    def _command(self, row: int) -> bytes:
        """Return what is sent for a message; the same whenever it is sent."""
        client_id = f"{self._run}-{self._plan.traffic.authors[row]}-{row}"
        return words.send(self._plan.room, row + 1, client_id, self._texts[row])

    def refresh(self) -> None:
        """Count what the watchers noted."""
        if self._arrivals is not None:
            self._arrivals.flush()

    @property
    def head(self) -> int:
        """Where the room is: what the log says, else the furthest that came."""
        if self._log_head is not None:
            return self._log_head
        return max(self._judge.row_at, default=self._start)

    def watchers_are_done(self) -> bool:
        """Return whether every watcher is at the head."""
        head = self.head
        return all(watcher.reached(head) for watcher in self.watchers)

    async def read_back(self) -> None:
        """Read the log from the head before the run to its end."""
        self._log, self._log_head = await read_log(
            self._plan.target, self._tally, self._judge, after=self._start
        )

    def verdict(self) -> Verdict:
        """Judge the watchers and the log."""
        acked = self._tally.acked
        sights = [watcher.settled_sight() for watcher in self.watchers]
        verdict = settle_seqs(
            acked,
            self._judge.row_at,
            [sight for sight in sights if sight is not None],
            self.head,
        )
        if self._log is None:
            verdict.lost += len(acked)
            verdict.examples.append("The log could not be read back.")
        else:
            verdict.add(settle_log(acked, self._log, self._plan.traffic.authors))
        altered = len(self._judge.altered)
        if altered:
            verdict.examples.append(f"{altered} messages came with another text.")
        return verdict


class StrangerStage:
    """Any other chat that speaks JSON."""

    def __init__(self, plan: Plan, tally: Tally, run: str, dialect: Dialect) -> None:
        self._plan = plan
        self._tally = tally
        self._run = run
        self._dialect = dialect
        traffic = plan.traffic
        self._texts = [
            marked_text(run, traffic.authors[row], row, size)
            for row, size in enumerate(traffic.sizes)
        ]
        self._reader = MarkReader(run, self._texts)
        self.watchers = [
            StrangerWatcher(plan.target, tally, self._reader)
            for _ in range(plan.watchers)
        ]
        self.senders = [
            StrangerSender(plan.target, tally, self._reader, command=self._command)
            for _ in range(plan.senders)
        ]

    @property
    def links(self) -> Sequence[Link]:
        """All connections."""
        return [*self.watchers, *self.senders]

    async def prepare(self) -> None:
        """Try whether there is a WebSocket."""
        probe = StrangerWatcher(self._plan.target, self._tally, self._reader)
        try:
            await probe.connect()
        finally:
            probe.stop()

    def _command(self, row: int) -> bytes:
        """Return what is sent for a message."""
        author = self._plan.traffic.authors[row]
        return self._dialect.message(
            text=self._texts[row],
            client_id=f"{self._run}-{author}-{row}",
            author=author,
            room=self._plan.room,
        )

    def refresh(self) -> None:
        """Count nothing: watchers count as they read."""

    def watchers_are_done(self) -> bool:
        """Return whether every watcher has what was acknowledged."""
        acked = self._tally.acked
        return all(
            watcher.sight.count >= len(acked)
            and all(watcher.sight.seen[row] for row in acked)
            for watcher in self.watchers
        )

    async def read_back(self) -> None:
        """Read nothing: what such a chat keeps is its own affair."""

    def verdict(self) -> Verdict:
        """Judge the watchers."""
        sights = [watcher.sight for watcher in self.watchers]
        verdict = settle_rows(self._tally.acked, sights)
        altered = len(self._reader.altered)
        if altered:
            verdict.examples.append(f"{altered} messages came with another text.")
        return verdict
