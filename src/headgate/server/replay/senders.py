"""The sending side: many authors over few connections, each author in his order.

Author n writes over connection n modulo the pool. An author's next message is written
when the one before is answered; other authors' messages go out meanwhile, so a
connection has as many commands in flight as it has authors who speak.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from headgate.protocol.codes import ERRORS
from headgate.server.replay import words
from headgate.server.replay.judge import Answer
from headgate.server.replay.link import Link

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.server.replay.judge import Judge, Refusal
    from headgate.server.replay.tally import Tally
    from headgate.server.replay.wire import Target

__all__ = ["Offers", "Sender"]

RETRIED = frozenset(code.value for code, info in ERRORS.items() if info.retry)
_UNTOLD_RETRY_SECONDS = 1.0  # where such a refusal does not say when


class Offers(Protocol):
    """A connection that takes messages to send."""

    def offer(self, row: int) -> None:
        """Send a message, as soon as its author may."""


class Sender(Link):
    """One sending connection of a Headgate server.

    Whatever happens to the connection, a message is written again with the same
    client_id, as the same guest, until it is acknowledged or refused for good.
    """

    def __init__(
        self,
        target: Target,
        tally: Tally,
        judge: Judge,
        *,
        name: str,
        command: Callable[[int], bytes],
    ) -> None:
        super().__init__(target, tally)
        self._judge = judge
        self._name = name
        self._command = command
        self._guest: str | None = None
        self._flying: dict[int, None] = {}  # written and not answered, in order
        self._waiting: deque[int] = deque()  # to be written once there is a connection
        self._held: dict[int, deque[tuple[int, float]]] = {}  # behind their author's

    # --- what comes from the log ---------------------------------------------------

    def offer(self, row: int) -> None:
        """Send a message, as soon as its author's one before is answered."""
        author = self.tally.traffic.authors[row]
        queue = self._held.get(author)
        if queue is None:
            self._held[author] = deque()
            self._write(row)
        else:
            queue.append((row, monotonic()))

    def _write(self, row: int) -> None:
        """Write a message now, or when there is a connection."""
        if not self.is_ready:
            self._waiting.append(row)
            return
        self._flying[row] = None
        self.tally.wrote(row, again=False)
        self.send(self._command(row))

    def _done_with(self, row: int) -> None:
        """Let the author's next message go."""
        author = self.tally.traffic.authors[row]
        queue = self._held[author]
        if not queue:
            del self._held[author]
            return
        following, since = queue.popleft()
        held = monotonic() - since
        self.tally.held_seconds = max(self.tally.held_seconds, held)
        self._write(following)

    # --- what comes from the server ------------------------------------------------

    def greet(self) -> None:
        """Say hello as the guest that this connection was before."""
        self.send(words.hello(self._name, guest=self._guest))

    def heard(self, payload: bytes) -> None:
        """Take a reply."""
        answer = self._judge.read(payload)
        if not isinstance(answer, Answer):
            if answer is None:
                self.tally.problem("The server sent a sender something unreadable.")
            return
        row = -1 if answer.reply is None else answer.reply - 1
        if row in self._flying:
            del self._flying[row]
            self._answered(row, answer)
        elif answer.push == "welcome":
            self._guest = answer.guest or self._guest
            self.ready()
            self._write_what_waits()
        elif answer.push == "going_away":
            self.return_in(answer.reconnect_in_ms / 1000)
        elif answer.error is not None:
            self._refused_altogether(answer.error)

    def _answered(self, row: int, answer: Answer) -> None:
        """Take the reply to one message."""
        tally = self.tally
        if answer.error is None and answer.seq is not None:
            tally.acknowledge(row, answer.seq)
            self._done_with(row)
            return
        refusal = answer.error
        if refusal is None:
            tally.refuse(row, "a reply without seq or error", None)
            self._done_with(row)
            return
        wait = None
        if refusal.code in RETRIED:
            wait = words.retry_seconds(refusal) or _UNTOLD_RETRY_SECONDS
        tally.refuse(row, refusal.code, wait)
        if wait is None:
            self._done_with(row)
        else:
            asyncio.get_running_loop().call_later(wait, self._write, row)

    def _refused_altogether(self, refusal: Refusal) -> None:
        """Take an error that answers no message."""
        said = f"The server refused a sender: {refusal.code} {refusal.text}".strip()
        self.tally.problem(said)
        wait = words.retry_seconds(refusal)
        if wait is not None:
            self.return_in(wait)
        if not self.is_ready:
            self.give_up(said, barred=wait is None)

    def _write_what_waits(self) -> None:
        """Write again what was not answered, then what came while away."""
        unanswered, self._flying = list(self._flying), {}
        waiting, self._waiting = self._waiting, deque()
        for row in unanswered:
            self._flying[row] = None
            self.tally.wrote(row, again=True)
            self.send(self._command(row))
        for row in waiting:
            self._write(row)

    def closed(self, code: int) -> None:
        """Stay away if the server says so."""
        self.barred = code in words.STAY_AWAY
