"""What moderators change of a room over HTTP."""

from __future__ import annotations

from headgate.chat import actions
from headgate.chat.http.reading import rights_of, room_shown
from headgate.chat.http.schemas import RoomShown
from headgate.chat.people import Actor

__all__ = ["set_slow_mode"]


def set_slow_mode(actor: Actor, slug: str, slow_mode_ms: int) -> RoomShown:
    """Set a room's slow mode and return the room; asks the database.

    Raises:
        Refusal: They do not moderate it, or it is not there for them.
    """
    rights_of(actor, slug, "moderate")
    actions.set_slow_mode(slug, slow_mode_ms / 1000)
    return room_shown(actor, slug)
