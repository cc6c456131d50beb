"""The project's settings: one dict, `HEADGATE`, as one typed object.

Every key, its type, its default and what it does stand here, once. `conf()` reads
`settings.HEADGATE` and is read again when a test overrides it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

__all__ = ["Conf", "conf", "mistakes"]

_LONGEST_SECONDS = 10 * 365 * 86_400.0


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
    # remembered. None: in REDIS, or where that is None each process remembers its own.
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
    # Whether anything is limited.
    THROTTLING_ENABLED: bool = True
    # Policies that are other than by default: {"send": "30/min:5", "typing": "off"}.
    LIMITS: dict[str, str] | None = None
    # Names of policies that count and report what they would refuse, and let it pass.
    DRY_RUN: list[str] | None = None
    # What all HTTP requests of one person to the project may, where
    # `headgate.contrib.django.ThrottleMiddleware` is in MIDDLEWARE; None: as they like.
    HTTP_RATE: str | None = None
    # The URL of a Redis or Valkey in which all processes count, and by which they tell
    # each other what happens. None: each counts by itself.
    REDIS: str | None = None
    # How many processes serve: each one's share of a limit while Redis is away.
    PROCESSES: int = 1
    # Whether `headgate serve` shows what it measures at /metrics, for Prometheus.
    METRICS: bool = False
    # How many proxies of one's own stand before the server, each of which adds the
    # address that it saw to X-Forwarded-For.
    TRUSTED_PROXIES: int = 0
    # Refusals of one connection in 10 s, past which it is not read for a while; for
    # how long; and refusals past which it is closed.
    REFUSALS_BEFORE_PAUSE: int = 20
    PAUSE_SECONDS: float = 10.0
    REFUSALS_BEFORE_CLOSE: int = 300
    # Rooms with more members, or more who watch, do not tell who is typing.
    TYPING_MAX_MEMBERS: int = 100
    # Rooms with more people in them do not tell who is there; 0: no room does.
    PRESENCE_MAX_PEOPLE: int = 100
    # Networks at which external services may be called although they are private,
    # such as "10.1.0.0/16". None: no service in a private network is called.
    OUTBOUND_NETWORKS: list[str] | None = None
    # The ports at which services may be called. None: 443, 8443, and any in
    # OUTBOUND_NETWORKS.
    OUTBOUND_PORTS: list[str] | None = None
    # How long what was delivered is kept to be looked at; what was given up is kept
    # ten times as long.
    OUTBOUND_KEEP_SECONDS: float = 3 * 86_400.0
    # After how long somebody who is not there is told what they have not read, by
    # `@headgate.absent`.
    ABSENT_AFTER_SECONDS: float = 30.0


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
        elif not _fits(value, str(defaults[key].type), key):
            kind = defaults[key].type
            what = f"HEADGATE[{key!r}] is {value!r}, which is no {kind}."
            found.append((what, f"The default is {defaults[key].default!r}."))
    return found


# What may be 0: there need be no proxy, and nobody need be told who is there.
_FROM_ZERO = frozenset({"TRUSTED_PROXIES", "PRESENCE_MAX_PEOPLE"})


def _fits(value: Any, kind: str, key: str) -> bool:
    """Return whether a value has the type that `Conf` names for it."""
    optional = kind.removesuffix(" | None")
    if value is None:
        return optional != kind
    least = 0 if key in _FROM_ZERO else 1
    checks: dict[str, Callable[[], bool]] = {
        "bool": lambda: isinstance(value, bool),
        "int": lambda: type(value) is int and value >= least,
        "float": lambda: type(value) in {int, float} and 0 < value < _LONGEST_SECONDS,
        "str": lambda: isinstance(value, str),
        "dict[str, str]": lambda: isinstance(value, dict) and _are_texts(value),
        "list[str]": lambda: isinstance(value, list | tuple) and _are_texts(value),
    }
    return checks[optional]()


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(each, str) for each in values)


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "HEADGATE":
        _conf.cache_clear()


setting_changed.connect(_forget)
