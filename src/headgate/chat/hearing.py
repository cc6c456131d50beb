"""What a connection's reading loop needs of the mode that is spoken on it."""

from __future__ import annotations

from typing import Protocol

from headgate.protocol.codec import BadCommand
from headgate.protocol.pushes import Error

__all__ = ["Hearing"]


class Hearing(Protocol):
    """Implemented by `Conversation` and `PlainConversation`."""

    async def hear(self, payload: str) -> None:
        """Take one text frame; raises `BadCommand`."""

    def hear_now(self, payload: str) -> bool:
        """Take one text frame if that needs no waiting; else do nothing, say False."""

    def explain(self, bad: BadCommand) -> None:
        """Answer a frame that was no command."""

    def fail(self, failure: Error) -> None:
        """Say an error that answers no command."""
