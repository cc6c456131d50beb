"""One client: its mode, its outbox, and the rooms that it watches."""

from __future__ import annotations

import asyncio
from typing import Any

from headgate.limits.rates import Rate
from headgate.live.frames import Frame, Mode, Shared, frame_of
from headgate.live.outbox import Outbox
from headgate.live.pace import Pace
from headgate.live.ports import Sink
from headgate.protocol.codec import plain_failure
from headgate.protocol.codes import Close
from headgate.protocol.pushes import Error, Failure

__all__ = ["Connection", "Watch"]


class Watch:
    """A connection's place in one room.

    Nothing goes out before it is `begun`: the reply that tells of it comes first.
    Everything up to `position` has been sent, or was told to be left out. A watch that
    is `live` gets what follows with all others; one that is not is behind, or has a
    `pace` of its own, and is fed.
    """

    __slots__ = (
        "begun",
        "connection",
        "live",
        "missed",
        "pace",
        "position",
        "rights",
        "room_id",
        "visible_from",
        "wished",
    )

    def __init__(
        self,
        connection: Connection,
        room_id: int,
        position: int,
        rights: Any = None,
        visible_from: int = 1,
    ) -> None:
        self.connection = connection
        self.room_id = room_id
        self.position = position
        self.begun = False
        self.live = False
        self.missed = False  # whether a signal was left out since it was live
        self.pace: Pace | None = None
        self.wished: Rate | None = None  # the pace that the client asked for
        self.visible_from = visible_from  # the first seq that is theirs to see
        # What the layer above decided about this person here; never read below it.
        self.rights = rights

    @property
    def ended(self) -> bool:
        """Whether the room was left, or is watched anew from another place."""
        return self.connection.watches.get(self.room_id) is not self


class Connection:
    """A client as delivery sees it. Used on its event loop only."""

    __slots__ = (
        "behind",
        "closed",
        "dirty",
        "ending",
        "heard_at",
        "mode",
        "outbox",
        "owner",
        "paces",
        "sink",
        "task",
        "watches",
    )

    def __init__(
        self,
        sink: Sink,
        mode: Mode,
        *,
        owner: Any,
        outbox_max_bytes: int,
    ) -> None:
        self.sink = sink
        self.mode = mode
        # Whose connection it is, as the layer above knows people.
        self.owner = owner
        self.outbox = Outbox(outbox_max_bytes)
        self.watches: dict[int, Watch] = {}
        # The paces that it had, by room; the newest last.
        self.paces: dict[int, Pace] = {}
        # Those of its watches that are to be fed, in turn.
        self.behind: dict[Watch, None] = {}
        # Whether it waits for the next flush.
        self.dirty = False
        self.closed = False
        # When something was heard of it last, on the loop's clock, if it sends
        # heartbeats and is read; None: its silence says nothing.
        self.heard_at: float | None = None
        # What serves it, cancelled when it is ended from the side; None where there
        # is nothing left to interrupt.
        self.task: asyncio.Task[Any] | None = None
        self.ending: Close | None = None

    def put(self, frame: Frame) -> None:
        """Queue a frame that is for this connection alone."""
        if not self.closed:
            self.outbox.put(frame)

    def put_message(self, message: Any) -> None:
        """Queue a reply or push for this connection alone."""
        if not self.closed:
            self.outbox.put(frame_of(message, self.mode))

    def put_shared(self, shared: Shared) -> None:
        """Queue a push as this connection's mode says it, in order with events."""
        frame = shared.frame(self.mode)
        if frame is not None and not self.closed:
            self.outbox.put_in_order([frame], frame.size)

    def put_in_order(self, message: Any) -> None:
        """Queue a reply or push that must not overtake events, nor be overtaken."""
        if not self.closed:
            frame = frame_of(message, self.mode)
            self.outbox.put_in_order([frame], frame.size)

    def end(
        self,
        close: Close,
        failure: Error | None,
        *,
        after_what_waits: bool = False,
    ) -> None:
        """End it from the side: say why, and have what serves it close with a code.

        What waits in the outbox is given up, unless that is still theirs. The caller
        has taken its watches away.
        """
        if self.closed:
            return
        if not after_what_waits:
            self.outbox.take_all()
        if failure is not None:
            plain = self.mode is Mode.PLAIN
            self.put_in_order(
                plain_failure(failure) if plain else Failure(reply=None, error=failure),
            )
        self.closed = True
        self.ending = close
        if self.task is not None:
            self.task.cancel()
