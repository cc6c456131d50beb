"""What the client is doing about its connection."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["State", "Status"]


class Status(StrEnum):
    """The four things that a client may be doing."""

    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class State:
    """A status and what belongs to it.

    `next_try_at` is set while waiting, on the client's clock (`time.monotonic`);
    `reason` says why there is no connection.
    """

    status: Status
    next_try_at: float | None = None
    reason: str | None = None
