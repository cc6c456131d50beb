"""One client: its mode, its outbox, and the rooms that it watches."""

from __future__ import annotations

import asyncio
from typing import Any

from headgate.live.frames import Frame, Mode, Shared, frame_of
from headgate.live.outbox import Outbox
from headgate.live.ports import Sink

__all__ = ["Connection", "Watch"]


class Watch:
    """A connection's place in one room.

    While `live`, the connection has been sent everything up to the room's head in
    this process. Otherwise it is behind at `position`, and catch-up feeds it.
    """

    __slots__ = ("connection", "live", "position", "rights", "room_id")

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
        self.live = False
        # What the layer above decided about this person here; never read below it.
        self.rights = rights


class Connection:
    """A client as delivery sees it. Used on its event loop only."""

    __slots__ = (
        "catching_up",
        "closed",
        "dirty",
        "mode",
        "outbox",
        "owner",
        "sink",
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

    def put(self, frame: Frame) -> None:
        """Queue a frame that is for this connection alone."""
        if not self.closed:
            self.outbox.put(frame)

    def put_message(self, message: Any) -> None:
        """Queue a reply or push for this connection alone."""
        self.put(frame_of(message))

    def put_event(self, shared: Shared) -> bool:
        """Queue an event, and return False where there is no room for it."""
        if not self.outbox.roomy:
            return False
        frame = shared.frame(self.mode)
        if frame is not None:
            self.outbox.put(frame)
        return True
