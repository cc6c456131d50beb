"""The app's place in Django: its label, its checks, its SQLite settings."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules

__all__ = ["ChatConfig"]


class ChatConfig(AppConfig):
    """Headgate's chat; the label keeps clear of a project's own `chat`."""

    name = "headgate.chat"
    label = "headgate_chat"
    verbose_name = "Headgate chat"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register checks, signals and what SQLite must be told."""
        from headgate.chat import checks, limit_checks, path_checks  # noqa: F401
        from headgate.chat.access import follow_accounts

        follow_accounts()
        autodiscover_modules("headgate_hooks")  # where projects have their handlers
        connection_created.connect(_overwrite_deleted_text)
        post_migrate.connect(_use_write_ahead_log, sender=self)


def _overwrite_deleted_text(connection: Any, **_: Any) -> None:
    """Make SQLite overwrite what is deleted, on each connection."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA secure_delete = ON")


def _use_write_ahead_log(using: str, **_: Any) -> None:
    """Set SQLite's journal mode once, after migrating; it stays in the file.

    Setting it on each connection can itself fail with "database is locked".
    """
    from django.db import connections

    connection = connections[using]
    if connection.vendor == "sqlite" and not connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = WAL")
