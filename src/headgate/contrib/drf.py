"""Throttling for Django REST framework: `HeadgateThrottle` instead of its own classes.

Exact, and the same with any number of processes that share a Redis. All throttles of
this kind that a view has are decided together, so what is refused counts nowhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from headgate.contrib.django_keys import request_key
from headgate.contrib.keys import user_key
from headgate.contrib.rules import GivenRate, name_for, name_from, policies_of
from headgate.contrib.shared import limiter
from headgate.limits.decision import Decision
from headgate.limits.policy import Charge, Policy
from headgate.limits.rates import Rate

__all__ = ["AnonThrottle", "HeadgateThrottle", "UserThrottle"]

_DECIDED = "_headgate_decided"
_GET = "get_throttles"  # which views of the framework have

_Place = tuple[str, str]  # a policy's name and a key


class HeadgateThrottle(BaseThrottle):  # type: ignore[misc] # it has no types
    """Limits a view by the rate of its scope, for each account or address.

    Attributes:
        rate: `10/min`, `60/min:20`, a `Rate` or a `Policy`; or None.
        scope: Which of `DEFAULT_THROTTLE_RATES` it is, where there is no `rate`. The
            view's `throttle_scope` if it is None; without either the view is not
            limited.
    """

    rate: ClassVar[GivenRate | None] = None
    scope: ClassVar[str | None] = None

    def __init__(self) -> None:
        self._decision: Decision | None = None

    def get_key(self, request: Any, view: Any) -> str | None:  # noqa: ARG002 - for overriding
        """Return whose the request is; None for who is not limited.

        The account that the view's authentication found, and the address of everybody
        else, through as many proxies as `HEADGATE["TRUSTED_PROXIES"]` says.
        """
        return user_key(request.user) or request_key(_plain(request), "address")

    def allow_request(self, request: Any, view: Any) -> bool:
        """Return whether the view may be called.

        Raises:
            ImproperlyConfigured: The scope has no rate, or it cannot be read.
        """
        place = self._charges(request, view)
        decided: dict[_Place, Decision] = request.__dict__.setdefault(_DECIDED, {})
        if any((each.policy.name, each.key) not in decided for each in place):
            decided.clear()
            decided.update(_decide(self, request, view))
        own = [decided.pop((each.policy.name, each.key)) for each in place]
        refused = [each for each in own if not each.allowed]
        self._decision = max(refused, key=_wait_us, default=None)
        return not refused

    def wait(self) -> float | None:
        """Return how many seconds to wait, exactly; None if that does not help."""
        return None if self._decision is None else self._decision.retry_after_seconds

    def _charges(self, request: Any, view: Any) -> list[Charge]:
        policies = self._policies(view)
        key = self.get_key(request, view) if policies else None
        return [] if key is None else [Charge(policy, key) for policy in policies]

    def _policies(self, view: Any) -> tuple[Policy, ...]:
        if self.rate is not None:
            return _checked(self.rate, name_for(type(self)))
        scope = self.scope or getattr(view, "throttle_scope", None)
        if scope is None:
            return ()
        rates = api_settings.DEFAULT_THROTTLE_RATES
        if scope not in rates:
            raise ImproperlyConfigured(
                f"REST_FRAMEWORK['DEFAULT_THROTTLE_RATES'] has no {scope!r}: write "
                f"{{{scope!r}: '10/min'}}.",
            )
        rate = rates[scope]
        return () if rate is None else _checked(rate, name_from(f"drf.{scope}"))


class UserThrottle(HeadgateThrottle):
    """Limits everybody, by the rate of the scope `user`."""

    scope = "user"


class AnonThrottle(HeadgateThrottle):
    """Limits who has not signed in, by the rate of the scope `anon`."""

    scope = "anon"

    def get_key(self, request: Any, view: Any) -> str | None:
        """Return the address, or None for accounts."""
        if user_key(request.user) is not None:
            return None
        return super().get_key(request, view)


def _decide(asked: HeadgateThrottle, request: Any, view: Any) -> dict[_Place, Decision]:
    """Decide all throttles of the view that are ours, all or none."""
    throttles: list[Any] = view.get_throttles() if hasattr(view, _GET) else []
    ours = [each for each in throttles if isinstance(each, HeadgateThrottle)]
    charges: dict[_Place, Charge] = {}
    for throttle in [asked, *ours]:
        for charge in throttle._charges(request, view):  # noqa: SLF001 - our own
            charges[charge.policy.name, charge.key] = charge
    if not charges:
        return {}
    verdict = limiter().decide(list(charges.values()))
    return dict(zip(charges, verdict.decisions, strict=True))


def _checked(rate: GivenRate, name: str) -> tuple[Policy, ...]:
    """Return the policies of a rate; made once for each rate and name."""
    try:
        if isinstance(rate, str | Rate | Policy):
            return _cached(rate, name)
        return policies_of(rate, name=name)
    except (TypeError, ValueError) as exc:
        raise ImproperlyConfigured(f"The throttle {name}: {exc}") from None


@lru_cache(maxsize=256)
def _cached(rate: str | Rate | Policy, name: str) -> tuple[Policy, ...]:
    return policies_of(rate, name=name)


def _plain(request: Any) -> HttpRequest:
    """Return Django's request in that of the framework."""
    found: HttpRequest = getattr(request, "_request", request)
    return found


def _wait_us(refused: Decision) -> float:
    wait_us = refused.retry_after_us
    return float("inf") if wait_us is None else wait_us
