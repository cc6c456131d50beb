"""The admin of who may come in by a token or a URL: bots, and incoming webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from headgate.chat.people import actor_for
from headgate.outbound.bot_tokens import make_bot
from headgate.outbound.destination_rules import rate_mistake
from headgate.outbound.incoming import delete_hook, make_hook
from headgate.outbound.models import Bot, IncomingWebhook
from headgate.outbound.shown_once import show_once
from headgate.outbound.signatures import new_secret

if TYPE_CHECKING:
    _BotAdmin = admin.ModelAdmin[Bot]
    _HookAdmin = admin.ModelAdmin[IncomingWebhook]
    _BotModelForm = forms.ModelForm[Bot]
    _HookModelForm = forms.ModelForm[IncomingWebhook]
else:  # Django's own classes take no type arguments
    _BotAdmin = _HookAdmin = admin.ModelAdmin
    _BotModelForm = _HookModelForm = forms.ModelForm

__all__ = ["BotAdmin", "IncomingWebhookAdmin"]


class _BotForm(_BotModelForm):
    """A bot's name is part of its key, which is in lower case everywhere."""

    def clean_name(self) -> str:
        """Check the name."""
        name = str(self.cleaned_data["name"])
        if not name.islower():
            raise ValidationError(_("Write lower case letters."))
        return name


@admin.register(Bot)
class BotAdmin(_BotAdmin):
    """Bots that connect from elsewhere."""

    form = _BotForm
    actions = ("new_token",)
    list_display = ("name", "title", "enabled", "created_at")
    search_fields = ("name", "title")
    ordering = ("name",)

    def get_fields(
        self, request: HttpRequest, obj: Bot | None = None
    ) -> tuple[str, ...]:
        """Return the fields; a new bot is enabled."""
        return ("name", "title") if obj is None else ("name", "title", "enabled")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Bot | None = None
    ) -> tuple[str, ...]:
        """Keep the name of a bot that is there: what it wrote stands under it."""
        return () if obj is None else ("name",)

    def save_model(
        self,
        request: HttpRequest,
        obj: Bot,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Make a new bot with its token."""
        if change:
            super().save_model(request, obj, form, change)
            return
        request.headgate_token = make_bot(obj.name, obj.title)  # type: ignore[attr-defined] # for `response_add`
        made = Bot.objects.get(name=obj.name)
        obj.pk, obj.token_digest = made.pk, made.token_digest

    def response_add(
        self, request: HttpRequest, obj: Bot, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the token, this once."""
        token = request.headgate_token  # type: ignore[attr-defined] # of `save_model`
        return show_once(request, self, obj, {str(_("token")): token})

    @admin.action(
        description=_("Make a new token, and refuse the old one"),
        permissions=["change"],
    )
    def new_token(
        self, request: HttpRequest, queryset: QuerySet[Bot]
    ) -> HttpResponse | None:
        """Put another token in the place of the one there is, and show it."""
        bots = list(queryset[:2])
        if len(bots) != 1:
            text = _("Choose one bot: its token is shown once.")
            self.message_user(request, text, messages.ERROR)
            return None
        return show_once(
            request, self, bots[0], {str(_("token")): make_bot(bots[0].name)}
        )


class _HookForm(_HookModelForm):
    """A new incoming webhook is signed, unless that is switched off."""

    signed = forms.BooleanField(
        label=_("Signed"),
        required=False,
        initial=True,
        help_text=_(
            "Each post must be signed with a secret, as in Standard Webhooks. Without, "
            "whoever knows the URL may post."
        ),
    )

    def clean_rate(self) -> str:
        """Check the rate."""
        text = str(self.cleaned_data["rate"]).strip()
        mistake = rate_mistake(text)
        if mistake is not None:
            raise ValidationError(mistake)
        return text


@admin.register(IncomingWebhook)
class IncomingWebhookAdmin(_HookAdmin):
    """URLs that post into rooms."""

    form = _HookForm
    list_display = ("name", "room", "is_signed", "rate", "enabled", "created_at")
    list_filter = ("enabled",)
    list_select_related = ("room",)
    search_fields = ("name", "room__slug")
    autocomplete_fields = ("room",)
    ordering = ("name",)
    actions = ("new_secret",)

    def get_fields(
        self, request: HttpRequest, obj: IncomingWebhook | None = None
    ) -> tuple[str, ...]:
        """Return the fields; that it is signed is decided when it is made."""
        if obj is None:
            return ("room", "name", "rate", "signed")
        return ("room", "name", "rate", "enabled", "is_signed", "created_by")

    def get_readonly_fields(
        self, request: HttpRequest, obj: IncomingWebhook | None = None
    ) -> tuple[str, ...]:
        """Keep the room: its bot's messages are there."""
        return () if obj is None else ("room", "is_signed", "created_by")

    def save_model(
        self,
        request: HttpRequest,
        obj: IncomingWebhook,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Make a new one with its key and its secret."""
        if change:
            super().save_model(request, obj, form, change)
            return
        made = make_hook(
            obj.room,
            obj.name,
            signed=form.cleaned_data["signed"],
            rate=obj.rate,
            created_by=actor_for(request.user).key,
        )
        obj.pk, obj.key, obj.secrets = made.pk, made.key, made.secrets

    def response_add(
        self,
        request: HttpRequest,
        obj: IncomingWebhook,
        post_url_continue: str | None = None,
    ) -> HttpResponse:
        """Show the URL and the secret, this once."""
        path = reverse("headgate-incoming", args=[obj.key])
        shown = {str(_("URL")): request.build_absolute_uri(path)}
        if obj.secrets:
            shown[str(_("secret"))] = obj.secrets[0]
        return show_once(request, self, obj, shown)

    def delete_model(self, request: HttpRequest, obj: IncomingWebhook) -> None:
        """Take its bot out of the room, too."""
        delete_hook(obj)

    def delete_queryset(
        self, request: HttpRequest, queryset: QuerySet[IncomingWebhook]
    ) -> None:
        """Delete several."""
        for each in queryset.select_related("room"):
            delete_hook(each)

    @admin.display(description=_("signed"), boolean=True)
    def is_signed(self, obj: IncomingWebhook) -> bool:
        """Return whether posts must be signed."""
        return bool(obj.secrets)

    @admin.action(
        description=_("Make a new secret, in place of the oldest of two"),
        permissions=["change"],
    )
    def new_secret(
        self, request: HttpRequest, queryset: QuerySet[IncomingWebhook]
    ) -> HttpResponse | None:
        """Put a new secret before the one that is live, and show it."""
        hooks = [each for each in queryset[:2] if each.secrets]
        if len(hooks) != 1:
            text = _("Choose one that is signed: its secret is shown once.")
            self.message_user(request, text, messages.ERROR)
            return None
        secret = new_secret()
        hooks[0].secrets = [secret, *hooks[0].secrets][:2]
        hooks[0].save(update_fields=["secrets"])
        return show_once(request, self, hooks[0], {str(_("secret")): secret})
