"""The admin's form of a room: its slow mode and its own limits as fields.

They are kept in `Room.settings` and set by the actions, which tell them to those who
are there. So the raw settings beside these fields are those without them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import router
from django.utils.translation import gettext_lazy as _

from headgate.chat import actions
from headgate.chat.models import Room
from headgate.chat.room_limits import (
    LIMITS,
    SLOW_MODE,
    RoomLimits,
    checked_limits,
    checked_slow_mode,
)

if TYPE_CHECKING:
    _Form = forms.ModelForm[Room]
else:  # Django's own class takes no type arguments
    _Form = forms.ModelForm

__all__ = ["RoomForm", "limits_from_text", "limits_to_text"]

_KEPT_APART = (SLOW_MODE, LIMITS)


def limits_from_text(text: str) -> dict[str, str]:
    """Read a room's own rates, such as `send=5/s, typing=off`.

    Raises:
        ValueError: With what was meant.
    """
    found: dict[str, str] = {}
    for part in re.split(r"[,;\s]+", re.sub(r"\s*=\s*", "=", text.strip())):
        name, equals, rate = part.partition("=")
        if not part:
            continue
        if not equals or not name or not rate:
            raise ValueError(
                f"{part!r} is no limit. Write the policy, = and its rate, and commas "
                "between them: send=5/s, typing=off.",
            )
        if name in found:
            raise ValueError(f"The policy {name} is there twice.")
        found[name] = rate
    return checked_limits(found)


def limits_to_text(limits: Mapping[str, str]) -> str:
    """Return rates as `limits_from_text` reads them."""
    return ", ".join(f"{name}={rate}" for name, rate in limits.items())


class RoomForm(_Form):
    """A room; call `save_limits` once the room itself is saved."""

    slow_mode = forms.FloatField(
        label=_("Slow mode (seconds)"),
        required=False,
        help_text=_(
            "How long people wait between two messages here. "
            "Empty: as everywhere. Moderators need not wait."
        ),
        widget=forms.NumberInput(attrs={"min": 0, "step": "any"}),
    )
    own_limits = forms.CharField(
        label=_("Own limits"),
        required=False,
        max_length=200,
        help_text=_(
            "Rates that are other than everywhere, of send and typing: "
            "send=5/s, typing=off. Empty: as everywhere."
        ),
        widget=forms.TextInput(attrs={"size": 40}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show the limits in their fields and the other settings beside them."""
        super().__init__(*args, **kwargs)
        settings = self.instance.settings
        limits = RoomLimits.of(settings)
        self.initial["slow_mode"] = limits.slow_mode_seconds or None
        self.initial["own_limits"] = limits_to_text(limits.limits)
        if isinstance(settings, dict) and "settings" in self.fields:
            self.initial["settings"] = _without_limits(settings)

    def clean_slow_mode(self) -> float:
        """Check the seconds."""
        try:
            return checked_slow_mode(self.cleaned_data["slow_mode"] or 0)
        except ValueError as exc:
            raise ValidationError(str(exc)) from exc

    def clean_own_limits(self) -> dict[str, str]:
        """Check the rates."""
        try:
            return limits_from_text(self.cleaned_data["own_limits"])
        except ValueError as exc:
            raise ValidationError(str(exc)) from exc

    def clean_settings(self) -> Any:
        """Check that limits are in their fields alone."""
        settings = self.cleaned_data["settings"]
        if not isinstance(settings, dict):
            raise ValidationError(_("Settings are an object: {}."))
        for key in _KEPT_APART:
            if key in settings:
                text = _("Leave %(key)s out: it has a field of its own.")
                raise ValidationError(text, params={"key": key})
        return settings

    def keep_limits(self, room: Room) -> None:
        """Put the limits that a saved room has now into what is about to be saved.

        In the transaction that is open; nobody else changes them until its end.
        """
        rows = Room.objects.using(router.db_for_write(Room)).select_for_update()
        now = rows.values_list("settings", flat=True).get(pk=room.pk)
        if isinstance(now, dict) and isinstance(room.settings, dict):
            kept = {key: now[key] for key in _KEPT_APART if key in now}
            room.settings = {**_without_limits(room.settings), **kept}

    def save_limits(self, room: Room) -> None:
        """Set what has changed, by the actions that tell it."""
        now = RoomLimits.of(room.settings)
        seconds = self.cleaned_data.get("slow_mode", now.slow_mode_seconds)
        limits = self.cleaned_data.get("own_limits", now.limits)
        if seconds != now.slow_mode_seconds:
            actions.set_slow_mode(room, seconds)
        if limits != now.limits:
            actions.set_room_limits(room, limits)


def _without_limits(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in _KEPT_APART}
