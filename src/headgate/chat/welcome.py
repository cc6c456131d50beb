"""What somebody is told who has come in: themselves, and their rooms as they stand."""

from __future__ import annotations

from headgate.chat.entrance import Entrance
from headgate.chat.limits_told import limits_told, slow_mode_ms
from headgate.chat.people import guest_token
from headgate.chat.permissions import Deny, Rights
from headgate.chat.tickets import WELCOME_TICKET_SECONDS, issue_ticket
from headgate.chat.visitor import Visitor, denied
from headgate.protocol.fields import HEARTBEAT_SECONDS, MAX_COMMAND_BYTES
from headgate.protocol.pushes import Error, Limit, RoomJoined, Welcome

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

    It may wait, so it comes before the welcome: what happens meanwhile is in that. It
    asks again where a room's limits may be others by then, as no push tells of those.
    """
    joined = _rights_of(visitor)
    while True:
        limits = await limits_told(visitor.gate, joined)
        before, joined = joined, _rights_of(visitor)
        if joined == before:
            return limits


def _rights_of(visitor: Visitor) -> list[Rights]:
    watches = visitor.connection.watches.values()
    return [each.rights for each in watches if isinstance(each.rights, Rights)]


def room_joined(entrance: Entrance | Error) -> RoomJoined:
    """Return how a room stands now for somebody who has come in, or may not.

    Ask for it when it is told, in the turn of the loop in which the watch begins: a
    change before that is told by nothing else.
    """
    if isinstance(entrance, Error):
        return RoomJoined(error=entrance)
    rights: Rights | Deny = entrance.watch.rights
    if isinstance(rights, Deny):  # removed since
        return RoomJoined(error=denied(rights))
    return RoomJoined(
        head=entrance.head,
        epoch=entrance.epoch,
        title=rights.title or None,
        read=entrance.read,
        unread=entrance.unread,
        slow_mode_ms=slow_mode_ms(rights),
        moderates=rights.moderates,
        read_only=rights.read_only,
        landed=entrance.landed,
    )
