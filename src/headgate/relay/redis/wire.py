"""How hints travel: a channel for each topic, and the sender before each payload."""

from __future__ import annotations

import os

__all__ = ["DOUBT", "HINT", "SENDER_BYTES", "Names", "new_sender"]

SENDER_BYTES = 8

# The byte after the sender.
HINT = b"!"  # the payload follows
DOUBT = b"?"  # nothing follows: something of this topic was lost before it was sent


def new_sender() -> bytes:
    """Return a random id, by which a relay knows what is its own."""
    return os.urandom(SENDER_BYTES)


class Names:
    """The channels of one installation.

    Attributes:
        trial: A channel of no topic: what may use it may use all others, and one that
            watches nothing yet has a subscription.
    """

    def __init__(self, namespace: str) -> None:
        self.trial = f"{namespace}:relay".encode()
        self._prefix = f"{namespace}:relay:"

    def channel(self, topic: str) -> bytes:
        """Return the channel of a topic."""
        return f"{self._prefix}{topic}".encode()
