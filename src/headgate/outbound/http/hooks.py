"""The incoming webhooks of a room as its owner sees them over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import router, transaction

from headgate.chat.http.problems import Refusal
from headgate.chat.models import Room
from headgate.chat.people import Actor
from headgate.chat.rows import timestamp
from headgate.limits.rates import Rate
from headgate.outbound.http.destinations import room_to_manage
from headgate.outbound.http.schemas import (
    MAX_HOOKS,
    HookMade,
    HookShown,
    HooksShown,
    HookWanted,
    HowMany,
)
from headgate.outbound.incoming import delete_hook as delete_row
from headgate.outbound.incoming import make_hook
from headgate.outbound.models import IncomingWebhook
from headgate.protocol.codec import error
from headgate.protocol.codes import Code

__all__ = ["delete_hook", "hooks_shown", "make_room_hook"]

logger = logging.getLogger("headgate.outbound")

MOST_RATE = "5/s:50"  # of one that a room's owner made

UrlOf = Callable[[str], str]  # from the key of a hook


def hooks_shown(actor: Actor, slug: str, url_of: UrlOf) -> HooksShown:
    """Return the incoming webhooks of a room; raises as `room_to_manage`."""
    room = room_to_manage(actor, slug)
    rows = IncomingWebhook.objects.filter(room=room).order_by("pk")
    return HooksShown(hooks=[_shown(each, url_of) for each in rows])


def make_room_hook(
    actor: Actor, slug: str, wanted: HookWanted, url_of: UrlOf
) -> HookMade:
    """Make an incoming webhook; its URL and secret are shown this once.

    Raises:
        Refusal: There are too many; or as `room_to_manage`.
    """
    room = room_to_manage(actor, slug)
    with transaction.atomic(using=router.db_for_write(IncomingWebhook)):
        # Under the room's lock, so that two at once do not make one too many.
        Room.objects.select_for_update().get(pk=room.pk)
        if IncomingWebhook.objects.filter(room=room).count() >= MAX_HOOKS:
            text = f"A room has at most {MAX_HOOKS} incoming webhooks. Delete one."
            raise Refusal(error(Code.ID_CONFLICT, text))
        made = make_hook(
            room,
            wanted.name,
            signed=wanted.signed,
            rate=_within(wanted.rate),
            created_by=actor.key,
        )
    logger.info("hook_made id=%d room=%s by=%s", made.pk, room.slug, actor.key)
    return HookMade(
        id=made.pk,
        name=made.name,
        url=url_of(made.key),
        secret=made.secrets[0] if made.secrets else None,
        rate=made.rate,
    )


def _within(text: str) -> str:
    """Return an owner's rate, or the fastest that they may have."""
    rate, most = Rate.parse(text), Rate.parse(MOST_RATE)
    if rate.interval_us >= most.interval_us and rate.burst <= most.burst:
        return text
    return MOST_RATE


def delete_hook(actor: Actor, slug: str, number: int) -> HowMany:
    """Delete an incoming webhook; raises as `room_to_manage`, and for none."""
    room = room_to_manage(actor, slug)
    rows = IncomingWebhook.objects.select_related("room")
    row = rows.filter(room=room, pk=number).first()
    if row is None:
        raise Refusal(error(Code.NOT_FOUND, f"There is no incoming webhook {number}."))
    delete_row(row)
    logger.info("hook_deleted id=%d room=%s by=%s", number, room.slug, actor.key)
    return HowMany(count=1)


def _shown(row: IncomingWebhook, url_of: UrlOf) -> HookShown:
    return HookShown(
        id=row.pk,
        name=row.name,
        signed=bool(row.secrets),
        rate=row.rate,
        enabled=row.enabled,
        # Without a signature its URL is all that one needs to post.
        url=url_of(row.key) if row.secrets else None,
        created_at=timestamp(row.created_at),
    )
