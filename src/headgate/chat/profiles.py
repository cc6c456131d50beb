"""How the project shows its people: `HEADGATE["PROFILES"]`.

A name and an avatar for each, asked for in batches and kept for a minute. The log
keeps the name with which somebody wrote; an avatar is of the person, not of the
message, so it is looked up whenever events are read or told.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.core.signals import setting_changed
from django.db import DatabaseError, connections

from headgate.chat.conf import conf
from headgate.chat.project_functions import ProjectFunction, named_function
from headgate.protocol.pushes import Author, LogEvent, Membership

__all__ = [
    "Profile",
    "add_avatars",
    "add_known_avatars",
    "has_profiles",
    "outdate",
    "profiles_of",
]

logger = logging.getLogger("headgate.profiles")

KEPT = 10_000  # people, then those go who were not asked for the longest
KEPT_SECONDS = 60.0
BATCH = 500  # people in one call of the project's function
RETRY_SECONDS = 5.0  # without a call, after one that failed
MAX_AVATAR_URL = 2000  # characters

_USER = "u:"  # what the keys of users begin with


@dataclass(frozen=True, slots=True)
class Profile:
    """How somebody is shown.

    `avatar_url` goes to clients as it is: at most 2,000 characters.
    """

    name: str
    avatar_url: str | None = None


def has_profiles() -> bool:
    """Return whether the project says how people are shown."""
    return conf().PROFILES is not None


def profiles_of(keys: Iterable[str]) -> dict[str, Profile]:
    """Return the profiles of those authors, by their keys, who have one.

    Not on an event loop: it may call the project's function, which may use the ORM.
    Where that fails, what was known before is returned.
    """
    wanted = {key for key in keys if key.startswith(_USER)}
    if not has_profiles() or not wanted:
        return {}
    _off_the_loop()
    if _in_transaction():
        # What is read here may be rolled back, and was not committed for others.
        return _ask(wanted) or {}
    asked = _cache.missing(wanted)
    if asked and not _failing.recently():
        found = _ask(asked)
        if found is not None:
            _cache.keep({key: found.get(key) for key in asked})
    return _cache.known(wanted)


def outdate(key: str) -> None:
    """Have an author's profile asked for again; an empty key is everybody's."""
    _cache.outdate(key)


def add_avatars(events: Sequence[LogEvent]) -> None:
    """Give events the avatars of the people in them, as these are now.

    Not on an event loop, as `profiles_of`.
    """
    if has_profiles():
        _dress(events, profiles_of(_people_in(events)))


def add_known_avatars(events: Sequence[LogEvent]) -> None:
    """Give events the avatars that are known in this process; asks nobody.

    Those who write over a connection are known: they were asked for when it was
    opened, and again each minute.
    """
    if has_profiles():
        _dress(events, _cache.known(_people_in(events)))


def _people_in(events: Sequence[LogEvent]) -> set[str]:
    people = {event.author.id for event in events}
    return people | {e.member.id for e in events if isinstance(e, Membership)}


def _dress(events: Sequence[LogEvent], profiles: Mapping[str, Profile]) -> None:
    for event in events:
        event.author = _dressed(event.author, profiles)
        if isinstance(event, Membership):
            event.member = _dressed(event.member, profiles)


def _dressed(author: Author, profiles: Mapping[str, Profile]) -> Author:
    profile = profiles.get(author.id)
    if profile is None or profile.avatar_url is None:
        return author
    return msgspec.structs.replace(author, avatar_url=profile.avatar_url)


class _Cache:
    """What is known of people, and since when; None for who has no profile."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[Profile | None, float]] = OrderedDict()

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return who is not known, or not for sure any more."""
        oldest = time.monotonic() - KEPT_SECONDS
        with self._lock:
            kept = self._kept
            return [key for key in keys if key not in kept or kept[key][1] < oldest]

    def keep(self, found: Mapping[str, Profile | None]) -> None:
        """Remember people, and forget those who are too many."""
        now = time.monotonic()
        with self._lock:
            for key, profile in found.items():
                self._kept[key] = profile, now
                self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def known(self, keys: Iterable[str]) -> dict[str, Profile]:
        """Return the profiles that are known, however old."""
        found: dict[str, Profile] = {}
        with self._lock:
            for key in keys:
                profile, _ = self._kept.get(key, (None, 0.0))
                if profile is not None:
                    found[key] = profile
                    self._kept.move_to_end(key)
        return found

    def outdate(self, key: str) -> None:
        """Make what is known of somebody, or of everybody, too old."""
        with self._lock:
            for each in [key] if key else list(self._kept):
                if each in self._kept:
                    self._kept[each] = self._kept[each][0], float("-inf")

    def clear(self) -> None:
        """Forget everybody."""
        with self._lock:
            self._kept.clear()


class _Failing:
    """Whether the project's function fails, which is logged when it changes."""

    def __init__(self) -> None:
        self._since: float | None = None

    def recently(self) -> bool:
        """Return whether it failed a moment ago, so that nobody waits for it."""
        return (
            self._since is not None and time.monotonic() - self._since < RETRY_SECONDS
        )

    def failed(self, exc: Exception) -> None:
        """Note that it failed."""
        if self._since is None:
            logger.error("profiles_failed", exc_info=exc)
        self._since = time.monotonic()

    def worked(self) -> None:
        """Note that it did not."""
        if self._since is not None:
            logger.warning("profiles_back")
        self._since = None


_cache = _Cache()
_failing = _Failing()


def _ask(keys: Iterable[str]) -> dict[str, Profile] | None:
    """Return what the project says of people, or None where it fails."""
    waiting = iter(keys)
    found: dict[str, Profile] = {}
    try:
        ask = _asking(named_function(str(conf().PROFILES)))
        while some := list(islice(waiting, BATCH)):
            given = ask([key.removeprefix(_USER) for key in some])
            for pk, profile in given.items():
                if profile is not None:
                    found[f"{_USER}{pk}"] = _checked(pk, profile)
    except Exception as exc:
        if isinstance(exc, DatabaseError) and _in_transaction():
            raise  # the caller's transaction is broken, and they have to know
        _failing.failed(exc)
        return None
    _failing.worked()
    return found


def _checked(pk: Any, profile: Any) -> Profile:
    """Return a profile as it is shown. A long URL costs its owner the avatar alone."""
    if not isinstance(profile, Profile) or not isinstance(profile.name, str):
        raise TypeError(
            f"HEADGATE['PROFILES'] gave {type(profile).__name__} for {pk!r}, which is "
            "not a headgate.Profile with a name.",
        )
    avatar = profile.avatar_url
    if avatar is not None and not isinstance(avatar, str):
        raise TypeError(f"the avatar_url of {pk!r} is no str: {avatar!r}.")
    if avatar is not None and len(avatar) > MAX_AVATAR_URL:
        logger.warning("avatar_left_out user=%r characters=%d", pk, len(avatar))
        return Profile(profile.name)
    return profile


def _asking(function: ProjectFunction) -> Callable[[list[str]], Mapping[Any, Any]]:
    return async_to_sync(function.call) if function.is_async else function.call


def _in_transaction() -> bool:
    return any(
        connection.in_atomic_block
        for connection in connections.all(initialized_only=True)
    )


def _off_the_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise SynchronousOnlyOperation(
        "With HEADGATE['PROFILES'] this asks the project how somebody is shown, which "
        "may use the database: call it off the event loop, by sync_to_async.",
    )


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "HEADGATE":
        _cache.clear()
        _failing.worked()


setting_changed.connect(_forget)
