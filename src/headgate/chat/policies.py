"""The chat's policies: what is limited, by default and as a project sets it.

One table, from which the settings, the command line, the system checks and the
reference are made. A room may have its own rate of some of them, and a person of all;
who has both is held to their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from headgate.chat.conf import Conf, conf
from headgate.limits.policy import Past, Policy
from headgate.limits.rates import Rate

__all__ = [
    "CAPS",
    "ELSEWHERE",
    "MAX_SLOW_MODE_SECONDS",
    "OFF",
    "OF_ROOMS",
    "STANDARD",
    "PolicySet",
    "Standard",
    "policies",
    "policy_mistake",
    "slow_mode",
]

OFF = "off"
MAX_SLOW_MODE_SECONDS = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Standard:
    """A policy as it is where nothing else is set; `rate` None is off."""

    rate: str | None
    key: str
    past: Past
    what: str


STANDARD: dict[str, Standard] = {
    "connect": Standard(
        "20/min", "user", "close", "connections, and tickets for them, of one person"
    ),
    "connect.address": Standard(
        "600/min", "address", "close", "connections from one address"
    ),
    "command": Standard(
        "120/min:60", "connection", "reject", "commands; ping and leave are free"
    ),
    "append": Standard(
        "20/s:40", "connection", "reject", "additions to messages that grow"
    ),
    "send": Standard("1/s:10", "user and room", "reject", "messages and edits"),
    "send.all": Standard(
        "60/min:20", "user", "reject", "messages and edits in all rooms together"
    ),
    "slow_mode": Standard(
        None, "user and room", "reject", "messages, in rooms that are in slow mode"
    ),
    "typing": Standard("1/3s", "user and room", "drop", "signals of typing"),
    "history": Standard("60/min", "user", "reject", "pages of history"),
    "push": Standard(
        None,
        "connection and room",
        "delay",
        "events that go out; what is left out of them is told as a gap",
    ),
}

# How many connections may be open at once; no rate.
CAPS: dict[str, int] = {"connect.open": 10, "connect.address.open": 500}

# What is limited somewhere else, and where.
ELSEWHERE: dict[str, str] = {
    "external": "each external service has a rate of its own, at its destination",
}

# What a room may have its own rate of.
OF_ROOMS = ("send", "typing", "push")


class PolicySet:
    """The policies in force, by what a project has set.

    Attributes:
        open_caps: How many connections may be open; None where that is off.
    """

    def __init__(self, settings: Conf) -> None:
        given: Mapping[str, Any] = settings.LIMITS or {}
        self._rates = {
            name: str(given.get(name, standard.rate or OFF))
            for name, standard in STANDARD.items()
        }
        self._dry_runs = frozenset(settings.DRY_RUN or ())
        self.open_caps: dict[str, int | None] = {
            name: _cap(given.get(name, cap)) for name, cap in CAPS.items()
        }

    def policy(self, name: str, *narrower: Mapping[str, str]) -> Policy | None:
        """Return the policy of a name, or None where it is off.

        `narrower` are the rates of a person and of a room, by names of policies; the
        first that has one rules.
        """
        rate = self._rates[name]
        for rates in narrower:
            if name in rates:
                rate = rates[name]
                break
        if rate == OFF:
            return None
        return _policy(name, rate, name in self._dry_runs)

    def slow_mode(self, seconds: float) -> Policy | None:
        """Return the policy of a room's slow mode; 0 leaves it to the settings."""
        if not seconds:
            return self.policy("slow_mode")
        return slow_mode(seconds, dry_run="slow_mode" in self._dry_runs)


_in_force: tuple[Conf, PolicySet] | None = None


def policies() -> PolicySet:
    """Return the policies in force; those of `override_settings` at once."""
    global _in_force  # noqa: PLW0603 - kept for as long as the settings are
    settings = conf()
    if _in_force is None or _in_force[0] is not settings:
        _in_force = settings, PolicySet(settings)
    return _in_force[1]


@lru_cache(maxsize=4096)
def _policy(name: str, rate: str, dry_run: bool) -> Policy:  # noqa: FBT001 - a key
    standard = STANDARD[name]
    return Policy(name, rate, key=standard.key, past=standard.past, dry_run=dry_run)


@lru_cache(maxsize=1024)
def slow_mode(seconds: float, *, dry_run: bool = False) -> Policy:
    """Return the policy of one message in so many seconds."""
    return Policy(
        "slow_mode",
        Rate(1, seconds, 1),
        key=STANDARD["slow_mode"].key,
        dry_run=dry_run,
    )


def policy_mistake(
    name: str, rate: Any, among: Iterable[str] = (*STANDARD, *CAPS)
) -> str | None:
    """Return what is wrong with a policy's name or rate, or None."""
    names = tuple(among)
    if name in ELSEWHERE:
        return f"{name}: {ELSEWHERE[name]}."
    if name not in names:
        return f"There is no policy {name!r} here. There are {', '.join(names)}."
    try:
        if name in CAPS:
            _cap(rate)
        elif rate != OFF:
            _policy(name, rate if isinstance(rate, str) else repr(rate), dry_run=False)
    except ValueError as exc:
        return f"{name}: {exc}"
    return None


def _cap(value: Any) -> int | None:
    """Return a number of open connections; raises `ValueError`."""
    if value == OFF:
        return None
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if type(value) is not int or value <= 0:
        raise ValueError(
            f"{value!r} is no number of connections. Write how many may be open at "
            "once, such as 10, or off.",
        )
    return value
