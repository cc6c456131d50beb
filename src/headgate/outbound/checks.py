"""System checks of what the settings say about external services."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, router

from headgate.chat.conf import conf
from headgate.outbound.address_guard import AddressGuard
from headgate.outbound.models import Destination
from headgate.outbound.senders import NEEDED, can_call
from headgate.outbound.taken_names import taken_names

__all__ = ["check_addresses", "check_can_call", "check_names"]


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
