"""The watching side: each watcher sees every event of the room, in order, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.server.replay import words
from headgate.server.replay.judge import OTHER, Answer, Event
from headgate.server.replay.link import Link
from headgate.server.replay.sight import SeqSight

if TYPE_CHECKING:
    from headgate.server.replay.judge import Judge, Refusal
    from headgate.server.replay.stream import Arrivals, Stream
    from headgate.server.replay.tally import Tally
    from headgate.server.replay.wire import Target

__all__ = ["Watcher"]


class Watcher(Link):
    """One connection that watches a room of a Headgate server.

    As long as its bytes are those that all watchers get, it only moves along the
    stream (`_at`). Anything else, such as a ping, an event that nobody had before or
    a fault, is read message by message.
    """

    def __init__(
        self,
        target: Target,
        tally: Tally,
        judge: Judge,
        *,
        stream: Stream,
        arrivals: Arrivals,
        name: str,
    ) -> None:
        super().__init__(target, tally)
        self.sight: SeqSight | None = None
        self._judge = judge
        self._room = judge.room
        self._name = name
        self._stream = stream
        self._bytes = stream.data
        self._note = arrivals.note
        self._at = -1  # the place in the stream, or -1 while out of step
        self._epoch: str | None = None
        self._guest: str | None = None

    @property
    def expected(self) -> int:
        """The seq that must come next; 0 before the room is joined."""
        if self._at >= 0:
            return self._stream.expected(self._at)
        return 0 if self.sight is None else self.sight.expected

    def reached(self, head: int) -> bool:
        """Return whether nothing up to `head` is to come, holes aside."""
        owed = self.sight is not None and bool(self.sight.owed)
        return self.expected > head and not owed

    def settled_sight(self) -> SeqSight | None:
        """Return what was seen, brought up to date."""
        self._leave_step()
        return self.sight

    # --- bytes ---------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Move along the stream, or read."""
        at = self._at
        if at >= 0 and self._bytes.startswith(data, at):
            self._at = end = at + len(data)
            self._note(at, end)
            return
        self._leave_step()
        super().data_received(data)
        self._enter_step()

    def _leave_step(self) -> None:
        """Take what this watcher knows from the stream to itself."""
        if self._at >= 0 and self.sight is not None:
            self.sight.expected, self.frames.rest = self._stream.leave(self._at)
            self._at = -1

    def _enter_step(self) -> None:
        """Go on along the stream, if this watcher stands in it."""
        frames = self.frames
        if self.is_ready and self.sight is not None and frames.parts is None:
            self._at = self._stream.enter(self.sight.expected, frames.rest)
            if self._at >= 0:
                frames.rest = b""

    # --- messages ------------------------------------------------------------------

    def greet(self) -> None:
        """Say hello, and where to go on."""
        resume: dict[str, dict[str, Any]] | None = None
        if self.sight is not None:
            position: dict[str, Any] = {"seq": self.sight.expected - 1}
            if self._epoch is not None:
                position["epoch"] = self._epoch
            resume = {self._room: position}
        self.send(words.hello(self._name, guest=self._guest, resume=resume))

    def lost(self) -> None:
        """Keep what was seen; what was half read is read again."""
        self._leave_step()

    def heard(self, payload: bytes) -> None:
        """Take one message."""
        answer = self._judge.read(payload)
        if isinstance(answer, Event):
            self._saw(answer, payload)
        elif answer is None:
            self.tally.problem("The server sent a watcher something unreadable.")
        elif answer.error is not None:
            self._refused(answer.error)
        elif answer.messages is not None:
            self._fetched(answer)
        elif answer.push is None:
            if answer.reply == 1 and answer.head is not None:
                self._joined(answer.head, answer.epoch)
        elif answer.push == "welcome":
            self._welcomed(answer)
        elif answer.push in {"gap", "reset"} and answer.room == self._room:
            self._left_out(answer)
        elif answer.push == "going_away":
            self.return_in(answer.reconnect_in_ms / 1000)

    def _saw(self, event: Event, payload: bytes) -> None:
        """Take an event of the room."""
        self._stream.extend(event, payload)
        sight = self.sight
        if sight is not None and sight.saw(event, self._judge.row_at[event.seq]):
            self.tally.progress += 1
            if event.row != OTHER:
                self.tally.arrived(event.row)

    def _welcomed(self, answer: Answer) -> None:
        """Join, unless the hello already did."""
        self._guest = answer.guest or self._guest
        if self.sight is None:
            self.send(words.join(self._room))
            return
        state = answer.rooms.get(self._room)
        if state is not None and state.error is not None:
            self._refused(state.error)
        elif state is None:
            self.give_up("The welcome does not have the room to be resumed.")
        else:
            self._epoch = state.epoch or self._epoch
            self.ready()

    def _joined(self, head: int, epoch: str | None) -> None:
        """Begin to count behind the head of the moment."""
        if self.sight is None:
            self.sight = SeqSight(head + 1)
        self._epoch = epoch
        self.ready()

    def _left_out(self, answer: Answer) -> None:
        """Fetch what the server says that it leaves out; that is no loss."""
        if self.sight is None:
            return
        if answer.push == "reset":
            self._epoch = answer.epoch or self._epoch
            upto = answer.head or 0
        else:
            upto = answer.to
        after = self.sight.told(upto)
        self.send(words.history(self._room, 2, after))

    def _fetched(self, answer: Answer) -> None:
        """Take a page of what was left out."""
        sight = self.sight
        if sight is None or not sight.owed:
            return
        last = 0
        for logged in answer.messages or ():
            last = logged.seq
            if last in sight.owed:
                row = self._judge.row_of(logged.client_id, logged.text)
                event = Event(last, row)
                sight.saw(event, self._judge.row_at.setdefault(last, row))
                self.tally.progress += 1
                self.tally.delivered += row != OTHER
        # Seqs in between may be edits and the like, which are no messages.
        sight.fetched_up_to(last or max(sight.owed))
        if sight.owed:
            self.send(words.history(self._room, 2, last))

    def _refused(self, refusal: Refusal) -> None:
        """Take an error: try again later, or never."""
        said = f"The server refused a watcher: {refusal.code} {refusal.text}".strip()
        self.tally.problem(said)
        wait = words.retry_seconds(refusal)
        if wait is not None:
            self.return_in(wait)
        if not self.is_ready:
            self.give_up(said, barred=wait is None)

    def closed(self, code: int) -> None:
        """Stay away if the server says so."""
        self.barred = code in words.STAY_AWAY
