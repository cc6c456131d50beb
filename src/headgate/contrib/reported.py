"""Who is refused, in all processes that count in one place, and resetting a key.

What the admin and `headgate limits` show. Importing this module imports no Django.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterable
from typing import Any

from headgate.contrib.shared import limiter_so_far
from headgate.limits.memory import MemoryStore
from headgate.limits.owner import is_meant
from headgate.limits.refusals import Refused
from headgate.limits.reports import FRESH_SECONDS, Report, Reports, merged

__all__ = ["accounts_of", "refused_lately", "reset_key"]


def refused_lately(reports: Reports) -> list[Refused]:
    """Return who was refused in the last minutes, in all processes, the last first.

    Who was reset since then is left out: a process that has ended says nothing new.

    Raises:
        ReportsUnusable: With what to do.
    """
    own = socket.gethostname(), os.getpid()
    found = reports.read()
    here = limiter_so_far()
    if here is not None:  # as it is now, not as it was written a second ago
        found = [each for each in found if (each.host, each.process) != own]
        found.append(Report(*own, time.time(), tuple(here.refusals.report())))
    now = time.time()
    resets = reports.resets(now - FRESH_SECONDS)
    return [
        each
        for each in merged(found, now)
        if not any(
            reset.at >= each.last_at and is_meant(reset.key, each.key)
            for reset in resets
        )
    ]


def reset_key(reports: Reports, key: str) -> None:
    """Forget what is counted of a key, or of all keys of a person: see `is_meant`.

    In Redis and in this process at once, in other processes within about a second
    while they refuse somebody, and else at their next refusal within an hour.

    Raises:
        ReportsUnusable: With what to do.
    """
    reports.reset(key)
    here = limiter_so_far()
    if here is not None:
        if isinstance(here.store, MemoryStore):
            here.store.reset_all(key)
        here.refusals.forget(key)


def accounts_of(owners: Iterable[str]) -> dict[str, Any]:
    """Return the users whose keys these are, such as `u:5`; needs Django set up.

    None where the project has no users. Asks the database.
    """
    from django.apps import apps
    from django.contrib.auth import get_user_model
    from django.core.exceptions import ValidationError

    if not apps.is_installed("django.contrib.auth"):
        return {}
    users: Any = get_user_model()
    pks = []
    for owner in owners:
        kind, _, text = owner.partition(":")
        if kind == "u":
            with contextlib.suppress(ValidationError):  # a key of somebody's own
                pks.append(users._meta.pk.clean(text, None))  # noqa: SLF001 - public
    found = users._default_manager.in_bulk(pks)  # noqa: SLF001 - public
    return {f"u:{pk}": user for pk, user in found.items()}
