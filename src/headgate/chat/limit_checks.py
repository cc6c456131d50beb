"""System checks of what the settings say about limits: `headgate.E004` and others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, Tags, register

from headgate.chat.conf import Conf, conf, mistakes
from headgate.chat.policies import (
    CAPS,
    ELSEWHERE,
    OFF,
    STANDARD,
    PolicySet,
    policy_mistake,
)
from headgate.limits.policy import Policy

__all__ = [
    "LimitMistake",
    "check_limits",
    "check_raised_limits",
    "check_shared",
    "check_throttling",
    "limit_mistakes",
]

_SCHEMES = frozenset({"redis", "rediss", "unix"})
# What else counts the same, and more than that.
_WIDER = {
    "send": ("send.all", "command"),
    "send.all": ("command",),
    "typing": ("command",),
    "history": ("command",),
}


class LimitMistake(NamedTuple):
    """What is wrong, what to do, and the check's id."""

    what: str
    hint: str
    check_id: str


@register()
def check_limits(**_: Any) -> list[CheckMessage]:
    """Check names, rates and numbers of limits."""
    if mistakes(getattr(settings, "HEADGATE", {})):
        return []  # headgate.E001 says what to mend first
    return [
        Error(each.what, hint=each.hint, id=each.check_id)
        for each in limit_mistakes(conf())
    ]


def limit_mistakes(given: Conf) -> list[LimitMistake]:
    """Return what is wrong with the limits that are set."""
    return [
        *_policies(given.LIMITS or {}),
        *_dry_runs(given.DRY_RUN or ()),
        *_ladder(given),
        *_http_rate(given.HTTP_RATE),
        *_redis(given.REDIS),
    ]


def _policies(limits: Mapping[str, Any]) -> Iterator[LimitMistake]:
    hint = 'Write HEADGATE = {"LIMITS": {"send": "30/min:5", "typing": "off"}}.'
    for name, rate in limits.items():
        mistake = policy_mistake(name, rate)
        if mistake is not None:
            yield LimitMistake(f"LIMITS: {mistake}", hint, "headgate.E004")


def _dry_runs(names: Any) -> Iterator[LimitMistake]:
    hint = f"Policies with a rate are {', '.join(STANDARD)}."
    for name in names:
        if name in CAPS:
            what = f"DRY_RUN: {name} is no rate, and cannot be tried out."
        elif name in ELSEWHERE:
            what = f"DRY_RUN: {name}: {ELSEWHERE[name]}."
        elif name not in STANDARD:
            what = f"DRY_RUN: there is no policy {name!r}."
        else:
            continue
        yield LimitMistake(what, hint, "headgate.E004")


def _ladder(given: Conf) -> Iterator[LimitMistake]:
    if given.REFUSALS_BEFORE_CLOSE <= given.REFUSALS_BEFORE_PAUSE:
        yield LimitMistake(
            f"REFUSALS_BEFORE_CLOSE is {given.REFUSALS_BEFORE_CLOSE}, which is not "
            f"more than REFUSALS_BEFORE_PAUSE, {given.REFUSALS_BEFORE_PAUSE}: nobody "
            "would be paused before they are closed.",
            "Choose a larger number; the defaults are 300 and 20.",
            "headgate.E005",
        )


def _http_rate(rate: str | None) -> Iterator[LimitMistake]:
    if rate is None or rate == OFF:
        return
    try:
        Policy("http", rate)
    except ValueError as exc:
        yield LimitMistake(f"HTTP_RATE: {exc}", "Such as 600/min.", "headgate.E006")


def _redis(url: str | None) -> Iterator[LimitMistake]:
    if url is None:
        return
    hint = "Write redis://host:6379/0, rediss://… with TLS, or unix:///path/to/socket."
    if urlsplit(url).scheme not in _SCHEMES:
        # Not the URL itself: there may be a password in it.
        yield LimitMistake("REDIS is no URL of a Redis.", hint, "headgate.E007")
        return
    # Who has redis for something else, such as Celery, may be without hiredis; nothing
    # imports that before the first request does.
    missing = [name for name in ("redis", "hiredis") if find_spec(name) is None]
    if missing:
        yield LimitMistake(
            f"REDIS is set, which needs what is not installed: {', '.join(missing)}.",
            "pip install 'headgate[redis]'",
            "headgate.E007",
        )


@register()
def check_raised_limits(**_: Any) -> list[CheckMessage]:
    """Check that a limit that was raised is not held down by a wider one.

    Only of what the project sets: a wider limit that it lowers is meant to rule.
    """
    if mistakes(getattr(settings, "HEADGATE", {})):
        return []
    given = conf()
    if not given.THROTTLING_ENABLED or limit_mistakes(given):
        return []
    found: list[CheckMessage] = []
    in_force = PolicySet(given)
    for name in sorted(_WIDER.keys() & (given.LIMITS or {}).keys()):
        policy = in_force.policy(name)
        if policy is None:
            continue
        wider = [in_force.policy(each) for each in _WIDER[name]]
        lower = [
            each
            for each in wider
            if each is not None
            and not each.dry_run
            and each.interval_us > policy.interval_us
        ]
        if lower:
            told = " and ".join(f"{each.name} {_per_second(each)}" for each in lower)
            names = " and ".join(each.name for each in lower)
            found.append(
                checks.Warning(
                    f"{name} allows {_per_second(policy)}, but {told}, which counts "
                    "the same, so that much is refused all the same.",
                    hint=f"Raise {names} in LIMITS as well, such as to {policy.rate}; "
                    "command should allow more, as it counts all that a client does.",
                    id="headgate.W010",
                ),
            )
    return found


def _per_second(policy: Policy) -> str:
    return f"{policy.per_second:.3g}/s"


@register()
def check_shared(**_: Any) -> list[CheckMessage]:
    """Check that several processes count limits in one place."""
    if mistakes(getattr(settings, "HEADGATE", {})):
        return []
    given = conf()
    told = os.environ.get("WEB_CONCURRENCY", "")  # gunicorn's and uvicorn's
    processes = max(given.PROCESSES, int(told) if told.isdecimal() else 1)
    found: list[CheckMessage] = []
    if given.REDIS is None and given.THROTTLING_ENABLED and processes > 1:
        found.append(
            checks.Warning(
                f"{processes} processes serve, and each counts limits by itself: "
                f"somebody may do up to {processes} times as much as is set.",
                hint='Set HEADGATE = {"REDIS": "redis://…"}, which all of them share.',
                id="headgate.W005",
            ),
        )
    return found


@register(Tags.security, deploy=True)
def check_throttling(**_: Any) -> list[CheckMessage]:
    """Check before a deployment that anything is limited at all."""
    if mistakes(getattr(settings, "HEADGATE", {})) or conf().THROTTLING_ENABLED:
        return []
    return [
        checks.Warning(
            "Nothing is limited: THROTTLING_ENABLED is False.",
            hint="Take it out of HEADGATE before strangers come.",
            id="headgate.W006",
        ),
    ]
