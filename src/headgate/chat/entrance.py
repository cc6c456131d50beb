"""Coming into a room: rights, place and what one is told, without a race.

Between the look at somebody's rights and the watch, a removal may be committed and
told. So rights say up to which event they are right, and are asked for again where
the room has seen a change of standing since.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from headgate.chat.history import landed
from headgate.chat.lookups import Lookups
from headgate.chat.models import Room
from headgate.chat.permissions import Deny, Rights
from headgate.chat.push_pace import follow_pace
from headgate.chat.rooms import enter
from headgate.chat.shared_looks import Question, shared_look
from headgate.chat.visitor import Visitor
from headgate.limits.rates import Rate
from headgate.live.connection import Watch
from headgate.live.ports import LogUnavailable
from headgate.protocol.commands import Position
from headgate.protocol.pushes import Reset

__all__ = ["Ahead", "Entrance", "come_in"]

MOST_LOOKS = 8  # at somebody's rights, as they go on changing

_Look = tuple[Rights, int, dict[str, int]] | Deny


@dataclass(frozen=True, slots=True)
class Entrance:
    """A room as it was for somebody who came in.

    What they may do there is their watch's to say: it may be another before they are
    told. `reset` is what they must be told after their welcome, where their place in
    the log could not be kept.
    """

    watch: Watch
    head: int
    epoch: str
    read: int
    unread: int
    landed: dict[str, int]
    reset: Reset | None


class Ahead:
    """A look into a room for somebody, on its way before they come in.

    With one for each of several rooms, all are looked into on one trip.
    """

    __slots__ = ("changes", "look")

    def __init__(self, visitor: Visitor, slug: str, pending: list[str]) -> None:
        self.changes = visitor.engine.standing.changes
        self.look = _asked(visitor, slug, pending, make=True)
        self.look.add_done_callback(_seen)


def _seen(look: asyncio.Future[_Look]) -> None:
    """Take note of what failed: it may be that nobody comes in any more."""
    if not look.cancelled():
        look.exception()


async def come_in(
    visitor: Visitor,
    slug: str,
    place: Position | None = None,
    pending: list[str] | None = None,
    *,
    make: bool = True,
    pace: Rate | None = None,
    ahead: Ahead | None = None,
) -> Entrance | Deny:
    """Begin to watch a room, from a place or from now; its events wait for `go`.

    `pending` are client_ids of which somebody does not know whether they landed; with
    `make` False an unknown room is not made. `pace` is what somebody wants at most of
    the room's events. `ahead` is a look that was asked for. Between the watch's
    beginning and the return nothing is awaited. Raises `LogUnavailable`.
    """
    engine = visitor.engine
    seen = 0 if place is None else place.seq
    changes = engine.standing.changes if ahead is None else ahead.changes
    asked = None if ahead is None else ahead.look
    for _ in range(MOST_LOOKS):
        look = await (asked or _asked(visitor, slug, pending or [], make=make))
        asked = None
        if isinstance(look, Deny):
            return look
        rights, unread, found = look
        # From before it was theirs to see, this process may not have heard of it all.
        hidden = rights.visible_from - 1
        room = await engine.node.open(rights.room_id, seen=max(seen, hidden))
        if rights.decided_at >= room.noted:
            break
    else:
        # Nobody's rights change as often: the log ends before what was seen of it, as
        # where a backup was put back. That is noticed within two seconds.
        raise LogUnavailable
    reset = engine.node.watch(
        visitor.connection,
        room,
        after=None if place is None else place.seq,
        epoch=None if place is None else place.epoch,
        visible_from=rights.visible_from,
        rights=rights,
    )
    if reset is not None:
        reset.room = slug
    visitor.remember(slug, rights.room_id)
    watch = visitor.connection.watches[rights.room_id]
    watch.wished = pace
    follow_pace(engine.node, watch)
    if engine.standing.changes != changes:
        engine.standing.ask(watch)
    return Entrance(watch, room.head, room.epoch, rights.read_seq, unread, found, reset)


def _asked(
    visitor: Visitor, slug: str, pending: list[str], *, make: bool
) -> asyncio.Future[_Look]:
    question = Question(visitor.actor, slug, pending, make)
    return shared_look(visitor.engine.reader, _look_in, question)


def _look_in(question: Question, lookups: Lookups) -> _Look:
    """Return rights, unread count and what landed; off the loop."""
    actor, pending = question.actor, question.pending
    rights = enter(actor, question.slug, make=question.make, lookups=lookups)
    if isinstance(rights, Deny):
        return rights
    seen = max(rights.read_seq, rights.visible_from - 1)
    known = landed(rights.room_id, actor.key, pending) if pending else {}
    if rights.kind != Room.Kind.PUBLIC and lookups.is_crowded(rights.room_id):
        rights = replace(rights, crowded=True)
    return rights, lookups.unread(rights.room_id, seen), known
