"""Finding a room by its slug, and making public ones where the project lets that be."""

from __future__ import annotations

from headgate.chat.conf import conf
from headgate.chat.lookups import Lookups
from headgate.chat.models import Room
from headgate.chat.people import Actor
from headgate.chat.permissions import Deny, Rights, rights_in
from headgate.protocol.codec import is_room_slug
from headgate.protocol.codes import Code

__all__ = ["enter", "may_be_made", "would_make"]


def enter(
    actor: Actor,
    slug: str,
    *,
    make: bool = True,
    lookups: Lookups | None = None,
) -> Rights | Deny:
    """Return an actor's rights in a room, or why they may not come in.

    An unknown room is made when `MAKE_ROOMS` says so and there are not too many;
    with `make` False it is not there. `lookups` are begun for whoever has just asked.
    """
    if lookups is None:
        lookups = Lookups()
    room = lookups.room(slug)
    if room is None and make and would_make(slug):
        room = Room.objects.get_or_create(slug=slug, defaults={"title": slug})[0]
    if room is None:
        return Deny(Code.NOT_FOUND)
    rights = rights_in(actor, room, lookups)
    return rights.denial("watch") or rights


def may_be_made(denial: Deny) -> bool:
    """Return whether a room that was not found may come to be by writing into it."""
    return denial.code == Code.NOT_FOUND and conf().MAKE_ROOMS


def would_make(slug: str) -> bool:
    """Return whether joining a room that does not exist would make it."""
    return (
        conf().MAKE_ROOMS
        and is_room_slug(slug)
        and Room.objects.count() < conf().MAX_MADE_ROOMS
    )
