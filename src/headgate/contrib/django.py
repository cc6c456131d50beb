"""Throttling for Django: single views, or every view of a project.

    from headgate.contrib.django import throttled

    @throttled("10/min")
    def search(request): ...

For sync and async views, under WSGI and ASGI. A refused request is answered with 429,
and every answer tells what is left of the limit.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any, TypeVar, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from headgate.contrib.answers import (
    STATUS,
    joined_fields,
    problem_body,
    problem_fields,
)
from headgate.contrib.django_keys import (
    RequestKey,
    arequest_key,
    checked_request_key,
    request_key,
)
from headgate.contrib.rules import GivenRate, name_for, policies_of
from headgate.contrib.shared import settings_in_force
from headgate.contrib.throttle import Throttle
from headgate.limits.decision import Verdict
from headgate.limits.limiter import Limiter
from headgate.limits.policy import StoreAway

__all__ = ["ThrottleMiddleware", "throttled", "unthrottled"]

logger = logging.getLogger("headgate.contrib")

_View = TypeVar("_View", bound=Callable[..., Any])
_UNTHROTTLED = "headgate_unthrottled"
_VERDICT = "headgate_verdict"
_OFF = "off"


def throttled(
    rate: GivenRate,
    *,
    key: RequestKey = "user",
    methods: Iterable[str] | None = None,
    name: str | None = None,
    dry_run: bool = False,
    store_away: StoreAway | None = None,
    limiter: Limiter | None = None,
) -> Callable[[_View], _View]:
    """Limit how often a view is called; for methods, with `method_decorator`.

    Args:
        rate: `10/min`, `60/min:20`, a `Rate`, a `Policy`, or a list of those, all of
            which must allow a request.
        key: What is counted by: the account that has signed in, and the address of
            everybody else (`user`); the address (`address`); or a function that takes
            the request and returns a text, or None for who is not limited.
        methods: Which are limited, such as `["POST"]`; all if it is left out.
        name: Of the policy; made of the view's own if it is left out. Views with the
            same name count together.
        dry_run: Let everything pass, and count what would be refused in
            `limiter().refusals`.
        store_away: What is decided while the shared store is away: `local`, `open` or
            `closed`.
        limiter: Who decides, if it is not the limiter of the process.

    Raises:
        TypeError: An argument is of a kind that it cannot be.
        ValueError: An argument is wrong. Both say what was meant.
    """
    by = checked_request_key(key)
    counted = _methods(methods)

    @lru_cache(maxsize=256)  # a decorated method is decorated anew for each request
    def limit_named(own: str) -> Throttle:
        policies = policies_of(
            rate, name=own, key=key, dry_run=dry_run, store_away=store_away
        )
        return Throttle(policies, limiter)

    limit_named(name or "view")  # now, so that mistakes are raised here

    def decorate(view: _View) -> _View:
        owner = _owner(view)
        limit = limit_named(name or name_for(view, owner))

        def sync_view(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if counted is not None and request.method not in counted:
                return view(request, *args, **kwargs)
            verdict = limit.decide(request_key(request, by))
            if verdict is not None and not verdict.allowed:
                return _refusal(verdict)
            return _told(view(request, *args, **kwargs), verdict)

        async def async_view(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            if counted is not None and request.method not in counted:
                return await view(request, *args, **kwargs)
            verdict = await limit.adecide(await arequest_key(request, by))
            if verdict is not None and not verdict.allowed:
                return _refusal(verdict)
            return _told(await view(request, *args, **kwargs), verdict)

        # The `dispatch` of an async class-based view is sync, and what it returns is
        # to be awaited.
        is_async = iscoroutinefunction(view) or getattr(owner, "view_is_async", False)
        wrapper = functools.wraps(view)(async_view if is_async else sync_view)
        return cast("_View", wrapper)

    return decorate


def unthrottled(view: _View) -> _View:
    """Have `ThrottleMiddleware` leave a view alone; `throttled` still counts.

    Of class-based views, decorate what `as_view()` returns, or `dispatch`.
    """
    if iscoroutinefunction(view):

        @functools.wraps(view)
        async def async_view(*args: Any, **kwargs: Any) -> Any:
            return await view(*args, **kwargs)

        found: Callable[..., Any] = async_view
    else:

        @functools.wraps(view)
        def sync_view(*args: Any, **kwargs: Any) -> Any:
            return view(*args, **kwargs)

        found = sync_view
    setattr(found, _UNTHROTTLED, True)
    return cast("_View", found)


class ThrottleMiddleware:
    """One limit for all views of a project: `HEADGATE = {"HTTP_RATE": "600/min"}`.

    Each request that reaches a view is one. Write it after `AuthenticationMiddleware`,
    which says who has signed in; everybody else is counted by their address. Without
    a rate nothing is limited, and the log says so once.

    Raises:
        ImproperlyConfigured: `HTTP_RATE` is no rate.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        self.process_view: Callable[..., Any] = self._process_view
        if self.is_async:
            markcoroutinefunction(self)
            self.process_view = self._aprocess_view
        rate = settings_in_force().http_rate
        try:
            if _site_limit(rate) is None:
                logger.warning("http_rate_missing rate=%s", rate)
        except (TypeError, ValueError) as exc:
            raise ImproperlyConfigured(f"HEADGATE['HTTP_RATE']: {exc}") from None

    def __call__(self, request: HttpRequest) -> Any:
        """Answer a request, and tell what is left of the limit."""
        if self.is_async:
            return self._acall(request)
        response = self.get_response(request)
        return _told(response, getattr(request, _VERDICT, None))

    async def _acall(self, request: HttpRequest) -> Any:
        response = await self.get_response(request)
        return _told(response, getattr(request, _VERDICT, None))

    def _process_view(
        self, request: HttpRequest, view: Callable[..., Any], *_: Any
    ) -> HttpResponse | None:
        limit = _limit_of(view)
        if limit is None:
            return None
        verdict = limit.decide(request_key(request, "user"))
        return self._note(request, verdict)

    async def _aprocess_view(
        self, request: HttpRequest, view: Callable[..., Any], *_: Any
    ) -> HttpResponse | None:
        limit = _limit_of(view)
        if limit is None:
            return None
        verdict = await limit.adecide(await arequest_key(request, "user"))
        return self._note(request, verdict)

    def _note(
        self, request: HttpRequest, verdict: Verdict | None
    ) -> HttpResponse | None:
        if verdict is not None and not verdict.allowed:
            return _refusal(verdict)
        setattr(request, _VERDICT, verdict)
        return None


