"""Every write that project code, the admin and moderators make, synchronously.

On the caller's connection and in the caller's transaction: rolled back means never
sent. What is committed is told at once in this process and within two seconds in
others. The journal does the same over the wire, for many at once; both go through
`append`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import router, transaction

from headgate.chat import storage
from headgate.chat.access import room_limits_changed
from headgate.chat.before_send import looked_at_here, write_looked_at
from headgate.chat.django_thread import in_django_thread
from headgate.chat.engine import started_engine
from headgate.chat.entries import (
    Change,
    Draft,
    Entry,
    Known,
    MemberChange,
    Verdict,
    Written,
    drafted,
    message_details,
)
from headgate.chat.history import message_at
from headgate.chat.models import Member, Room
from headgate.chat.people import SYSTEM, actor_for
from headgate.chat.permissions import Allow, Deny, can
from headgate.chat.room_limits import (
    LIMITS,
    SLOW_MODE,
    checked_limits,
    checked_slow_mode,
)
from headgate.protocol.codec import BadCommand, decode_command, encode, error
from headgate.protocol.codes import Code
from headgate.protocol.commands import Command, Edit, Send
from headgate.protocol.pushes import Error

__all__ = [
    "NotSent",
    "Sent",
    "add_member",
    "asend_message",
    "ban",
    "delete_message",
    "draft_of",
    "edit_message",
    "mute",
    "remove_member",
    "send_message",
    "set_role",
    "set_room_limits",
    "set_slow_mode",
    "unban",
    "unmute",
]


class NotSent(Exception):  # noqa: N818 - named for what it means to the caller
    """The log did not take it. `code` is one of `headgate.protocol.codes.Code`.

    `text` is what people are told, and `retry_after_ms` is set where the same call may
    succeed later.
    """

    def __init__(self, failure: Error) -> None:
        super().__init__(f"{failure.code}: {failure.text}")
        self.code = Code(failure.code)
        self.text = failure.text
        self.retry_after_ms = failure.retry_after_ms


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a message, or a change, stands in its room."""

    seq: int


def send_message(
    room: Room | str,
    author: Any,
    text: str,
    *,
    client_id: str | None = None,
    kind: str = "text",
    format: str = "plain",  # noqa: A002 - the wire's word
    data: dict[str, Any] | None = None,
    reply_to: int | None = None,
    priority: str = "normal",
    expires_in_ms: int | None = None,
) -> Sent:
    """Write a message into a room, in the transaction that is open.

    Args:
        room: The room, or its slug.
        author: A saved user, a guest or `headgate.chat.people.SYSTEM`.
        text: Not blank, at most 16 KiB as UTF-8.
        client_id: At most 64 characters. The same again from the same author in the
            same room is the same message, and gives the first seq.
        kind: text, system, or x-… of your own.
        format: plain or markdown: how clients may show the text.
        data: JSON, at most 4 KiB.
        reply_to: The seq of the message that it answers.
        priority: high, normal or low.
        expires_in_ms: After how long the message is of no use.

    Raises:
        NotSent: When the author may not, the content is not taken, the room is
            missing, or the client_id was used for something else.
    """
    draft = draft_of(
        room,
        author,
        text,
        client_id=client_id,
        kind=kind,
        format=format,
        data=data,
        reply_to=reply_to,
        priority=priority,
        expires_in_ms=expires_in_ms,
    )
    return _write_said(draft, room)


async def asend_message(
    room: Room | str,
    author: Any,
    text: str,
    **more: Any,
) -> Sent:
    """Write a message, as `send_message` does, from async code.

    In a process that serves connections it goes through the journal, in a batch
    with others; elsewhere it is written in a transaction of its own.
    """
    if started_engine() is None:
        # One piece of work on one thread, in the transaction that is open there.
        return await in_django_thread(send_message, room, author, text, **more)
    draft = await storage.read(draft_of, room, author, text, **more)
    return _sent(await write_looked_at(draft, _slug(room)))


def draft_of(
    room: Room | str,
    author: Any,
    text: str,
    *,
    kind: str = "text",
    **more: Any,
) -> Draft:
    """Return a message as the log takes it, held to the limits of the wire.

    Raises:
        NotSent: The author may not, or the content is not taken.
    """
    actor, found = actor_for(author), _room(room)
    _allow(can(actor, "send", found))
    # `system` is for project code alone, so the wire's rules do not know it.
    said = "text" if kind == "system" else kind
    given = {"room": found.slug, "text": text, "kind": said, **more}
    command = _checked({"cmd": "send", **given})
    if not isinstance(command, Send):
        raise TypeError("a send was checked and something else came back")
    return drafted(command, found.pk, actor, kind=kind)


def edit_message(
    room: Room | str,
    target: int,
    text: str,
    *,
    by: Any,
    format: str = "plain",  # noqa: A002 - the wire's word
    data: dict[str, Any] | None = None,
) -> Sent:
    """Replace the text of the message with the seq `target`; raises `NotSent`.

    An edit that changes nothing gives the earlier seq.
    """
    given = {"target": target, "text": text, "format": format, "data": data}
    command = _checked({"cmd": "edit", "room": "any", **given})
    if not isinstance(command, Edit):
        raise TypeError("an edit was checked and something else came back")
    details = message_details(format=command.format, data=command.data)
    return _change(room, "edit", target, command.text, details, by)


