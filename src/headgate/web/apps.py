"""The app with the chat page."""

from __future__ import annotations

from django.apps import AppConfig

__all__ = ["WebConfig"]


class WebConfig(AppConfig):
    """Headgate's page; its templates and static files lie under `headgate_web`."""

    name = "headgate.web"
    label = "headgate_web"
    verbose_name = "Headgate page"
