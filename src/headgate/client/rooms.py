"""One watched room: its position in the log, and what waits to follow on.

Decides what is delivered: an event only if it is the very next, a double never, and
what is ahead of a hole only after the hole was read from the log. Pure: the link
feeds it, `catch_up` mends it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from headgate.client.incoming import LogPush
from headgate.protocol.pushes import Gap, Reset

if TYPE_CHECKING:
    import asyncio

    from headgate.protocol.pushes import RoomJoined

__all__ = ["MAX_HELD", "InOrder", "Room"]

MAX_HELD = 200  # pushes kept per room during a repair; the log has what is beyond

InOrder = LogPush | Gap | Reset
Place = Literal["stale", "next", "ahead"]


@dataclass(slots=True, eq=False)
class Room:
    """A room that the application wants to watch.

    `joined` is what the caller of join awaits. `position` is the seq of the last
    event delivered, None before the first join.
    `confirmed` says whether the present connection watches it. While `behind`,
    pushes are held, up to `MAX_HELD`; `missed` says that some were let go of, so
    that the log must be read once more.
    """

    slug: str
    joined: asyncio.Future[RoomJoined]
    position: int | None = None
    epoch: str | None = None
    confirmed: bool = False
    joining: bool = False
    behind: bool = True
    missed: bool = False
    held: deque[InOrder] = field(default_factory=deque)

    def disconnect(self) -> None:
        """Forget what only this connection had; resuming brings it again."""
        self.confirmed = self.joining = self.missed = False
        self.behind = True
        self.held.clear()

    def confirm(self, info: RoomJoined) -> None:
        """Take the server's answer to join, or the room's part of a welcome.

        A known position stays: what lies between it and the head follows as pushes.
        """
        self.confirmed, self.joining = True, False
        if self.position is None:
            self.position = info.head or 0
        if self.epoch is None:
            self.epoch = info.epoch
        if not self.held and not self.missed:
            self.behind = False

    def take(self, push: InOrder, *, fits: bool) -> bool:
        """Return whether to deliver a push now; what is not stale is held or missed.

        `fits` says whether the application's queue has space for it.
        """
        if not self.behind:
            place = self.place(push)
            if place == "stale":
                return False
            if place == "next" and fits:
                self.advance(push)
                return True
            self.behind = True
        if len(self.held) < MAX_HELD:
            self.held.append(push)
        else:
            self.missed = True
        return False

    def release(self) -> LogPush | Reset | None:
        """Take out the next held push that follows on, or None."""
        while self.held:
            push = self.held[0]
            place = self.place(push)
            if place == "ahead":
                return None
            self.held.popleft()
            if place == "next" and not isinstance(push, Gap):
                self.advance(push)
                return push
        return None

    def settle(self) -> bool:
        """End the repair if nothing is left to mend; return whether it has ended."""
        if not self.held and not self.missed:
            self.behind = False
        return not self.behind

    def place(self, push: InOrder) -> Place:
        """Return where a push stands to the position."""
        if self.position is None:
            return "ahead"
        if isinstance(push, Reset):
            here = (push.head, push.epoch) == (self.position, self.epoch)
            return "stale" if here else "next"
        if isinstance(push, Gap):
            return "stale" if push.to <= self.position else "ahead"
        if push.seq <= self.position:
            return "stale"
        return "next" if push.seq == self.position + 1 else "ahead"

    def advance(self, push: InOrder) -> None:
        """Move the position to a push that is delivered."""
        if isinstance(push, Reset):
            self.position, self.epoch = push.head, push.epoch
        elif not isinstance(push, Gap):
            self.position = push.seq
