"""Pushes that may be lost, and whom they concern."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from headgate.live.connection import Connection
from headgate.live.meters import Meters

__all__ = ["MOST_WAITING", "Signal", "Signals"]

MOST_WAITING = 256  # of a room; past it the oldest is left out


@dataclass(frozen=True, slots=True)
class Signal:
    """What is said once, to those who are there.

    Attributes:
        key: What it is about and by whom: of two with one key only the later counts.
        push: What is said.
        only: The owner whose connections alone get it, by `owner.key`; None: all.
        but: The owner whose connections do not get it.
        but_connection: A connection that does not get it.
    """

    key: tuple[str, str]
    push: Any
    only: str | None = None
    but: str | None = None
    but_connection: Connection | None = None

    def concerns(self, connection: Connection) -> bool:
        """Return whether a connection gets it."""
        if self.only is None and self.but is None:
            return connection is not self.but_connection
        owner = connection.owner.key
        return (
            self.only in {None, owner}
            and owner != self.but
            and connection is not self.but_connection
        )


class Signals:
    """What waits for a room's next pass, the latest of each key.

    Attributes:
        waiting: That, in the order in which it came.
    """

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self.waiting: dict[tuple[str, str], Signal] = {}

    def put(self, signal: Signal) -> None:
        """Add a signal in place of an earlier one of its key."""
        if self.waiting.pop(signal.key, None) is not None:
            self._meters.signals_dropped["joined"] += 1
        elif len(self.waiting) >= MOST_WAITING:
            del self.waiting[next(iter(self.waiting))]
            self._meters.signals_dropped["room"] += 1
        self.waiting[signal.key] = signal

    def take_all(self) -> Iterable[Signal]:
        """Remove and return all, in the order in which they came."""
        taken, self.waiting = self.waiting, {}
        return taken.values()
