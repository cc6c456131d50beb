"""Finding a room by its slug, and making public ones where the project lets that be."""

from __future__ import annotations

from headgate.chat.conf import conf
from headgate.chat.models import Room
from headgate.chat.people import Actor
from headgate.chat.permissions import Deny, Rights, rights_in
from headgate.protocol.codec import is_room_slug
from headgate.protocol.codes import Code

__all__ = ["enter"]


def enter(actor: Actor, slug: str) -> Rights | Deny:
    """Return an actor's rights in a room, or why they may not come in.

    An unknown room is made when `MAKE_ROOMS` says so and there are not too many.
    """
    room = Room.objects.filter(slug=slug).first()
    if room is None:
        room = _make(slug)
    if room is None:
        return Deny(Code.NOT_FOUND)
    rights = rights_in(actor, room)
    return rights.denial("watch") or rights


def _make(slug: str) -> Room | None:
    if not conf().MAKE_ROOMS or not is_room_slug(slug):
        return None
    if Room.objects.count() >= conf().MAX_MADE_ROOMS:
        return None
    return Room.objects.get_or_create(slug=slug, defaults={"title": slug})[0]
