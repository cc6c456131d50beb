"""The limiter of this process: the chat's, and that of a project's own code.

Made at its first use from the settings, `HEADGATE = {"REDIS": …}`, or without Django
from the environment, `HEADGATE_REDIS=…`. Importing this module imports no Django.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.limits.limiter import Limiter
from headgate.limits.memory import MemoryStore
from headgate.limits.open_store import OpenStore
from headgate.limits.store import Store

__all__ = ["LimitSettings", "limiter", "settings_in_force", "use_limiter"]

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
    """

    redis: str | None = None
    processes: int = 1
    throttling_enabled: bool = True
    trusted_proxies: int = 0


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
    )


def limiter() -> Limiter:
    """Return the limiter of this process."""
    found = _Shared.limiter
    if found is not None:
        return found
    with _Shared.lock:
        if _Shared.limiter is None:
            _Shared.limiter = Limiter(_store(settings_in_force()))
        return _Shared.limiter


def use_limiter(given: Limiter | None) -> None:
    """Have `limiter()` return this one, or with None one made from the settings."""
    with _Shared.lock:
        _Shared.limiter = given


class _Shared:
    lock = threading.Lock()
    limiter: Limiter | None = None
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
    try:
        from django.conf import settings
        from django.core.signals import setting_changed
    except ModuleNotFoundError:
        return None
    if not settings.configured and "DJANGO_SETTINGS_MODULE" not in os.environ:
        return None
    if not _Shared.follows_settings:
        _Shared.follows_settings = True
        setting_changed.connect(_forget, dispatch_uid="headgate.shared_limiter")
    given = getattr(settings, "HEADGATE", {})
    return given if isinstance(given, Mapping) else {}


def _forget(*, setting: str, **_: Any) -> None:
    """Follow `override_settings` in tests."""
    if setting == "HEADGATE":
        use_limiter(None)


def _of_environment(environment: Mapping[str, str]) -> LimitSettings:
    enabled = environment.get("HEADGATE_THROTTLING_ENABLED", "").strip().lower()
    return LimitSettings(
        redis=environment.get("HEADGATE_REDIS") or None,
        processes=int(environment.get("HEADGATE_PROCESSES") or 1),
        throttling_enabled=not enabled or enabled in _ON,
        trusted_proxies=int(environment.get("HEADGATE_TRUSTED_PROXIES") or 0),
    )
