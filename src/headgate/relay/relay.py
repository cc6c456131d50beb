"""What a relay is, and what it tells whoever listens."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

__all__ = ["Listener", "Relay"]


class Listener(Protocol):
    """Is told what comes, on the relay's loop.

    Called often, so it does little. What it raises is logged and changes nothing.
    """

    def received(self, topic: str, payload: bytes) -> None:
        """Take what another relay published; never what one's own did.

        Those of one publisher and topic come in their order, each at most once.
        """

    def doubtful(self, topics: Collection[str]) -> None:
        """Compare with the log: something of these topics may have been missed.

        Said when a watch has become effective, after each reconnect, and when hints
        were dropped on the way, at this end or at the publisher's.
        """


class Relay(Protocol):
    """Carries hints between the event loops of one chat, in one process or in several.

    Used on the event loop on which it was made. What it carries may be lost at any
    time: whoever relies on it compares with the log when told `doubtful`.
    """

    @property
    def published(self) -> int:
        """Hints that were given to `publish`."""

    @property
    def received(self) -> int:
        """Hints that the listener was told."""

    @property
    def dropped_out(self) -> int:
        """Hints of this relay that were given up: too many, or lost in an outage."""

    @property
    def reconnects(self) -> int:
        """Connections that were made anew."""

    @property
    def away(self) -> bool:
        """Whether the server is known not to answer."""

    def watch(self, topic: str) -> None:
        """Begin to receive a topic, soon; `doubtful` is told when that is so.

        A topic that is watched already stays so, and nothing is told.
        """

    def unwatch(self, topic: str) -> None:
        """Receive nothing more of a topic, from now on."""

    def reaches(self, topic: str) -> bool:
        """Return whether anybody else may watch a topic: if not, publish nothing."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell everybody else who watches a topic.

        Never waits, and never raises for an outage: what is too much is dropped.
        """

    async def close(self) -> None:
        """Stop; nothing is told after. May be called twice, and others are ignored."""
