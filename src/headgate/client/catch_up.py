"""Mends a room whose pushes do not follow on: reads the hole from the log.

Holes come from `gap` pushes (left out on purpose), from pushes that found no space
while a reply was awaited behind them, and from faults. What cannot be mended, since
the log was cut or is another one, becomes a `reset` for the application.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.protocol.commands import History
from headgate.protocol.fields import MAX_PAGE
from headgate.protocol.pushes import Gap, Reset

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from headgate.client.inbox import Inbox
    from headgate.client.incoming import Page, Push
    from headgate.client.rooms import InOrder, Room

__all__ = ["catch_up"]


async def catch_up(
    room: Room,
    inbox: Inbox[Push],
    ask: Callable[[History], Awaitable[Page]],
) -> None:
    """Deliver what follows on until the room is live again.

    The only one who moves the position of a room that is behind; it may be cancelled
    at any time, since a push is delivered and the position moved in one step.

    Raises:
        Refused: By `ask`, when the room's log is not for us any more.
    """
    while room.behind:
        await inbox.space()
        push = room.release()
        if push is not None:
            inbox.put(push)
        elif not room.settle():
            missed, room.missed = room.missed, False  # from here on it is set again
            after = room.position or 0
            page = await ask(
                History(room=room.slug, of="events", after=after, limit=MAX_PAGE)
            )
            await _deliver(room, inbox, page)
            room.missed |= missed and page.more


async def _deliver(room: Room, inbox: Inbox[Push], page: Page) -> None:
    """Deliver a page of the log, or a reset where it does not follow on."""
    before = room.position
    room.epoch = room.epoch or page.epoch
    for event in page.events:
        await inbox.space()
        if page.epoch != room.epoch or room.place(event) == "ahead":
            _reset(room, inbox, oldest=event.seq, head=page.head, epoch=page.epoch)
            return
        if room.place(event) == "next":
            room.advance(event)
            inbox.put(event)
    if page.epoch != room.epoch:
        await inbox.space()
        oldest = min(page.head, 1)
        _reset(room, inbox, oldest=oldest, head=page.head, epoch=page.epoch)
    elif room.position == before and (room.held or page.more):
        # The log has nothing to add, but the server sent what lies further on.
        head = max(page.head, *(_before(push) for push in list(room.held)[:1]), 0)
        await inbox.space()
        _reset(room, inbox, oldest=head + 1, head=head, epoch=page.epoch)


def _before(push: InOrder) -> int:
    """Return the position on which a push follows."""
    if isinstance(push, Gap):
        return push.to
    return push.head if isinstance(push, Reset) else push.seq - 1


def _reset(
    room: Room,
    inbox: Inbox[Push],
    *,
    oldest: int,
    head: int,
    epoch: str,
) -> None:
    reset = Reset(room=room.slug, oldest=oldest, head=head, epoch=epoch)
    room.advance(reset)
    inbox.put(reset)
