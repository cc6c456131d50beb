"""The admin of limits: people's own rates, and who is being refused."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from headgate.chat.models import LimitOverride
from headgate.chat.policies import STANDARD
from headgate.contrib.reported import accounts_of, refused_lately, reset_key
from headgate.contrib.shared import reports, settings_in_force
from headgate.limits.owner import owner_of, place_of
from headgate.limits.refusals import KEPT_MINUTES, Refused
from headgate.limits.reports import ReportsUnusable
from headgate.limits.spans import in_words

if TYPE_CHECKING:
    _LimitAdmin = admin.ModelAdmin[LimitOverride]
    _Form = forms.ModelForm[LimitOverride]
else:  # Django's own classes take no type arguments
    _LimitAdmin = admin.ModelAdmin
    _Form = forms.ModelForm

__all__ = ["LimitOverrideAdmin"]

logger = logging.getLogger("headgate.limits")

MAX_SHOWN = 500  # lines on the page; the last ones


class _LimitForm(_Form):
    """One limit of one person."""

    policy = forms.ChoiceField(
        label=gettext_lazy("Policy"),
        choices=[(name, f"{name}: {each.what}") for name, each in STANDARD.items()],
    )

    class Meta:
        help_texts = {  # noqa: RUF012 - Django's idiom
            "rate": gettext_lazy(
                "Such as 5/s, or 60/min:20 with a burst of 20, or off. "
                "It rules before a room's own rate. A message counts for send, for "
                "send.all and for command: whoever is to send more needs all three."
            ),
            "note": gettext_lazy("Why, for whoever reads this later."),
        }


@admin.register(LimitOverride)
class LimitOverrideAdmin(_LimitAdmin):
    """People's own limits, and the page that shows who is being refused."""

    form = _LimitForm
    list_display = ("user", "policy", "rate", "note", "created_at")
    list_filter = ("policy",)
    list_select_related = ("user",)
    raw_id_fields = ("user",)
    fields = ("user", "policy", "rate", "note")
    ordering = ("-id",)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:  # noqa: ARG002 - Django's signature
        """Search by what people of this project sign in with."""
        users: Any = get_user_model()
        return (f"user__{users.USERNAME_FIELD}", "=author_key", "rate", "note")

    def get_urls(self) -> list[URLPattern]:
        """Add the page of who is refused; before others, whose names are anything."""
        wrap, named = self.admin_site.admin_view, "headgate_chat_limitoverride"
        shown, reset = wrap(self.refused), wrap(require_POST(self.reset))
        return [
            path("refused/", shown, name=f"{named}_refused"),
            path("refused/reset/", reset, name=f"{named}_reset"),
            *super().get_urls(),
        ]

    def refused(self, request: HttpRequest) -> HttpResponse:
        """Show who was refused in the last minutes, in all processes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        settings = settings_in_force()
        place = None
        try:
            place = reports(settings)
            found = refused_lately(place)
        except ReportsUnusable as exc:
            messages.error(request, str(exc))
            found = []
        finally:
            if place is not None:
                place.close()
        rows = self._rows(found[:MAX_SHOWN])
        context = {
            **self.admin_site.each_context(request),
            "title": _("Who is being refused"),
            "opts": self.opts,
            "rows": rows,
            "more": len(found) - len(rows),
            "minutes": KEPT_MINUTES,
            "throttling_enabled": settings.throttling_enabled,
            "may_reset": self.has_change_permission(request),
        }
        request.current_app = self.admin_site.name  # as the admin's own views do
        template = "admin/headgate_chat/limitoverride/refused.html"
        return TemplateResponse(request, template, context)

    def reset(self, request: HttpRequest) -> HttpResponse:
        """Forget what is counted of somebody."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        owner = owner_of(request.POST.get("owner", "").strip())
        if owner:
            self._reset(request, owner)
        else:
            messages.error(request, _("Nobody was named."))
        name = "admin:headgate_chat_limitoverride_refused"
        return HttpResponseRedirect(reverse(name, current_app=self.admin_site.name))

    def _reset(self, request: HttpRequest, owner: str) -> None:
        place = None
        try:
            place = reports(settings_in_force())
            reset_key(place, owner)
        except ReportsUnusable as exc:
            messages.error(request, str(exc))
            return
        finally:
            if place is not None:
                place.close()
        logger.warning("limits_reset owner=%r by=%r", owner, request.user.pk)
        text = _("Reset: %(owner)s. Other processes follow within about a second.")
        messages.success(request, text % {"owner": owner})

    def _rows(self, found: list[Refused]) -> list[dict[str, Any]]:
        """Return what the page shows of each."""
        accounts = accounts_of({owner_of(each.key) for each in found})
        now = time.time()
        rows = []
        for each in found:
            owner = owner_of(each.key)
            account = accounts.get(owner)
            free_at = each.free_at
            rows.append(
                {
                    "owner": owner,
                    "name": "" if account is None else str(account),
                    "url": "" if account is None else self._url(account),
                    "where": place_of(each.key).removeprefix("/"),
                    "policy": each.policy,
                    "count": each.count,
                    "last_ago": in_words(now - each.last_at),
                    "is_free": free_at is not None and free_at <= now,
                    "free_in": free_at and in_words(free_at - now),
                    "dry_run": each.dry_run,
                },
            )
        return rows

    def _url(self, account: Any) -> str:
        """Return where a user is changed; empty where the admin has no such page."""
        name = f"admin:{account._meta.app_label}_{account._meta.model_name}_change"  # noqa: SLF001 - public
        try:
            return reverse(
                name, args=[quote(account.pk)], current_app=self.admin_site.name
            )
        except NoReverseMatch:
            return ""
