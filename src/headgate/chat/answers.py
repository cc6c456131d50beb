"""The replies of `headgate.v1` to what was to be written."""

from __future__ import annotations

from headgate.chat.entries import Refused, Verdict, Written
from headgate.chat.rows import timestamp
from headgate.chat.visitor import seq_of
from headgate.protocol.commands import Command, Send
from headgate.protocol.pushes import Error, Failure, Saved

__all__ = ["failure", "saved"]


def saved(command: Command, verdict: Verdict) -> Saved | Failure | None:
    """Return the reply to a command that wrote, or was refused; None without an id."""
    if isinstance(verdict, Refused):
        return failure(command, verdict.error)
    if command.id is None:
        return None
    at = verdict.push.at if isinstance(verdict, Written) else timestamp(verdict.at)
    return Saved(reply=command.id, seq=seq_of(verdict), at=at)


def failure(command: Command, error: Error) -> Failure:
    """Return the reply that refuses a command."""
    if isinstance(command, Send):
        error.client_id = command.client_id
    return Failure(reply=command.id, error=error)