def _limit_of(view: Callable[..., Any]) -> Throttle | None:
    if getattr(view, _UNTHROTTLED, False):
        return None
    return _site_limit(settings_in_force().http_rate)


@lru_cache(maxsize=16)
def _site_limit(rate: str | None) -> Throttle | None:
    if rate is None or rate.strip().lower() == _OFF:
        return None
    return Throttle(policies_of(rate, name="http"))


def _refusal(verdict: Verdict) -> HttpResponse:
    refused = verdict.refused
    if refused is None:
        raise ValueError("what is allowed has no refusal")
    response = HttpResponse(problem_body(refused), status=STATUS)
    for name, value in problem_fields(verdict, refused).items():
        response[name] = value
    return response


def _told(response: Any, verdict: Verdict | None) -> Any:
    """Return an answer, or what is to be awaited for one, with the limit's fields."""
    if isinstance(response, HttpResponseBase):
        for name, value in joined_fields(verdict, response.get):
            response[name] = value
    elif inspect.isawaitable(response):
        return _told_later(response, verdict)
    return response


async def _told_later(response: Awaitable[Any], verdict: Verdict | None) -> Any:
    return _told(await response, verdict)


def _owner(view: Callable[..., Any]) -> type | None:
    """Return the class of a view's method, as `method_decorator` hands it over."""
    function = view
    while isinstance(function, functools.partial):
        function = function.func
    owner = getattr(function, "__self__", None)
    return None if owner is None or isinstance(owner, type) else type(owner)


def _methods(methods: Iterable[str] | None) -> frozenset[str] | None:
    if methods is None:
        return None
    if isinstance(methods, str):
        raise TypeError(f"methods={methods!r}: a list, such as [{methods.upper()!r}].")
    found = frozenset(method.upper() for method in methods)
    if not found:
        raise ValueError("methods is an empty list, which limits nothing.")
    return found
