"""What moderators change of a room over HTTP."""

from __future__ import annotations

from headgate.chat import actions
from headgate.chat.http.problems import Refusal
from headgate.chat.http.reading import rights_of, room_shown
from headgate.chat.http.schemas import RoomShown
from headgate.chat.models import Room
from headgate.chat.people import Actor
from headgate.chat.permissions import Deny, can
from headgate.chat.visitor import denied

__all__ = ["set_slow_mode"]


def set_slow_mode(actor: Actor, slug: str, slow_mode_ms: int) -> RoomShown:
    """Set a room's slow mode and return the room; asks the database.

    Raises:
        Refusal: They do not moderate it, or it is not there for them.
    """
    rights_of(actor, slug)
    room = Room.objects.get(slug=slug)
    decision = can(actor, "moderate", room)
    if isinstance(decision, Deny):
        raise Refusal(denied(decision))
    actions.set_slow_mode(room, slow_mode_ms / 1000)
    return room_shown(actor, slug)
