"""The project's settings: one dict, `HEADGATE`, as one typed object.

Every key, its type, its default and what it does stand here, once. `conf()` reads
`settings.HEADGATE` and is read again when a test overrides it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

__all__ = ["Conf", "conf", "mistakes"]


@dataclass(frozen=True, kw_only=True)
class Conf:
    """What a project may set; names are the keys of `HEADGATE`."""

    # Whether people without an account may watch and write in public rooms.
    GUESTS: bool = False
    # Whether joining an unknown public room makes it.
    MAKE_ROOMS: bool = False
    # How many rooms may come to be that way, so that nobody fills the database.
    MAX_MADE_ROOMS: int = 10_000
    # Origins whose pages may open a WebSocket, exactly, such as "https://a.example".
    # None: the own host and CSRF_TRUSTED_ORIGINS.
    ALLOWED_ORIGINS: list[str] | None = None
    # Dotted paths of what else may say who somebody is, asked before the cookie:
    # functions (request or scope) -> user or None, or Django REST framework's classes.
    AUTHENTICATORS: list[str] | None = None
    # The name in CACHES of a cache that all processes share, where used tickets are
    # remembered. None: each process remembers its own.
    TICKET_CACHE: str | None = None
    # Dotted path of a function (ids) -> {id: headgate.Profile}, which says how people
    # are shown. None: by their full name.
    PROFILES: str | None = None
    # Dotted path of a function (draft) -> draft or headgate.Reject, which looks at what
    # people write before it is saved.
    BEFORE_SEND: str | None = None
    # Dotted path of the class that says who may do what.
    PERMISSIONS: str = "headgate.chat.permissions.Permissions"
    # How many events somebody may be behind and still be caught up; past it, `reset`.
    RESUME_LIMIT: int = 10_000
    # What may wait for the database, per process; past it, `overloaded`.
    JOURNAL_MAX_WAITING: int = 10_000
    JOURNAL_MAX_WAITING_BYTES: int = 16 * 1024 * 1024
    # What may wait for one connection, in bytes; past it, it is fed from the log.
    OUTBOX_MAX_BYTES: int = 64 * 1024


def conf() -> Conf:
    """Return the settings in force."""
    return _conf()


@lru_cache(maxsize=1)
def _conf() -> Conf:
    given = getattr(settings, "HEADGATE", {})
    known = {field.name for field in fields(Conf)}
    return Conf(**{key: value for key, value in given.items() if key in known})


def mistakes(given: Any) -> list[tuple[str, str]]:
    """Return (what is wrong, what to do) for each mistake in `HEADGATE`."""
    if not isinstance(given, dict):
        return [("HEADGATE is not a dict.", "Write HEADGATE = {…}.")]
    found = []
    defaults = {field.name: field for field in fields(Conf)}
    for key, value in given.items():
        if key not in defaults:
            known = ", ".join(sorted(defaults))
            found.append((f"HEADGATE has no key {key!r}.", f"Known keys: {known}."))
        elif not _fits(value, str(defaults[key].type)):
            kind = defaults[key].type
            what = f"HEADGATE[{key!r}] is {value!r}, which is no {kind}."
            found.append((what, f"The default is {defaults[key].default!r}."))
    return found


def _fits(value: Any, kind: str) -> bool:
    """Return whether a value has the type that `Conf` names for it."""
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    if kind == "str":
        return isinstance(value, str)
    if kind == "str | None":
        return value is None or isinstance(value, str)
    return value is None or (
        isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
    )


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "HEADGATE":
        _conf.cache_clear()


setting_changed.connect(_forget)
