"""The admin of deliveries: what was and is owed, each attempt, and doing it again.

Only the ledger writes them, so nothing is edited here. What they tell may be a message,
which only those see who may see messages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from headgate.chat.models import Event
from headgate.limits.spans import in_words
from headgate.outbound import ledger
from headgate.outbound.destination_rules import LOG_EVENTS
from headgate.outbound.models import Attempt, Delivery, Destination
from headgate.outbound.notices import NOTICES
from headgate.outbound.replaying import change_in_parts

if TYPE_CHECKING:
    _DeliveryAdmin = admin.ModelAdmin[Delivery]
    _AttemptInline = admin.TabularInline[Attempt, Delivery]
else:  # Django's own classes take no type arguments
    _DeliveryAdmin, _AttemptInline = admin.ModelAdmin, admin.TabularInline

__all__ = ["DeliveryAdmin"]

MOST_FILTERED = 100  # destinations that the filter shows
SEES_MESSAGES = "headgate_chat.view_event"
CHANGES = "headgate_outbound.change_destination"


class _Attempts(_AttemptInline):
    """Each try, as it went."""

    model = Attempt
    fields = ("number", "when", "outcome", "status", "took", "asked_to_wait", "error")
    readonly_fields = fields
    ordering = ("number",)
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: attempts are made, not added."""
        return False

    @admin.display(description=_("at"))
    def when(self, obj: Attempt) -> str:
        """Return when it was made."""
        return _at(obj.at)

    @admin.display(description=_("service (ms)"))
    def took(self, obj: Attempt) -> str:
        """Return how long the service took."""
        return f"{obj.service_seconds * 1000:.0f}"

    @admin.display(description=_("asked to wait"))
    def asked_to_wait(self, obj: Attempt) -> str:
        """Return how long the service asked to wait."""
        seconds = obj.retry_after_seconds
        return "-" if seconds is None else in_words(seconds)


class _EventFilter(admin.SimpleListFilter):
    """By the name of the event; the names are known, so no table is searched."""

    title = _("event")
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in (*LOG_EVENTS, *NOTICES, "test")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Delivery]
    ) -> QuerySet[Delivery]:
        name = self.value()
        return queryset if name is None else queryset.filter(event=name)


class _DestinationFilter(admin.SimpleListFilter):
    """By destination; those of rooms, of which there may be many, are searched for."""

    title = _("destination")
    parameter_name = "destination"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = Destination.objects.filter(room=None).order_by("name")
        names = rows.values_list("name", flat=True)[:MOST_FILTERED]
        return [(name, name) for name in names]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Delivery]
    ) -> QuerySet[Delivery]:
        name = self.value()
        return queryset if name is None else queryset.filter(destination__name=name)


@admin.register(Delivery)
class DeliveryAdmin(_DeliveryAdmin):
    """Calls that are, or were, owed."""

    list_display = (
        "since",
        "destination",
        "event",
        "place",
        "state",
        "attempts",
        "last_status",
        "last_error",
        "next_try",
    )
    list_filter = ("state", _EventFilter, _DestinationFilter)
    list_select_related = ("destination", "room")
    search_fields = ("destination__name", "room__slug")
    ordering = ("-id",)
    show_full_result_count = False
    inlines = (_Attempts,)
    actions = ("replay", "drop")
    fields = (
        "id",
        "destination",
        "event",
        "place",
        "told",
        "state",
        "importance",
        "attempts",
        "last_status",
        "last_error",
        "next_try",
        "owed",
        "finished",
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: deliveries are owed, not added."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: the ledger writes them."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: they can be dropped, and are gone by themselves in time."""
        return False

    def has_switch_permission(self, request: HttpRequest) -> bool:
        """Return whether somebody may replay and drop: who may change destinations."""
        return bool(request.user.has_perm(CHANGES))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Leave out what is told for those who may not see messages."""
        sees = request.user.has_perm(SEES_MESSAGES)
        return tuple(each for each in self.fields if sees or each != "told")

    # --- what is shown ---

    @admin.display(description=_("tells"))
    def place(self, obj: Delivery) -> str:
        """Return which event it tells."""
        return "-" if obj.room is None else f"{obj.room.slug} {obj.seq or ''}".strip()

    @admin.display(description=_("what it tells"))
    def told(self, obj: Delivery) -> str:
        """Return what it would tell now."""
        if obj.payload is not None:
            return json.dumps(obj.payload, ensure_ascii=False, indent=1)
        event = None
        if obj.room_id is not None and obj.seq is not None:
            event = Event.objects.filter(room_id=obj.room_id, seq=obj.seq).first()
        if event is None:
            return "-"
        return f"{event.author_name}: {event.text or ''}"

    @admin.display(description=_("next try"))
    def next_try(self, obj: Delivery) -> str:
        """Return when it is tried next, if it is due."""
        if obj.state != Delivery.State.DUE:
            return "-"
        left = obj.due_at - time.time()
        if obj.lease:
            return str(_("on its way"))
        return in_words(left) if left > 0 else str(_("now"))

    @admin.display(description=_("owed"), ordering="id")
    def since(self, obj: Delivery) -> str:
        """Return for how long it has been there."""
        ago = in_words(time.time() - obj.created_at)
        return str(_("%(time)s ago") % {"time": ago})

    @admin.display(description=_("owed at"))
    def owed(self, obj: Delivery) -> str:
        """Return when it came to be owed."""
        return _at(obj.created_at)

    @admin.display(description=_("finished at"))
    def finished(self, obj: Delivery) -> str:
        """Return when it was finished."""
        return "-" if obj.finished_at is None else _at(obj.finished_at)

    # --- what is done ---

    @admin.action(
        description=_("Replay those that were given up"), permissions=["switch"]
    )
    def replay(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Owe again what was given up."""
        self._tell(request, queryset, ledger.replay)

    @admin.action(description=_("Drop: owe them no more"), permissions=["switch"])
    def drop(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> None:
        """Owe no more what is due or was given up."""
        self._tell(request, queryset, ledger.drop)

    def _tell(
        self,
        request: HttpRequest,
        queryset: QuerySet[Delivery],
        what: Callable[..., int],
    ) -> None:
        count = change_in_parts(what, queryset.values_list("pk", flat=True))
        text = ngettext(
            "It was done to %(count)d delivery.",
            "It was done to %(count)d deliveries.",
            count,
        )
        self.message_user(request, text % {"count": count}, messages.SUCCESS)


def _at(seconds: float) -> str:
    at = localtime(datetime.fromtimestamp(seconds, tz=UTC))
    return f"{at:%Y-%m-%d %H:%M:%S}"
