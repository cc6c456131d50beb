"""The admin of destinations: how they stand, what they cost, and who switches them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from headgate.chat.people import actor_for
from headgate.outbound import ledger, switches
from headgate.outbound.destination_form import DestinationForm
from headgate.outbound.models import Delivery, Destination
from headgate.outbound.replaying import delete_destination, replay_dead
from headgate.outbound.shown_once import show_once
from headgate.outbound.states import count_of, standing_of

if TYPE_CHECKING:
    _DestinationAdmin = admin.ModelAdmin[Destination]
else:  # Django's own class takes no type arguments
    _DestinationAdmin = admin.ModelAdmin

__all__ = ["DestinationAdmin"]

_SHOWN = 4  # characters of a secret, by which one knows which it is
_FIGURES = (
    "standing",
    "due",
    "dead",
    "delivered",
    "failures",
    "service_time",
    "waiting_time",
    "cost",
)
# Code says these of its handlers, at each start.
_BY_CODE = ("name", "url", "events", "rooms")


@admin.register(Destination)
class DestinationAdmin(_DestinationAdmin):
    """Services that are called."""

    form = DestinationForm
    list_display = ("name", "kind", *_FIGURES)
    list_filter = ("kind", "enabled", "paused")
    search_fields = ("name", "url", "handler", "room__slug")
    ordering = ("name",)
    actions = (
        "pause",
        "resume",
        "enable",
        "disable",
        "send_test",
        "replay_dead",
        "new_secret",
        "drop_oldest_secret",
    )
    fieldsets = (
        (None, {"fields": ("name", "kind", "url", "handler", "live_secrets")}),
        (_("What it is told"), {"fields": ("events", "rooms", "room")}),
        (
            _("How it may be called"),
            {
                "fields": (
                    "rate",
                    "concurrency",
                    "ordering",
                    "timeout_seconds",
                    "max_attempts",
                    "batch_size",
                    "batch_wait_seconds",
                    "cost_budget",
                )
            },
        ),
        (
            _("What is urgent, and what is late"),
            {"fields": ("importance", "useful_seconds", "late")},
        ),
        (_("How it stands"), {"fields": (*_FIGURES, "created_by", "created_at")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Destination]:
        """Return the rows with what they are owed."""
        rows = super().get_queryset(request)
        return rows.annotate(
            due_count=count_of(Delivery.State.DUE),
            dead_count=count_of(Delivery.State.DEAD),
        )

    def get_fieldsets(
        self, request: HttpRequest, obj: Destination | None = None
    ) -> Any:
        """Leave out what a destination of this kind does not have."""
        without: set[str] = {"handler"}
        if obj is None:
            without |= {"kind", "live_secrets", "room", *_FIGURES}
            without |= {"created_by", "created_at"}
        elif obj.kind == Destination.Kind.HANDLER:
            without = {"url", "live_secrets", "room"}
        if obj is not None:
            without |= {"rooms"} if obj.room_id is not None else {"room"}
        found = []
        for title, options in self.fieldsets:
            fields = [each for each in options["fields"] if each not in without]
            if fields:
                found.append((title, {**options, "fields": fields}))
        return found

    def get_readonly_fields(
        self, request: HttpRequest, obj: Destination | None = None
    ) -> tuple[str, ...]:
        """Keep what people know a destination by, and what its code says."""
        made = ("created_by", "created_at")
        always = ("kind", "handler", "live_secrets", "room", *_FIGURES, *made)
        if obj is None:
            return always
        if obj.kind == Destination.Kind.HANDLER:
            return (*_BY_CODE, *always)
        return ("name", *always)

    def save_model(
        self,
        request: HttpRequest,
        obj: Destination,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save what the form is about: a worker writes the rest of the row."""
        if change:
            if form.changed_data:
                obj.save(update_fields=form.changed_data)
            return
        obj.created_by = actor_for(request.user).key
        super().save_model(request, obj, form, change)
        request.headgate_secret = switches.add_secret(obj)  # type: ignore[attr-defined] # for `response_add`

    def get_deleted_objects(
        self, objs: Iterable[Destination], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Say how many deliveries go as well; there may be too many to list them."""
        rows = list(objs)
        owed = Delivery.objects.filter(destination__in=[row.pk for row in rows])
        counts = {
            str(Destination._meta.verbose_name_plural): len(rows),  # noqa: SLF001 - Django's public _meta
            str(Delivery._meta.verbose_name_plural): owed.count(),  # noqa: SLF001
        }
        may = all(self.has_delete_permission(request, row) for row in rows)
        missing = set() if may else {str(Destination._meta.verbose_name)}  # noqa: SLF001
        return [str(row) for row in rows], counts, missing, []

    def delete_model(self, request: HttpRequest, obj: Destination) -> None:
        """Delete it in parts, each a transaction: so after that of the request."""
        using = router.db_for_write(Destination)
        transaction.on_commit(partial(delete_destination, obj), using=using)

    def delete_queryset(
        self, request: HttpRequest, queryset: QuerySet[Destination]
    ) -> None:
        """Delete each of them in parts."""
        for row in queryset:
            self.delete_model(request, row)

    def response_add(
        self,
        request: HttpRequest,
        obj: Destination,
        post_url_continue: str | None = None,
    ) -> HttpResponse:
        """Show the secret of a new webhook, this once."""
        return self._show_secret(request, obj, request.headgate_secret)  # type: ignore[attr-defined] # of `save_model`

    # --- what is shown ---

    @admin.display(description=_("state"))
    def standing(self, obj: Destination) -> str:
        """Return whether it is called, in words."""
        return standing_of(obj).text

    @admin.display(description=_("due"), ordering="due_count")
    def due(self, obj: Any) -> int:
        """Return how many calls are still to be made."""
        return int(obj.due_count)

    @admin.display(description=_("given up"), ordering="dead_count")
    def dead(self, obj: Any) -> int:
        """Return how many calls were given up."""
        return int(obj.dead_count)

    @admin.display(description=_("service (ms)"))
    def service_time(self, obj: Destination) -> str:
        """Return how long the service took for a call, on average."""
        return _mean_ms(obj.service_seconds, obj.calls)

    @admin.display(description=_("waiting (ms)"))
    def waiting_time(self, obj: Destination) -> str:
        """Return how long a call waited for limits, on average."""
        return _mean_ms(obj.waited_seconds, obj.calls)

    @admin.display(description=_("secrets"))
    def live_secrets(self, obj: Destination) -> str:
        """Return by what the secrets are known, and nothing that signs."""
        return ", ".join(f"…{each[-_SHOWN:]}" for each in obj.secrets) or "-"

    # --- what is done ---

    @admin.action(description=_("Pause"), permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        """Make no calls for now."""
        self._each(request, queryset, switches.pause)

    @admin.action(description=_("Resume"), permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        """Make calls again."""
        self._each(request, queryset, switches.resume)

    @admin.action(description=_("Enable, and begin anew"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        """Forget earlier failures and make calls."""
        self._each(request, queryset, switches.enable)

    @admin.action(description=_("Disable: owe nothing more"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        """Owe nothing more."""
        self._each(request, queryset, switches.disable)

    @admin.action(description=_("Send a test"), permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[Destination]) -> None:
        """Owe each webhook a call that tells nothing."""
        functions = queryset.filter(kind=Destination.Kind.HANDLER)
        webhooks = queryset.filter(kind=Destination.Kind.WEBHOOK)
        off = [each for each in webhooks if ledger.owe_test(each) is None]
        if functions:
            text = _(
                "Not sent to these, which are functions of the project, and are called "
                "for what happens in a room alone: %(names)s. Write a message in one "
                "of their rooms, and look at its delivery."
            )
            names = ", ".join(map(str, functions))
            self.message_user(request, text % {"names": names}, messages.WARNING)
        if off:
            text = _("Nothing is owed to these, which are disabled: %(names)s.")
            names = ", ".join(map(str, off))
            self.message_user(request, text % {"names": names}, messages.WARNING)
        elif webhooks:
            self.message_user(request, _("It is on its way."), messages.SUCCESS)

    @admin.action(description=_("Replay what was given up"), permissions=["change"])
    def replay_dead(
        self, request: HttpRequest, queryset: QuerySet[Destination]
    ) -> None:
        """Owe again what was given up."""
        count = sum(map(replay_dead, queryset))
        text = ngettext(
            "%(count)d delivery is owed again.",
            "%(count)d deliveries are owed again.",
            count,
        )
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

    @admin.action(
        description=_("Make a new secret, beside those there are"),
        permissions=["change"],
    )
    def new_secret(
        self, request: HttpRequest, queryset: QuerySet[Destination]
    ) -> HttpResponse | None:
        """Put a new secret before the others, and show it."""
        webhooks = list(queryset.filter(kind=Destination.Kind.WEBHOOK)[:2])
        if len(webhooks) != 1:
            text = _("Choose one webhook: its secret is shown once.")
            self.message_user(request, text, messages.ERROR)
            return None
        secret = switches.add_secret(webhooks[0])
        return self._show_secret(request, webhooks[0], secret)

    @admin.action(description=_("Drop the oldest secret"), permissions=["change"])
    def drop_oldest_secret(
        self, request: HttpRequest, queryset: QuerySet[Destination]
    ) -> None:
        """Sign with the newer ones only."""
        kept = [each for each in queryset if not switches.drop_oldest_secret(each)]
        if kept:
            text = _("Kept, as they have no other: %(names)s. Make a new one first.")
            names = ", ".join(map(str, kept))
            self.message_user(request, text % {"names": names}, messages.WARNING)

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Destination],
        what: Callable[[Destination], object],
    ) -> None:
        for destination in queryset:
            what(destination)
            self.log_change(
                request, destination, [{"changed": {"fields": [what.__name__]}}]
            )
        self.message_user(request, _("Done."), messages.SUCCESS)

    def _show_secret(
        self, request: HttpRequest, destination: Destination, secret: str
    ) -> HttpResponse:
        return show_once(request, self, destination, {str(_("secret")): secret})


def _mean_ms(seconds: float, calls: int) -> str:
    return f"{seconds / calls * 1000:.0f}" if calls else "-"
