"""System checks of what the settings say about external services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, router

from headgate.chat.conf import conf
from headgate.chat.models import Event
from headgate.outbound.address_guard import AddressGuard
from headgate.outbound.models import Delivery, Destination
from headgate.outbound.senders import NEEDED, can_call
from headgate.outbound.taken_names import taken_names

__all__ = ["check_addresses", "check_can_call", "check_names", "check_one_database"]


@register()
def check_addresses(**_: Any) -> list[CheckMessage]:
    """Check that what may be called is named by networks and ports."""
    settings = conf()
    try:
        AddressGuard(settings.OUTBOUND_NETWORKS, settings.OUTBOUND_PORTS)
    except ImproperlyConfigured as exc:
        hint = (
            'Write HEADGATE = {"OUTBOUND_NETWORKS": ["10.1.0.0/16"], '
            '"OUTBOUND_PORTS": ["443"]}.'
        )
        return [Error(str(exc), hint=hint, id="headgate.E014")]
    return []


@register()
def check_can_call(**_: Any) -> list[CheckMessage]:
    """Check that a worker of this project could call webhooks."""
    if can_call():
        return []
    what = f"{NEEDED} is not installed, so no webhook can be called from here."
    hint = "pip install 'headgate[outbound]'"
    return [checks.Warning(what, hint=hint, id="headgate.W007")]


@register()
def check_one_database(**_: Any) -> list[CheckMessage]:
    """Check that what is owed can be written in the transaction of what is told."""
    events, owed = router.db_for_write(Event), router.db_for_write(Delivery)
    if events == owed:
        return []
    what = (
        f"DATABASE_ROUTERS put the chat on the database {events!r}, and the calls "
        f"that are owed on {owed!r}. Both are written in one transaction."
    )
    hint = "Send the apps headgate_chat and headgate_outbound to the same database."
    return [Error(what, hint=hint, id="headgate.E015")]


@register(Tags.database)
def check_names(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that no destination has the name that a function of the project needs."""
    using = router.db_for_read(Destination)
    if using not in (databases or ()):
        return []
    try:
        taken = taken_names(using)
    except DatabaseError:  # its tables are not made yet
        return []
    return [
        checks.Warning(f"{handler}: {what}", id="headgate.W008")
        for handler, what in taken.items()
    ]
