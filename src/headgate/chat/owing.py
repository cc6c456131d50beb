"""Where another app adds to a commit what is owed because of it.

`headgate.outbound` is called with what a transaction has written, before it is
committed: so the event and the calls that are owed for it are kept both, or neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from headgate.protocol.pushes import LogEvent

__all__ = ["Owe", "is_anything_owed", "owe", "owes"]


class Owe(Protocol):
    """What is called in each transaction that writes events.

    It must not fail for what one event holds: the whole transaction would.
    """

    def __call__(
        self, connection: Any, written: Sequence[tuple[int, LogEvent]], *, ours: bool
    ) -> None:
        """Note what is owed for (room_id, event), in their order.

        Args:
            connection: Django's, with its open transaction.
            written: What was written.
            ours: Whether the transaction is the journal's, and not project code's,
                which may roll back what else it wrote, and counts its queries.
        """


_owes: list[Owe] = []


def owes(function: Owe) -> Owe:
    """Have a function called in each transaction that writes events."""
    if function not in _owes:
        _owes.append(function)
    return function


def is_anything_owed() -> bool:
    """Return whether anybody asked."""
    return bool(_owes)


def owe(
    connection: Any, written: Sequence[tuple[int, LogEvent]], *, ours: bool
) -> None:
    """Call those who asked; see `Owe`."""
    for function in _owes:
        function(connection, written, ours=ours)
