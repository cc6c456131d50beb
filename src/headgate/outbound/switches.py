"""What people do to a destination: pause, resume, disable, enable, and its secrets.

Each writes the columns that it is about and no others: a worker writes the gates of the
same row at the same time.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from django.db import router, transaction

from headgate.outbound.models import Destination
from headgate.outbound.signatures import new_secret

__all__ = [
    "BY_STAFF",
    "MAX_SECRETS",
    "add_secret",
    "disable",
    "drop_oldest_secret",
    "enable",
    "pause",
    "resume",
]

logger = logging.getLogger("headgate.outbound")

BY_STAFF = "by an administrator"
MAX_SECRETS = 4  # each call carries a signature by each of them


def pause(destination: Destination) -> None:
    """Make no calls for now; what is owed waits."""
    _set(destination, paused=True)


def resume(destination: Destination) -> None:
    """Make calls again; that none succeeded meanwhile says nothing."""
    _set(destination, paused=False, failing_since=None)


def disable(destination: Destination, reason: str = BY_STAFF) -> None:
    """Make no calls, and owe no more."""
    _set(destination, enabled=False, disabled_reason=reason)
    logger.warning("destination_disabled name=%s reason=%r", destination, reason)


def enable(destination: Destination) -> None:
    """Begin anew: what the gates knew of earlier failures is forgotten."""
    _set(
        destination,
        enabled=True,
        disabled_reason="",
        failing_since=None,
        not_before=0.0,
        breaker_until=0.0,
        breaker_opened=0,
        probe_until=0.0,
        window_calls=0,
        window_failures=0,
    )


def add_secret(destination: Destination, *, keep: int = MAX_SECRETS) -> str:
    """Put a new secret before the others, and return it: it is shown this once.

    Args:
        destination: Whose.
        keep: How many are live afterwards at most; the oldest are dropped.
    """
    secret = new_secret()
    with _locked(destination) as row:
        _set(row, secrets=[secret, *row.secrets][:keep])
    destination.secrets = row.secrets
    return secret


def drop_oldest_secret(destination: Destination) -> bool:
    """Drop the oldest secret; return False where there is but one, which is kept."""
    with _locked(destination) as row:
        if len(row.secrets) < 2:  # noqa: PLR2004 - one must be left
            return False
        _set(row, secrets=row.secrets[:-1])
    destination.secrets = row.secrets
    return True


@contextlib.contextmanager
def _locked(destination: Destination) -> Iterator[Destination]:
    """Give the row as it is now, for as long as nobody else may change it."""
    using = router.db_for_write(Destination)
    with transaction.atomic(using=using):
        rows = Destination.objects.using(using).select_for_update()
        yield rows.get(pk=destination.pk)


def _set(destination: Destination, **columns: object) -> None:
    for name, value in columns.items():
        setattr(destination, name, value)
    destination.save(update_fields=[*columns])
