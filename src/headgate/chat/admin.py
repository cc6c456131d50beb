"""The admin. Whatever it writes goes through the actions, so that it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from headgate.chat import actions
from headgate.chat.access import access_changed
from headgate.chat.limit_admin import LimitOverrideAdmin
from headgate.chat.models import Event, Member, Message, Room
from headgate.chat.people import Actor, actor_for
from headgate.chat.room_limits import RoomLimits
from headgate.chat.room_limits_form import RoomForm, limits_to_text

if TYPE_CHECKING:
    _RoomAdmin = admin.ModelAdmin[Room]
    _MemberAdmin = admin.ModelAdmin[Member]
    _LogAdmin = admin.ModelAdmin[Any]
    _Form = forms.ModelForm[Member]
else:  # Django's own classes take no type arguments
    _RoomAdmin = _MemberAdmin = _LogAdmin = admin.ModelAdmin
    _Form = forms.ModelForm

__all__ = [
    "EventAdmin",
    "LimitOverrideAdmin",
    "MemberAdmin",
    "MessageAdmin",
    "RoomAdmin",
]


@admin.register(Room)
class RoomAdmin(_RoomAdmin):
    """Rooms; the head and the epoch belong to the log."""

    form = RoomForm
    list_display = ("slug", "title", "kind", "subject", "head")
    list_filter = ("kind",)
    search_fields = ("slug", "title")
    readonly_fields = ("subject", "head", "epoch")

    def get_readonly_fields(
        self,
        request: HttpRequest,
        obj: Room | None = None,
    ) -> tuple[str, ...]:
        """Keep the slug of a room that is in use: links and clients know it."""
        always = ("subject", "head", "epoch")
        return always if obj is None else ("slug", *always)

    def save_model(
        self,
        request: HttpRequest,
        obj: Room,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Save a room, and set its limits so that they are told."""
        if change:
            form.keep_limits(obj)
        super().save_model(request, obj, form, change)
        form.save_limits(obj)
        if change and "kind" in form.changed_data:
            access_changed(room=obj)  # whom it lets in is another now

    # What is shown to those who may only look, in the place of the form's fields.

    @admin.display(description=_("slow mode (seconds)"))
    def slow_mode(self, obj: Room) -> str:
        """Return a room's slow mode."""
        return f"{RoomLimits.of(obj.settings).slow_mode_seconds:g}"

    @admin.display(description=_("own limits"))
    def own_limits(self, obj: Room) -> str:
        """Return a room's own rates."""
        return limits_to_text(RoomLimits.of(obj.settings).limits) or "-"

    @admin.display(description=_("belongs to"))
    def subject(self, obj: Room) -> str:
        """Return a link to the thing of the project that a room belongs to."""
        if not obj.subject_type:
            return "-"
        named = f"{obj.subject_type} {obj.subject_id}"
        view = f"admin:{obj.subject_type.replace('.', '_')}_change"
        try:
            url = reverse(
                view,
                args=[quote(obj.subject_id)],
                current_app=self.admin_site.name,
            )
        except NoReverseMatch:  # it has no page in the admin
            return named
        return format_html('<a href="{}">{}</a>', url, named)


class _MemberForm(_Form):
    """A new member is a user who is none yet; guests come in by themselves."""

    def clean(self) -> dict[str, Any]:
        """Check who is to be added; afterwards the form has no such field."""
        cleaned = super().clean() or self.cleaned_data
        if "user" in cleaned:
            room, user = cleaned.get("room"), cleaned["user"]
            if user is None:
                self.add_error("user", _("Choose a user."))
            elif Member.objects.filter(room=room, author_key=f"u:{user.pk}").exists():
                self.add_error("user", _("They are a member already."))
        return cleaned


@admin.register(Member)
class MemberAdmin(_MemberAdmin):
    """Who stands how in which room."""

    form = _MemberForm
    list_display = ("room", "name", "author_key", "role", "muted_until", "banned")
    list_filter = ("role", "banned", "room")
    search_fields = ("name", "author_key", "room__slug")
    fields = ("room", "user", "role", "muted_until", "banned")
    autocomplete_fields = ("room",)
    raw_id_fields = ("user",)

    def get_readonly_fields(
        self,
        request: HttpRequest,
        obj: Member | None = None,
    ) -> tuple[str, ...]:
        """Keep whose membership of which room it is."""
        return () if obj is None else ("room", "user")

    def save_model(
        self,
        request: HttpRequest,
        obj: Member,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        """Write each difference as the event that tells it."""
        by, person = actor_for(request.user), _person(obj)
        if not change:
            actions.add_member(obj.room, person, by=by, role=obj.role)
        if change and "role" in form.changed_data:
            actions.set_role(obj.room, person, obj.role, by=by)
        if "muted_until" in form.changed_data:
            if obj.muted_until is None:
                actions.unmute(obj.room, person, by=by)
            else:
                actions.mute(obj.room, person, obj.muted_until, by=by)
        if "banned" in form.changed_data:
            (actions.ban if obj.banned else actions.unban)(obj.room, person, by=by)
        written = Member.objects.filter(room=obj.room, author_key=person.key).first()
        if written is not None:
            obj.pk = written.pk

    def delete_model(self, request: HttpRequest, obj: Member) -> None:
        """End the membership, and tell it."""
        actions.remove_member(obj.room, _person(obj), by=actor_for(request.user))

    def delete_queryset(
        self,
        request: HttpRequest,
        queryset: QuerySet[Member],
    ) -> None:
        """End several memberships."""
        for member in queryset.select_related("room", "user"):
            self.delete_model(request, member)


def _person(member: Member) -> Actor:
    """Return the person of a row, who may be a guest."""
    if member.user is not None:
        return actor_for(member.user)
    return Actor(member.author_key, member.name)


class _ReadOnlyAdmin(_LogAdmin):
    """Rows of the log: shown, never written here."""

    list_filter = ("room",)
    search_fields = ("text", "author_name", "author_key", "room__slug")
    list_select_related = ("room",)
    show_full_result_count = False  # counting a long log takes longer than showing it

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: messages are sent, not added."""
        return False

    def has_change_permission(
        self,
        request: HttpRequest,
        obj: Any = None,
    ) -> bool:
        """Refuse: edits are events of their own."""
        return False

    def has_delete_permission(
        self,
        request: HttpRequest,
        obj: Any = None,
    ) -> bool:
        """Refuse: a missing seq would be a hole."""
        return False


@admin.register(Event)
class EventAdmin(_ReadOnlyAdmin):
    """The log as it is."""

    list_display = ("room", "seq", "kind", "author_name", "text", "at")
    ordering = ("-id",)


@admin.register(Message)
class MessageAdmin(_ReadOnlyAdmin):
    """Messages as they are now."""

    list_display = ("room", "seq", "author_name", "text", "at", "deleted_seq")
    ordering = ("-id",)
    actions = ("delete_messages",)

    @admin.action(description=_("Delete the chosen messages for everybody"))
    def delete_messages(
        self,
        request: HttpRequest,
        queryset: QuerySet[Message],
    ) -> None:
        """Delete messages; each is told to everybody in its room."""
        refused = 0
        for message in queryset.select_related("room"):
            try:
                actions.delete_message(
                    message.room,
                    message.seq,
                    by=actor_for(request.user),
                )
            except actions.NotSent:
                refused += 1
        if refused:
            text = _("%(count)d could not be deleted: you moderate only your rooms.")
            self.message_user(request, text % {"count": refused}, messages.WARNING)
