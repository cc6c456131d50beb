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
    Refused,
    Written,
    drafted,
    message_details,
)
from headgate.chat.growing_ends import cancel, may_cancel
from headgate.chat.http.limited import Admission
from headgate.chat.http.problems import Refusal
from headgate.chat.permissions import Deny, Rights
from headgate.chat.rooms import enter, may_be_made
from headgate.chat.rows import timestamp
from headgate.chat.visitor import denied, seq_of
from headgate.protocol.commands import Cancel, Delete, Edit, Send

__all__ = ["change", "post", "saved_at", "stop"]


async def post(admission: Admission, command: Send) -> Written | Known:
    """Write a message.

    Raises:
        Refusal: It was not written.
        LogUnavailable: The database is away.
    """
    actor, client_id = admission.actor, command.client_id
    rights = await storage.read(enter, actor, command.room, make=False)
    if isinstance(rights, Rights):
        # What may not be done is a request, and no more.
        operation = "send" if rights.denial("send") is None else "command"
        await admission.admit(operation, rights, client_id=client_id)
    else:
        operation = "send" if may_be_made(rights) else "command"
        await admission.admit(operation, client_id=client_id)
        rights = await storage.read(enter, actor, command.room)  # which may make it
    denial = rights if isinstance(rights, Deny) else rights.denial("send")
    if isinstance(rights, Deny) or denial is not None:
        raise Refusal(denied(denial or Deny(), client_id))
    draft = drafted(command, rights.room_id, actor)
    return await _write(draft, command.room, client_id)


async def stop(admission: Admission, command: Cancel) -> Written | Known:
    """End somebody's growing message; raises as `post` does."""
    await admission.admit("command")
    found = await storage.read(may_cancel, admission.actor, command.room, command.seq)
    if isinstance(found, Deny):
        raise Refusal(denied(found))
    verdict = await cancel(command.room, found)
    if isinstance(verdict, Refused):
        raise Refusal(verdict.error)
    return verdict


async def change(admission: Admission, command: Edit | Delete) -> Written | Known:
    """Edit or delete a message; raises as `post` does."""
    actor = admission.actor
    if isinstance(command, Delete):
        await admission.admit("command")
        found = await storage.read(
            may_change, actor, "delete", command.room, command.target
        )
        if isinstance(found, Deny):
            raise Refusal(denied(found))
        deletion = Change(found, actor, command.target, None)
        return await _write(deletion, command.room)
    rights = await storage.read(enter, actor, command.room, make=False)
    may = isinstance(rights, Rights) and rights.denial("send") is None
    if isinstance(rights, Rights) and may:
        await admission.admit("edit", rights)
    else:
        await admission.admit("command")
    found = await storage.read(may_change, actor, "edit", command.room, command.target)
    if isinstance(found, Deny):
        raise Refusal(denied(found))
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
