"""Connections to other people's chats, which only have to return what was said.

A message counts as acknowledged when the connection that sent it sees it come back:
most chats have no other acknowledgement. Nothing is sent twice, as such a chat could
not tell a retry from a second message.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from headgate.server.replay.link import Link
from headgate.server.replay.sight import RowSight

if TYPE_CHECKING:
    from collections.abc import Callable

    from headgate.server.replay.dialect import MarkReader
    from headgate.server.replay.tally import Tally
    from headgate.server.replay.wire import Target

__all__ = ["StrangerSender", "StrangerWatcher"]


class StrangerSender(Link):
    """One sending connection."""

    def __init__(
        self,
        target: Target,
        tally: Tally,
        reader: MarkReader,
        *,
        command: Callable[[int], bytes],
    ) -> None:
        super().__init__(target, tally)
        self._reader = reader
        self._command = command
        self._flying: set[int] = set()
        self._waiting: deque[int] = deque()

    def offer(self, row: int) -> None:
        """Send a message now, or when there is a connection again."""
        if not self.is_ready:
            self._waiting.append(row)
            return
        self._flying.add(row)
        self.tally.wrote(row, again=False)
        self.send(self._command(row))

    def greet(self) -> None:
        """Send what waits; there is nothing to say first."""
        self.ready()
        waiting, self._waiting = self._waiting, deque()
        for row in waiting:
            self.offer(row)

    def heard(self, payload: bytes) -> None:
        """Look for own messages."""
        for row in self._reader.rows(payload):
            if row in self._flying:
                self._flying.discard(row)
                self.tally.acknowledge(row, 0)


class StrangerWatcher(Link):
    """One watching connection."""

    def __init__(self, target: Target, tally: Tally, reader: MarkReader) -> None:
        super().__init__(target, tally)
        self.sight = RowSight(tally.traffic.authors)
        self._rows = reader.rows

    def greet(self) -> None:
        """Say nothing: listening is enough."""
        self.ready()

    def heard(self, payload: bytes) -> None:
        """Take what came."""
        for row in self._rows(payload):
            if self.sight.saw(row):
                self.tally.arrived(row)
