"""Django's `ThrottleMiddleware`: one limit for all views."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler

from headgate.contrib.django import ThrottleMiddleware
from headgate.limits import Limiter
from tests.contrib.test_django import Get, cookies, get

__all__ = ["cookies", "get"]  # fixtures of that file


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.contrib.views"
    settings.HEADGATE = {"HTTP_RATE": "3/min"}
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "headgate.contrib.django.ThrottleMiddleware",
    ]


@pytest.mark.parametrize("path", ["plain", "aplain"])
async def test_all_views_are_counted_together(
    limiter: Limiter, get: Get, path: str
) -> None:
    answers = [await get(path) for _ in range(2)]
    answers += [await get("missing"), await get(path)]
    assert [each.status_code for each in answers] == [200, 200, 404, 429]
    assert [each["RateLimit"] for each in answers] == [
        '"http";r=2;t=20',
        '"http";r=1;t=20',
        '"http";r=0;t=20',
        '"http";r=0;t=20',
    ]
    assert answers[3]["Retry-After"] == "20"
    assert answers[3]["Cache-Control"] == "no-store"
    assert answers[3]["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("path", ["health", "ahealth", "health-class"])
async def test_a_view_may_be_left_alone(limiter: Limiter, get: Get, path: str) -> None:
    for _ in range(5):
        answer = await get(path)
        assert answer.status_code == 200
        assert "RateLimit" not in answer
    assert (await get("plain"))["RateLimit"] == '"http";r=2;t=20'


async def test_a_path_without_a_view_is_not_counted(limiter: Limiter, get: Get) -> None:
    for _ in range(5):
        assert (await get("nowhere")).status_code == 404


async def test_both_limits_are_told(limiter: Limiter, get: Get) -> None:
    answers = [await get("sync") for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[0]["RateLimit"] == '"sync";r=1;t=30, "http";r=2;t=20'
    assert answers[2]["RateLimit"] == '"sync";r=0;t=30, "http";r=0;t=20'


async def test_people_have_limits_of_their_own(
    limiter: Limiter, cookies: list[str], get: Get
) -> None:
    for cookie in cookies:
        answers = [(await get("plain", cookie)).status_code for _ in range(4)]
        assert answers == [200, 200, 200, 429]


async def test_it_follows_the_settings(get: Get, settings: Any) -> None:
    settings.HEADGATE = {"HTTP_RATE": "1/min"}
    assert [(await get("plain")).status_code for _ in range(2)] == [200, 429]
    settings.HEADGATE = {"HTTP_RATE": "off"}
    assert [(await get("plain")).status_code for _ in range(2)] == [200, 200]
    settings.HEADGATE = {"HTTP_RATE": "1/min", "THROTTLING_ENABLED": False}
    assert [(await get("plain")).status_code for _ in range(2)] == [200, 200]


def test_a_wrong_rate_stops_the_start(settings: Any) -> None:
    settings.HEADGATE = {"HTTP_RATE": "fast"}
    with pytest.raises(ImproperlyConfigured, match=r"HTTP_RATE.*'fast' is no rate"):
        WSGIHandler()
    with pytest.raises(ImproperlyConfigured, match="HTTP_RATE"):
        ASGIHandler()


def test_without_a_rate_the_log_says_so(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.HEADGATE = {}
    with caplog.at_level(logging.WARNING, "headgate.contrib"):
        ThrottleMiddleware(lambda _: None)
    assert "http_rate_missing" in caplog.text
