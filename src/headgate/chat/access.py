"""Saying what open connections must know: ended access, and limits that changed.

What ends somebody's access is noted in a row, in the transaction that ends it: rolled
back means nothing has changed. Every process reads these rows (`headgate.chat.notices`)
and looks at its open connections again (`headgate.chat.standing`), this one at once
and others within two seconds.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import router, transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone
from django.utils.crypto import salted_hmac

from headgate.chat.engine import hint_access
from headgate.chat.models import AccessChange, LimitOverride, Room
from headgate.chat.notices import KEPT_SECONDS
from headgate.chat.overrides import overrides
from headgate.chat.people import key_of
from headgate.chat.profiles import outdate

__all__ = [
    "access_changed",
    "follow_accounts",
    "is_revoked",
    "room_limits_changed",
    "session_digest",
]

_What = AccessChange.What

# A transaction may stay open for longer than its notice is kept or waited for. One
# that took this long says it again, with a new id and a new time.
LATE_SECONDS = KEPT_SECONDS / 3
PRUNE_EVERY = 64  # notices, by their ids
PRUNE_AT_MOST = 1000  # rows at a time
_OF_AN_ACCOUNT = frozenset({"password", "is_active"})


def access_changed(user: Any = None, room: Room | str | None = None) -> None:
    """Have open connections looked at again, within two seconds, in every process.

    Call it when what your `Permissions` decide by has changed, or an account was
    changed by `QuerySet.update()`, which sends no signal. Whoever may no longer watch
    a room is cut there, as by a removal; whose account is no longer active is
    disconnected. In a transaction it counts from the commit on.

    Args:
        user: Whose access it is: a saved user, or a guest. None for everybody's.
        room: Where: the room, or its slug. None for all rooms.

    Raises:
        TypeError: `user` is not somebody.
        ValueError: There is no such room.
    """
    key = "" if user is None else key_of(user)
    _note(_What.ACCESS, author_key=key, room_id=None if room is None else _id(room))


def room_limits_changed(room: Room) -> None:
    """Have a room's slow mode and rates read again, in every process, and told."""
    _note(_What.ROOM, room_id=room.pk)


def session_digest(session_key: str) -> str:
    """Return what stands for a Django session without letting anybody into it."""
    return salted_hmac(
        "headgate.session",
        session_key,
        algorithm="sha256",
    ).hexdigest()[:32]


def is_revoked(session: str) -> bool:
    """Return whether a session, by its digest, was logged out in the last 15 minutes.

    Asks the database.
    """
    found = AccessChange.objects.filter(what=_What.LOGOUT, session=session)
    return bool(session) and found.exists()


def follow_accounts() -> None:
    """Note logouts, and what happens to accounts, from now on.

    Models that inherit from the user model send signals of their own. `post_delete`
    is not asked of every model: it would make all deletions of the project slower.
    """
    post_save.connect(_limits_changed, LimitOverride, dispatch_uid="headgate.limited")
    post_delete.connect(_limits_changed, LimitOverride, dispatch_uid="headgate.free")
    user_logged_in.connect(_logged_in, dispatch_uid="headgate.logged_in")
    user_logged_out.connect(_logged_out, dispatch_uid="headgate.logged_out")
    accounts = get_user_model()
    for model in apps.get_models():
        if issubclass(model, accounts):
            post_save.connect(_saved, model, dispatch_uid="headgate.saved")
            post_delete.connect(_deleted, model, dispatch_uid="headgate.deleted")


def _id(room: Room | str) -> int:
    if isinstance(room, Room):
        found: int | None = room.pk
    else:
        found = Room.objects.filter(slug=room).values_list("pk", flat=True).first()
    if found is None:
        raise ValueError(f"There is no room {room!r}: pass a saved room or its slug.")
    return found


def _logged_out(request: Any, **_: Any) -> None:
    """Note a logout; the signal comes before the session is emptied.

    Whether somebody was signed in, the session says: `alogout` may know no user.
    """
    session = getattr(request, "session", None)
    if session is not None and SESSION_KEY in session and session.session_key:
        _note(_What.LOGOUT, session=session_digest(session.session_key))


def _logged_in(request: Any, **_: Any) -> None:
    """Note the end of the session that was there before.

    Who signs in as somebody else, without a logout, has ended it without a signal.
    """
    before = getattr(request, "COOKIES", {}).get(settings.SESSION_COOKIE_NAME)
    session = getattr(request, "session", None)
    if before and session is not None and before != session.session_key:
        _note(_What.LOGOUT, session=session_digest(before))


def _saved(
    instance: Any,
    *,
    created: bool,
    update_fields: frozenset[str] | None,
    **_: Any,
) -> None:
    """Note an account that was saved, unless nothing of weight can have changed."""
    if not created and (update_fields is None or update_fields & _OF_AN_ACCOUNT):
        _note(_What.USER, author_key=f"u:{instance.pk}")


def _deleted(instance: Any, **_: Any) -> None:
    _note(_What.USER, author_key=f"u:{instance.pk}")


def _limits_changed(**_: Any) -> None:
    _note(_What.LIMITS)


def _note(what: AccessChange.What, **more: Any) -> None:
    """Write a notice; it is told once it is committed."""
    using = router.db_for_write(AccessChange)
    notice = AccessChange(what=what, at=timezone.now(), **more)
    notice.save(using=using)
    told = partial(_told, time.monotonic(), what, more)
    transaction.on_commit(told, using=using)
    if notice.pk % PRUNE_EVERY == 0:
        # Robust: what was committed is not to fail by this.
        transaction.on_commit(_prune, using=using, robust=True)


def _told(noted_at: float, what: AccessChange.What, more: dict[str, Any]) -> None:
    """Have this process look for notices, now that one is committed."""
    if time.monotonic() - noted_at > LATE_SECONDS:
        _note(what, **more)
    else:
        if what in {_What.ACCESS, _What.USER} and more.get("room_id") is None:
            outdate(more["author_key"])
        elif what == _What.LIMITS:
            overrides().outdate()
        hint_access()


def _prune() -> None:
    """Delete notices that every process has seen: some, so that it costs little."""
    notices = AccessChange.objects.using(router.db_for_write(AccessChange))
    before = timezone.now() - timedelta(seconds=KEPT_SECONDS)
    old = notices.filter(at__lt=before).order_by("pk").values_list("pk", flat=True)
    notices.filter(pk__in=list(old[:PRUNE_AT_MOST])).delete()
