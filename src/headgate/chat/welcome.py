"""What somebody is told who has come in: themselves, and their rooms as they stand."""

from __future__ import annotations

from headgate.chat.entrance import Entrance
from headgate.chat.limits_told import limits_told, slow_mode_ms
from headgate.chat.people import guest_token
from headgate.chat.permissions import Rights
from headgate.chat.tickets import WELCOME_TICKET_SECONDS, issue_ticket
from headgate.chat.visitor import Visitor
from headgate.protocol.fields import HEARTBEAT_SECONDS, MAX_COMMAND_BYTES
from headgate.protocol.pushes import Limit, RoomJoined, Welcome

__all__ = ["HEARTBEAT_MS", "limits_of", "room_joined", "welcome"]

HEARTBEAT_MS = round(HEARTBEAT_SECONDS * 1000)


def welcome(
    visitor: Visitor,
    rooms: dict[str, RoomJoined],
    limits: list[Limit],
    *,
    ticket: bool = True,
) -> Welcome:
    """Return the welcome of a visitor, with a `ticket` for coming back or without."""
    actor = visitor.actor
    return Welcome(
        user=actor.author,
        guest=guest_token(actor) if actor.user is None else None,
        ticket=issue_ticket(
            actor, lives_seconds=WELCOME_TICKET_SECONDS, origin=visitor.origin
        )
        if ticket
        else None,
        rooms=rooms,
        limits=limits,
        heartbeat_ms=HEARTBEAT_MS,
        max_message_bytes=MAX_COMMAND_BYTES,
    )


async def limits_of(visitor: Visitor) -> list[Limit]:
    """Return the limits to be told in the welcome, with those of the joined rooms.

    It may wait, so it comes before the welcome: what happens meanwhile is in that.
    """
    watches = visitor.connection.watches.values()
    joined = [each.rights for each in watches if isinstance(each.rights, Rights)]
    return await limits_told(visitor.gate, joined)


def room_joined(entrance: Entrance) -> RoomJoined:
    """Return how a room stands for somebody who has come in."""
    return RoomJoined(
        head=entrance.head,
        epoch=entrance.epoch,
        title=entrance.rights.title or None,
        read=entrance.rights.read_seq,
        unread=entrance.unread,
        slow_mode_ms=slow_mode_ms(entrance.rights),
        moderates=entrance.rights.moderates,
        read_only=entrance.rights.read_only,
        landed=entrance.landed,
    )
