"""The limiter of this process: the chat's, and that of a project's own code.

Made at its first use from the settings, `HEADGATE = {"REDIS": …}`, or without Django
from the environment, `HEADGATE_REDIS=…`. Importing this module imports no Django.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from headgate.limits.limiter import Limiter
from headgate.limits.memory import MemoryStore
from headgate.limits.open_store import OpenStore
from headgate.limits.publisher import Publisher
from headgate.limits.report_files import ReportFiles, reports_folder
from headgate.limits.reports import Reports
from headgate.limits.store import Store

__all__ = [
    "LimitSettings",
    "limiter",
    "limiter_so_far",
    "reports",
    "settings_in_force",
    "use_limiter",
]

_ON = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What is set about limits as such; the keys of `HEADGATE` in lower case.

    Attributes:
        redis: The URL of a Redis or Valkey that all processes share, or None.
        processes: How many processes serve; each one's share of a limit while Redis
            is away.
        throttling_enabled: Whether anything is limited.
        trusted_proxies: How many proxies of one's own stand before the server.
        http_rate: What all requests of one person to a project may, or None.
    """

    redis: str | None = None
    processes: int = 1
    throttling_enabled: bool = True
    trusted_proxies: int = 0
    http_rate: str | None = None


def settings_in_force() -> LimitSettings:
    """Return what is set: by Django's settings where there are any."""
    given = _of_django()
    if given is None:
        return _of_environment(os.environ)
    return LimitSettings(
        redis=given.get("REDIS"),
        processes=given.get("PROCESSES", 1),
        throttling_enabled=given.get("THROTTLING_ENABLED", True),
        trusted_proxies=given.get("TRUSTED_PROXIES", 0),
        http_rate=given.get("HTTP_RATE"),
    )


def limiter() -> Limiter:
    """Return the limiter of this process."""
    found = _Shared.given or _Shared.made
    if found is not None:
        return found
    with _Shared.lock:
        if _Shared.made is None:
            settings = settings_in_force()
            made = Limiter(_store(settings))
            _Shared.publisher = Publisher(made, reports(settings))
            _Shared.made = made
        return _Shared.made


def limiter_so_far() -> Limiter | None:
    """Return the limiter of this process if anybody has used it."""
    return _Shared.given or _Shared.made


def reports(settings: LimitSettings) -> Reports:
    """Return where processes with these settings report whom they refuse."""
    if settings.redis is None:
        return ReportFiles(reports_folder(_project()))
    from headgate.limits.redis_reports import RedisReports

    return RedisReports(settings.redis)


def use_limiter(given: Limiter | None) -> None:
    """Have `limiter()` return this one, whatever the settings say.

    With None, the one that is made from the settings, anew.
    """
    with _Shared.lock:
        _Shared.given = given
        _drop_made()


class _Shared:
    lock = threading.Lock()
    given: Limiter | None = None  # by `use_limiter`
    made: Limiter | None = None  # from the settings
    publisher: Publisher | None = None  # of `made`
    follows_settings = False


def _store(settings: LimitSettings) -> Store:
    if not settings.throttling_enabled:
        return OpenStore()
    if settings.redis is None:
        return MemoryStore()
    from headgate.limits.redis import RedisStore

    return RedisStore(settings.redis, processes=settings.processes)


def _of_django() -> Mapping[str, Any] | None:
    """Return `HEADGATE` of Django's settings, or None where Django is not set up."""
    if not _has_django():
        return None
    from django.conf import settings
    from django.core.signals import setting_changed

    if not settings.configured and "DJANGO_SETTINGS_MODULE" not in os.environ:
        return None
    if not _Shared.follows_settings:
        _Shared.follows_settings = True
        setting_changed.connect(_forget, dispatch_uid="headgate.shared_limiter")
    given = getattr(settings, "HEADGATE", {})
    return given if isinstance(given, Mapping) else {}


@lru_cache(maxsize=1)  # an import that fails looks everywhere each time
def _has_django() -> bool:
    return find_spec("django") is not None


def _forget(*, setting: str, **_: Any) -> None:
    """Follow `override_settings` in tests."""
    if setting == "HEADGATE":
        _drop_made()


def _drop_made() -> None:
    if _Shared.publisher is not None:
        _Shared.publisher.close()
    _Shared.made = _Shared.publisher = None


def _project() -> str:
    """Return what tells this Django project from others of the same user."""
    if _of_django() is None:
        return ""
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    try:
        key = str(settings.SECRET_KEY)
    except ImproperlyConfigured:  # it has none, and may not need one
        return ""
    return hashlib.sha256(f"headgate.reports:{key}".encode()).hexdigest()[:12]


def _of_environment(environment: Mapping[str, str]) -> LimitSettings:
    enabled = environment.get("HEADGATE_THROTTLING_ENABLED", "").strip().lower()
    return LimitSettings(
        redis=environment.get("HEADGATE_REDIS") or None,
        processes=int(environment.get("HEADGATE_PROCESSES") or 1),
        throttling_enabled=not enabled or enabled in _ON,
        trusted_proxies=int(environment.get("HEADGATE_TRUSTED_PROXIES") or 0),
    )
