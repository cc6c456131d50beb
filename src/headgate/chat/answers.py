"""The replies of `headgate.v1` to what was to be written."""

from __future__ import annotations

from headgate.chat.entries import Refused, Verdict, Written
from headgate.chat.rows import timestamp
from headgate.protocol.commands import Command, Send
from headgate.protocol.pushes import Error, Failure, Saved

__all__ = ["failure", "saved"]


def saved(command: Command, verdict: Verdict) -> Saved | Failure | None:
    """Return the reply to a command that wrote, or was refused; None without an id."""
    if isinstance(verdict, Refused):
        return failure(command, verdict.error)
    if command.id is None:
        return None
    if isinstance(verdict, Written):
        return Saved(reply=command.id, seq=verdict.push.seq, at=verdict.push.at)
    return Saved(reply=command.id, seq=verdict.seq, at=timestamp(verdict.at))


def failure(command: Command, error: Error) -> Failure:
    """Return the reply that refuses a command."""
    if isinstance(command, Send):
        error.client_id = command.client_id
    return Failure(reply=command.id, error=error)
