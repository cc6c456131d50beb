"""The admin's form of a destination: what it may say, checked as it is everywhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from headgate.outbound.destination_rules import (
    LOG_EVENTS,
    RANGES,
    rate_mistake,
    rooms_mistake,
    url_mistake,
)
from headgate.outbound.models import Destination
from headgate.outbound.notices import NOTICES

if TYPE_CHECKING:
    _Form = forms.ModelForm[Destination]
else:  # Django's own class takes no type arguments
    _Form = forms.ModelForm

__all__ = ["DestinationForm"]


class DestinationForm(_Form):
    """A webhook, or what of a handler an administrator decides."""

    events = forms.MultipleChoiceField(
        label=_("Events"),
        choices=[
            (_("in rooms"), [(name, name) for name in LOG_EVENTS]),
            (_("of the server and its services"), [(name, name) for name in NOTICES]),
        ],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "radiolist"}),
        initial=["message"],
    )
    rooms = forms.CharField(
        label=_("Rooms"),
        required=False,
        widget=forms.TextInput(attrs={"size": 60}),
        initial="*",
        help_text=_(
            "Names of rooms, with spaces between them; * stands for any letters: "
            "general order-*. Empty: events of no room, only those of the server."
        ),
    )

    class Meta:
        widgets = {  # noqa: RUF012 - Django's idiom
            "url": forms.TextInput(attrs={"size": 80})
        }
        help_texts = {  # noqa: RUF012 - Django's idiom
            "url": _("https://… Each call is signed, as in Standard Webhooks."),
            "rate": _(
                "How often it may be called, such as 10/s, or 60/min:20 with a burst "
                "of 20. Empty: as fast as it answers."
            ),
            "concurrency": _("How many calls of it may be on their way at once."),
            "batch_size": _("How many events may go as one call; 1: each by itself."),
            "batch_wait_seconds": _("How long the first event of a call may wait."),
            "cost_budget": _(
                "What all calls together may cost, such as 50000/d, in the units that "
                "the calls report. Empty: anything."
            ),
            "useful_seconds": _("After how long a delivery is late. Empty: never."),
            "late": _("What becomes of a delivery that is late."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Show rooms as a line, and have the numbers' ranges checked."""
        super().__init__(*args, **kwargs)
        if "rooms" in self.fields and not self.instance._state.adding:  # noqa: SLF001 - Django's documented name
            self.initial["rooms"] = " ".join(self.instance.rooms)
        for name, (least, most) in RANGES.items():
            if name in self.fields:
                self.fields[name].validators += [
                    MinValueValidator(least),
                    MaxValueValidator(most),
                ]

    def clean_url(self) -> str:
        """Check that the URL may be called."""
        url = str(self.cleaned_data["url"]).strip()
        if not url:
            raise ValidationError(_("A webhook has a URL."))
        _refuse(url_mistake(url))
        return url

    def clean_rooms(self) -> list[str]:
        """Check the patterns."""
        patterns = [p for p in re.split(r"[,;\s]+", self.cleaned_data["rooms"]) if p]
        _refuse(rooms_mistake(patterns))
        return patterns

    def clean_rate(self) -> str:
        """Check the rate."""
        return self._rate("rate")

    def clean_cost_budget(self) -> str:
        """Check the budget, which is a rate too."""
        return self._rate("cost_budget")

    def _rate(self, name: str) -> str:
        text = str(self.cleaned_data[name]).strip()
        if text == "off":  # as limits are switched off elsewhere
            return ""
        _refuse(rate_mistake(text))
        return text


def _refuse(mistake: str | None) -> None:
    if mistake is not None:
        raise ValidationError(mistake)
