"""The app with the chat page, and its check."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["WebConfig"]


class WebConfig(AppConfig):
    """Headgate's page; its templates and static files lie under `headgate_web`."""

    name = "headgate.web"
    label = "headgate_web"
    verbose_name = "Headgate page"

    def ready(self) -> None:
        """Register the check of the page's URLs."""
        from headgate.web import checks  # noqa: F401 - registers it
