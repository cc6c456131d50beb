"""The app's place in Django: its label, what it adds to a commit, its bots."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules

from headgate.chat.owing import owes

__all__ = ["OutboundConfig"]


class OutboundConfig(AppConfig):
    """What a chat tells external services."""

    name = "headgate.outbound"
    label = "headgate_outbound"
    verbose_name = "Headgate services"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have each commit owe what it tells, and find the project's bots."""
        from headgate.outbound import checks  # noqa: F401 - registers them
        from headgate.outbound.bot_tokens import follow_bots
        from headgate.outbound.owing import owe_events
        from headgate.outbound.registry import follow

        owes(owe_events)
        follow()
        follow_bots()
        autodiscover_modules("bots")  # where projects have theirs
