"""`HeadgateThrottle` in views of Django REST framework."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.views import APIView

from headgate.contrib.drf import AnonThrottle, HeadgateThrottle, UserThrottle
from headgate.limits import Limiter, Policy
from tests.contrib.clocks import Clock


@pytest.fixture(autouse=True)
def _rates(settings: Any) -> None:
    settings.REST_FRAMEWORK = {
        "DEFAULT_THROTTLE_RATES": {
            "search": "2/min",
            "burst": "3/s",
            "sustained": "4/hour",
            "user": "10/minute",
            "anon": "1/day",
            "free": None,
            "wrong": "fast",
        },
    }


class Burst(HeadgateThrottle):
    scope = "burst"


class Sustained(HeadgateThrottle):
    scope = "sustained"


def view_of(*throttles: type[HeadgateThrottle], scope: str | None = None) -> Any:
    class Search(APIView):  # type: ignore[misc] # it has no types
        authentication_classes: ClassVar[list[Any]] = []
        permission_classes: ClassVar[list[Any]] = []
        throttle_classes: ClassVar[list[Any]] = list(throttles)
        throttle_scope = scope

        def get(self, request: Any) -> Response:
            return Response("found")

    return Search.as_view()


def ask(view: Any, user: int | None = None, address: str = "192.0.2.7") -> Any:
    request = APIRequestFactory().get("/", REMOTE_ADDR=address)
    if user is not None:
        force_authenticate(request, User(pk=user))
    return view(request)


def statuses(view: Any, number: int, **more: Any) -> list[int]:
    return [ask(view, **more).status_code for _ in range(number)]


def test_by_the_scope_of_the_view(limiter: Limiter, clock: Clock) -> None:
    view = view_of(HeadgateThrottle, scope="search")
    assert statuses(view, 3) == [200, 200, 429]
    refused = ask(view)
    assert refused["Retry-After"] == "30"
    assert "30 seconds" in refused.data["detail"]
    assert statuses(view, 1, address="192.0.2.8") == [200]
    assert statuses(view, 3, user=1) == [200, 200, 429]
    assert statuses(view, 1, user=2) == [200]
    clock.move(30)
    assert statuses(view, 2) == [200, 429]
    assert limiter.refusals.totals["drf.search"] == 4


def test_the_wait_is_exact(limiter: Limiter, clock: Clock) -> None:
    throttle = HeadgateThrottle()
    view = APIView(throttle_scope="search")
    request = APIRequestFactory().get("/")
    request.user = User(pk=5)
    assert throttle.allow_request(request, view)
    assert throttle.wait() is None
    assert throttle.allow_request(request, view)
    clock.move(0.25)
    assert not throttle.allow_request(request, view)
    assert throttle.wait() == 29.75


def test_all_of_a_view_are_decided_together(limiter: Limiter, clock: Clock) -> None:
    """What one of them refuses costs the others nothing."""
    view = view_of(Burst, Sustained)
    assert statuses(view, 6) == [200, 200, 200, 429, 429, 429]
    clock.move(1)
    assert statuses(view, 2) == [200, 429]  # the fourth of the hour, and the last
    assert ask(view)["Retry-After"] == "899"
    clock.move(899)
    assert statuses(view, 1) == [200]


def test_a_rate_of_the_class(limiter: Limiter) -> None:
    class Own(HeadgateThrottle):
        rate = "1/min"

    class Other(HeadgateThrottle):
        rate = ["5/s", Policy("other", "1/min")]  # noqa: RUF012 - as users write it

    assert statuses(view_of(Own), 2) == [200, 429]
    assert statuses(view_of(Other), 2) == [200, 429]
    assert limiter.refusals.totals["other"] == 1


def test_user_and_anon(limiter: Limiter) -> None:
    view = view_of(AnonThrottle, UserThrottle)
    assert statuses(view, 2) == [200, 429]
    assert statuses(view, 10, user=1) == [200] * 10
    assert statuses(view, 1, user=1) == [429]


@pytest.mark.parametrize("scope", [None, "free"])
def test_what_is_not_limited(limiter: Limiter, scope: str | None) -> None:
    assert statuses(view_of(HeadgateThrottle, scope=scope), 5) == [200] * 5


@pytest.mark.parametrize(
    ("scope", "said"), [("serch", "has no 'serch'"), ("wrong", "'fast' is no rate")]
)
def test_mistakes(limiter: Limiter, scope: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said):
        ask(view_of(HeadgateThrottle, scope=scope))


def test_it_can_be_switched_off(settings: Any) -> None:
    settings.HEADGATE = {"THROTTLING_ENABLED": False}
    assert statuses(view_of(HeadgateThrottle, scope="search"), 9) == [200] * 9


def test_it_follows_the_settings(limiter: Limiter, settings: Any) -> None:
    view = view_of(HeadgateThrottle, scope="search")
    settings.REST_FRAMEWORK = {"DEFAULT_THROTTLE_RATES": {"search": "1/min"}}
    assert statuses(view, 2) == [200, 429]
    settings.HEADGATE = {"TRUSTED_PROXIES": 1}
    for address in ("198.51.100.1", "198.51.100.2"):
        request = APIRequestFactory().get(
            "/", HTTP_X_FORWARDED_FOR=f"203.0.113.1, {address}"
        )
        assert view(request).status_code == 200


def test_a_key_of_ones_own(limiter: Limiter) -> None:
    class ByShop(HeadgateThrottle):
        scope = "search"

        def get_key(self, request: Any, view: Any) -> str | None:
            return request.headers.get("X-Shop")

    view = view_of(ByShop)
    assert statuses(view, 5) == [200] * 5
    codes = [
        view(APIRequestFactory().get("/", HTTP_X_SHOP=shop)).status_code
        for shop in ("a", "a", "b", "a")
    ]
    assert codes == [200, 200, 200, 429]