def delete_message(room: Room | str, target: int, *, by: Any) -> Sent:
    """Delete the message with the seq `target`; raises `NotSent`.

    Its text and its edits' are blanked in the log, in the same transaction.
    """
    return _change(room, "delete", target, None, None, by)


def add_member(
    room: Room | str, user: Any, *, by: Any = SYSTEM, role: str = "member"
) -> Sent:
    """Make somebody a member; in a group they see what comes from now on."""
    return _member(room, user, by, "added", role=Member.Role(role).value)


def remove_member(room: Room | str, user: Any, *, by: Any = SYSTEM) -> Sent:
    """End a membership; open connections are cut at this event."""
    return _member(room, user, by, "removed")


def set_role(room: Room | str, user: Any, role: str, *, by: Any = SYSTEM) -> Sent:
    """Change what somebody may do beyond writing."""
    return _member(room, user, by, "role", role=Member.Role(role).value)


def mute(room: Room | str, user: Any, until: datetime, *, by: Any = SYSTEM) -> Sent:
    """Let somebody read but not write until then."""
    return _member(room, user, by, "muted", until=until)


def unmute(room: Room | str, user: Any, *, by: Any = SYSTEM) -> Sent:
    """Let somebody write again."""
    return _member(room, user, by, "unmuted")


def ban(room: Room | str, user: Any, *, by: Any = SYSTEM) -> Sent:
    """Keep somebody out; open connections are cut at this event."""
    return _member(room, user, by, "banned")


def unban(room: Room | str, user: Any, *, by: Any = SYSTEM) -> Sent:
    """Let somebody in again; into a group they have to be added anew."""
    return _member(room, user, by, "unbanned")


def set_slow_mode(room: Room | str, seconds: float) -> None:
    """Have people wait so long between two messages in a room; 0 is no slow mode.

    Moderators need not wait. It is in force, and told to those who are there, within
    two seconds of the commit.

    Raises:
        NotSent: The room is missing.
        ValueError: It is neither 0 nor from 1 second to 6 hours.
    """
    _set(room, SLOW_MODE, checked_slow_mode(seconds))


def set_room_limits(room: Room | str, limits: Mapping[str, str]) -> None:
    """Give a room its own rates, such as `{"send": "5/s:20"}`; none with `{}`.

    Raises:
        NotSent: The room is missing.
        ValueError: A room has no rate of that policy, or it is no rate.
    """
    _set(room, LIMITS, checked_limits(limits))


def _set(room: Room | str, key: str, value: Any) -> None:
    """Change one of a room's settings, and have it followed."""
    pk = _room(room).pk
    using = router.db_for_write(Room)
    with transaction.atomic(using=using):
        # No other writer of these settings comes in between.
        found = Room.objects.using(using).select_for_update().get(pk=pk)
        given = found.settings if isinstance(found.settings, dict) else {}
        found.settings = {**given, key: value}
        found.save(update_fields=["settings"])
        room_limits_changed(found)
    if isinstance(room, Room):
        room.settings = found.settings


def _member(room: Room | str, user: Any, by: Any, change: str, **more: Any) -> Sent:
    found = _room(room)
    return _write(
        MemberChange(found.pk, actor_for(by), actor_for(user), change, **more),
    )


def _change(
    room: Room | str,
    operation: str,
    target: int,
    text: str | None,
    details: dict[str, Any] | None,
    by: Any,
) -> Sent:
    actor, found = actor_for(by), _room(room)
    message = message_at(found.pk, target)
    if message is None:
        raise NotSent(error(Code.NOT_FOUND))
    _allow(can(actor, operation, found, message))
    return _write_said(Change(found.pk, actor, target, text, details), found)


def _checked(command: dict[str, Any]) -> Command:
    """Return a command as the wire takes it: project code has the same limits."""
    try:
        checked = decode_command(encode(command).decode())
    except BadCommand as bad:
        raise NotSent(bad.error) from None
    except (TypeError, ValueError) as exc:  # what JSON cannot say
        raise NotSent(error(Code.BAD_COMMAND, f"{exc}.", field="data")) from exc
    return checked


def _allow(decision: Allow | Deny) -> None:
    if isinstance(decision, Deny):
        raise NotSent(error(decision.code, decision.text))


def _room(room: Room | str) -> Room:
    if isinstance(room, Room):
        return room
    found = Room.objects.filter(slug=room).first()
    if found is None:
        raise NotSent(error(Code.NOT_FOUND, f"There is no room {room!r}."))
    return found


def _slug(room: Room | str) -> str:
    return room.slug if isinstance(room, Room) else room


def _write_said(entry: Draft | Change, room: Room | str) -> Sent:
    """Write what somebody says, once the project has looked at it."""
    looked = looked_at_here(entry, _slug(room))
    return _write(looked) if isinstance(looked, Draft | Change) else _sent(looked)


def _write(entry: Entry) -> Sent:
    return _sent(storage.write_here(entry))


def _sent(verdict: Verdict) -> Sent:
    if isinstance(verdict, Written):
        return Sent(verdict.push.seq)
    if isinstance(verdict, Known):
        return Sent(verdict.seq)
    raise NotSent(verdict.error)
