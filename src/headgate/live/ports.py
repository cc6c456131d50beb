"""What delivery needs from above and from the server: two small protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from headgate.protocol.pushes import LogEvent

if TYPE_CHECKING:
    from headgate.live.outbox import Outbox

__all__ = ["Log", "LogUnavailable", "RoomHead", "Sink"]


class LogUnavailable(Exception):  # noqa: N818 - a state of the world, not a bug
    """The log cannot be read just now; try again."""


@dataclass(frozen=True, slots=True)
class RoomHead:
    """How far a room's log goes, and in which of its lives."""

    head: int
    epoch: str


class Log(Protocol):
    """The truth about every room: what is committed, in order, without holes."""

    async def head(self, room_id: int) -> RoomHead:
        """Return a room's head as committed; raises `LogUnavailable`."""

    async def events(
        self,
        room_id: int,
        after: int,
        to: int,
        limit: int,
        *,
        max_bytes: int,
    ) -> Sequence[LogEvent]:
        """Return at most `limit` events after one seq, up to and including another.

        Ascending, without holes. Shorter than asked at the end of the log, or where
        the texts have about `max_bytes`; with at least one event where there is one.
        Raises `LogUnavailable`.
        """


class Sink(Protocol):
    """The way out to one client. Owned by one connection, used on its loop."""

    def write(self, frames: bytes) -> bool:
        """Take WebSocket frames at once, past an outbox in which nothing waits.

        False where it cannot: either the outbox is the way (`takes`), or the client
        does not read.
        """

    def takes(self, outbox: Outbox) -> bool:
        """Return whether events may be put into the outbox now."""

    def flush(self, outbox: Outbox) -> None:
        """Take from the outbox what can be written now; the rest stays.

        Never blocks. A sink that could not take all takes the rest by itself later,
        and calls the outbox's `took` each time, also when it has waited with nothing
        in the outbox.
        """

    def waiting(self) -> int:
        """Return 0 if nothing waits for the client to read.

        Otherwise a number that is another one when something has gone out.
        """

    def abort(self) -> None:
        """Cut the client off, without a word: nothing goes out to it."""

    async def drained(self) -> None:
        """Wait until the server has all that was put, or the client is gone."""

    async def close(self) -> None:
        """Let go of what writes; nothing is written after."""
