"""`throttled` on views of every kind, called in both of Django's ways."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory
from django.utils.functional import SimpleLazyObject

from headgate.contrib.django import throttled
from headgate.contrib.django_keys import arequest_key, request_key
from headgate.limits import Limiter, Policy
from tests.contrib.clocks import Clock

Get = Callable[..., Awaitable[Any]]


@pytest.fixture(autouse=True)
def _site(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.contrib.views"


@pytest.fixture(params=["sync", "async"])
def get(request: pytest.FixtureRequest) -> Get:
    """Get a path through Django's sync handler, and through its async one."""

    async def aget(path: str, cookie: str = "", **more: Any) -> Any:
        client = AsyncClient()
        client.cookies.load(cookie)
        return await client.get(f"/{path}/", **more)

    async def sget(path: str, cookie: str = "", **more: Any) -> Any:
        from asgiref.sync import sync_to_async

        client = Client()
        client.cookies.load(cookie)
        return await sync_to_async(client.get)(f"/{path}/", **more)

    return aget if request.param == "async" else sget


OPEN = ["sync", "async", "method", "async-method", "first", "async-dispatch"]


@pytest.mark.parametrize("path", OPEN)
async def test_past_the_limit_it_is_429(
    limiter: Limiter, clock: Clock, get: Get, path: str
) -> None:
    first, second, third = [await get(path) for _ in range(3)]
    assert [each.status_code for each in (first, second, third)] == [200, 200, 429]
    policy = limiter.refusals.report()[0].policy
    assert first["RateLimit"] == f'"{policy}";r=1;t=30'
    assert second["RateLimit"] == f'"{policy}";r=0;t=30'
    assert first["RateLimit-Policy"] == f'"{policy}";q=2;w=60;headgate-burst=2'
    assert "Retry-After" not in second

    assert third["Content-Type"] == "application/problem+json"
    assert third["Cache-Control"] == "no-store"
    assert third["Retry-After"] == "30"
    assert third["RateLimit"] == f'"{policy}";r=0;t=30'
    assert third["RateLimit-Policy"] == first["RateLimit-Policy"]
    said = json.loads(third.content)
    assert (said["code"], said["retry_after_ms"]) == ("rate_limited", 30_000)

    clock.move(30)
    assert (await get(path)).status_code == 200


async def test_classes_have_limits_of_their_own(limiter: Limiter, get: Get) -> None:
    assert [(await get("first")).status_code for _ in range(3)] == [200, 200, 429]
    assert (await get("second")).status_code == 200


async def test_only_the_method_is_limited(limiter: Limiter) -> None:
    client = AsyncClient()
    for _ in range(4):
        assert (await client.post("/method/")).status_code == 200
        assert (await client.get("/posts/")).status_code == 200
    assert (await client.post("/posts/")).status_code == 200
    assert (await client.post("/posts/")).status_code == 429


async def test_several_rates_on_a_dry_run(limiter: Limiter, get: Get) -> None:
    for _ in range(4):
        answer = await get("dry")
        assert answer.status_code == 200
        assert "RateLimit" not in answer
    assert limiter.refusals.totals["dry.2 (dry run)"] == 2


async def test_by_a_function(limiter: Limiter, get: Get) -> None:
    for _ in range(3):
        assert (await get("by-function")).status_code == 200  # None: not limited
    for query, status in (("a", 200), ("b", 200), ("a", 429)):
        answer = await get("by-function", data={"k": query})
        assert answer.status_code == status


@pytest.fixture
def cookies(transactional_db: None) -> list[str]:
    found = []
    for name in ("ada", "bob"):
        client = Client()
        client.force_login(User.objects.create_user(name))
        found.append(f"sessionid={client.cookies['sessionid'].value}")
    return found


@pytest.mark.parametrize("path", ["above", "below", "abelow", "sync", "async"])
async def test_people_have_limits_of_their_own(
    limiter: Limiter, cookies: list[str], get: Get, path: str
) -> None:
    ada, bob = cookies
    assert [(await get(path, ada)).status_code for _ in range(3)] == [200, 200, 429]
    assert (await get(path, bob)).status_code == 200
    assert limiter.refusals.report()[0].key.startswith("{u:")


async def test_by_address_people_are_one(
    limiter: Limiter, cookies: list[str], get: Get
) -> None:
    assert (await get("by-address", cookies[0])).status_code == 200
    assert (await get("by-address", cookies[1])).status_code == 429


async def test_a_redirect_to_the_login_is_counted_too(
    limiter: Limiter, get: Get
) -> None:
    answers = [(await get("above")).status_code for _ in range(3)]
    assert answers == [302, 302, 429]


def test_without_a_session_nothing_is_asked(limiter: Limiter) -> None:
    """No database is allowed in this test."""
    client = Client()
    assert client.get("/sync/").status_code == 200
    assert client.get("/sync/").wsgi_request.session.accessed is False


async def test_addresses_are_seen_through_ones_own_proxies(
    limiter: Limiter, get: Get, settings: Any
) -> None:
    settings.HEADGATE = {"TRUSTED_PROXIES": 1}
    for address, status in (("198.51.100.1", 200), ("198.51.100.2", 200)):
        headers = {"X-Forwarded-For": f"203.0.113.9, {address}"}
        assert (await get("by-address", headers=headers)).status_code == status
    headers = {"X-Forwarded-For": "203.0.113.10, 198.51.100.1"}
    assert (await get("by-address", headers=headers)).status_code == 429


async def test_it_can_be_switched_off(get: Get, settings: Any) -> None:
    settings.HEADGATE = {"THROTTLING_ENABLED": False}
    for _ in range(5):
        answer = await get("sync")
        assert answer.status_code == 200
        assert "RateLimit" not in answer


async def test_a_user_that_somebody_elses_middleware_has_found(
    limiter: Limiter,
) -> None:
    request = RequestFactory().get("/")
    request.user = SimpleLazyObject(lambda: User(pk=5))  # type: ignore[assignment]
    assert await arequest_key(request, "user") == "{u:5}"
    request.user = User(pk=6)
    assert await arequest_key(request, "user") == "{u:6}"
    assert request_key(request, "user") == "{u:6}"
    request.user = AnonymousUser()
    assert await arequest_key(request, "user") == "{127.0.0.1}"
    del request.user
    assert request_key(request, "user") == "{127.0.0.1}"


def test_mistakes_are_raised_at_once() -> None:
    for arguments, said in (
        ({"rate": "fast"}, "is no rate"),
        ({"rate": "1/s", "key": "connection"}, "write user, address"),
        ({"rate": "1/s", "methods": []}, "empty list"),
        ({"rate": "1/s", "name": "My view"}, "names no policy"),
        ({"rate": "1/s", "store_away": "no"}, "store_away"),
    ):
        with pytest.raises(ValueError, match=said):
            throttled(**arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"such as \['POST'\]"):
        throttled("1/s", methods="post")


def test_the_view_is_still_itself(limiter: Limiter) -> None:
    def search(request: Any) -> HttpResponse:
        """Find it."""
        return HttpResponse("found")

    view = throttled(Policy("search", "1/min"))(search)
    assert (view.__name__, view.__doc__) == ("search", "Find it.")
    request = RequestFactory().get("/")
    assert view(request).status_code == 200
    assert view(request).status_code == 429
