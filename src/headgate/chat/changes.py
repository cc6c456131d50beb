"""Whether somebody may edit or delete a message."""

from __future__ import annotations

from headgate.chat.history import message_at
from headgate.chat.models import Room
from headgate.chat.people import Actor
from headgate.chat.permissions import Deny, can
from headgate.protocol.codes import Code

__all__ = ["may_change"]


def may_change(actor: Actor, operation: str, slug: str, target: int) -> int | Deny:
    """Return the room's id where an actor may `edit` or `delete` a message.

    A room or a message that is not theirs to see is answered like a missing one.
    """
    room = Room.objects.filter(slug=slug).first()
    if room is None:
        return Deny(Code.NOT_FOUND)
    seen = can(actor, "watch", room)
    if isinstance(seen, Deny):
        return seen
    message = message_at(room.pk, target)
    if message is None:
        return Deny(Code.NOT_FOUND)
    decision = can(actor, operation, room, message)
    return decision if isinstance(decision, Deny) else room.pk
