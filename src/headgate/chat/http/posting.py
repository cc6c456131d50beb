"""What is written through the HTTP door: the same commands, rights and log.

So the same client_id is the same message, whichever door it came by.
"""

from __future__ import annotations

from headgate.chat import storage
from headgate.chat.before_send import write_looked_at
from headgate.chat.changes import may_change
from headgate.chat.entries import (
    Change,
    Draft,
    Known,
    Written,
    drafted,
    message_details,
)
from headgate.chat.http.problems import Refusal
from headgate.chat.people import Actor
from headgate.chat.permissions import Deny
from headgate.chat.rooms import enter
from headgate.chat.rows import timestamp
from headgate.chat.visitor import denied, seq_of
from headgate.protocol.commands import Delete, Edit, Send

__all__ = ["change", "post", "saved_at"]


async def post(actor: Actor, command: Send) -> Written | Known:
    """Write a message.

    Raises:
        Refusal: It was not written.
        LogUnavailable: The database is away.
    """
    client_id = command.client_id
    rights = await storage.read(enter, actor, command.room)
    denial = rights if isinstance(rights, Deny) else rights.denial("send")
    if isinstance(rights, Deny) or denial is not None:
        raise Refusal(denied(denial or Deny(), client_id))
    draft = drafted(command, rights.room_id, actor)
    return await _write(draft, command.room, client_id)


async def change(actor: Actor, command: Edit | Delete) -> Written | Known:
    """Edit or delete a message; raises as `post` does."""
    operation = "edit" if isinstance(command, Edit) else "delete"
    found = await storage.read(
        may_change, actor, operation, command.room, command.target
    )
    if isinstance(found, Deny):
        raise Refusal(denied(found))
    if isinstance(command, Delete):
        deletion = Change(found, actor, command.target, None)
        return await _write(deletion, command.room)
    details = message_details(format=command.format, data=command.data)
    edit = Change(found, actor, command.target, command.text, details)
    return await _write(edit, command.room)


def saved_at(verdict: Written | Known) -> tuple[int, str]:
    """Return the seq and the time of what is in the log."""
    at = verdict.push.at if isinstance(verdict, Written) else timestamp(verdict.at)
    return seq_of(verdict), at


async def _write(
    entry: Draft | Change,
    room: str,
    client_id: str | None = None,
) -> Written | Known:
    verdict = await write_looked_at(entry, room)
    if isinstance(verdict, Written | Known):
        return verdict
    if client_id is not None:
        verdict.error.client_id = client_id
    raise Refusal(verdict.error)
