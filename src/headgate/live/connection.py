"""One client: its mode, its outbox, and the rooms that it watches."""

from __future__ import annotations

import asyncio
from typing import Any

from headgate.live.frames import Frame, Mode, Shared, frame_of
from headgate.live.outbox import Outbox
from headgate.live.ports import Sink
from headgate.protocol.codec import plain_failure
from headgate.protocol.codes import Close
from headgate.protocol.pushes import Error, Failure

__all__ = ["Connection", "Watch"]


class Watch:
    """A connection's place in one room.

    Nothing goes out before it is `begun`: the reply that tells of it comes first.
    While `live`, the connection has been sent everything up to the room's head in
    this process. Otherwise it is behind at `position`, and catch-up feeds it.
    """

    __slots__ = ("begun", "connection", "live", "position", "rights", "room_id")

    def __init__(
        self,
        connection: Connection,
        room_id: int,
        position: int,
        rights: Any = None,
    ) -> None:
        self.connection = connection
        self.room_id = room_id
        self.position = position
        self.begun = False
        self.live = False
        # What the layer above decided about this person here; never read below it.
        self.rights = rights


class Connection:
    """A client as delivery sees it. Used on its event loop only."""

    __slots__ = (
        "catching_up",
        "closed",
        "dirty",
        "ending",
        "mode",
        "outbox",
        "owner",
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
        self.catching_up: asyncio.Task[None] | None = None
        # Whether it waits for the node's next flush.
        self.dirty = False
        self.closed = False
        # What serves it, cancelled when it is ended from the side; None where there
        # is nothing left to interrupt.
        self.task: asyncio.Task[Any] | None = None
        self.ending: Close | None = None

    @property
    def behind(self) -> Watch | None:
        """A watch that catch-up is to feed, if there is one."""
        watches = self.watches.values()
        return next((w for w in watches if w.begun and not w.live), None)

    def put(self, frame: Frame) -> None:
        """Queue a frame that is for this connection alone."""
        if not self.closed:
            self.outbox.put(frame)

    def put_message(self, message: Any) -> None:
        """Queue a reply or push for this connection alone."""
        if not self.closed:
            self.outbox.put(frame_of(message, self.mode))

    def put_event(self, shared: Shared) -> bool:
        """Queue an event, and return False where there is no room for it."""
        if not self.outbox.roomy:
            return False
        frame = shared.frame(self.mode)
        if frame is not None:
            self.outbox.put(frame)
        return True

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
            self.put_message(
                plain_failure(failure) if plain else Failure(reply=None, error=failure),
            )
        self.closed = True
        self.ending = close
        if self.task is not None:
            self.task.cancel()
