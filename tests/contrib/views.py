"""Views of every kind, and where they are."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from headgate.contrib.django import throttled, unthrottled

__all__ = ["urlpatterns"]


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


async def aplain(request: HttpRequest) -> HttpResponse:
    return HttpResponse("plain")


@throttled("2/min", name="sync")
def sync(request: HttpRequest) -> HttpResponse:
    return HttpResponse("sync")


@throttled("2/min", name="async")
async def asynchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse("async")


@throttled("2/min", name="above")
@login_required
def above(request: HttpRequest) -> HttpResponse:
    return HttpResponse("above")


@login_required
@throttled("2/min", name="below")
def below(request: HttpRequest) -> HttpResponse:
    return HttpResponse("below")


@login_required
@throttled("2/min", name="abelow")
async def abelow(request: HttpRequest) -> HttpResponse:
    return HttpResponse("below")


@csrf_exempt
@throttled("1/min", methods=["post"], name="posts")
def posts(request: HttpRequest) -> HttpResponse:
    return HttpResponse("posts")


@throttled("1/min", key=lambda request: request.GET.get("k"))
def by_function(request: HttpRequest) -> HttpResponse:
    return HttpResponse("k")


@throttled("1/min", key="address")
async def by_address(request: HttpRequest) -> HttpResponse:
    return HttpResponse("address")


@throttled(["5/s", "2/min"], dry_run=True, name="dry")
def dry(request: HttpRequest) -> HttpResponse:
    return HttpResponse("dry")


def missing(request: HttpRequest) -> HttpResponse:
    raise Http404


@unthrottled
def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


@unthrottled
async def ahealth(request: HttpRequest) -> HttpResponse:
    return HttpResponse("ok")


@method_decorator(unthrottled, name="dispatch")
class Health(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("ok")


class Method(View):
    @method_decorator(throttled("2/min"))
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("get")

    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("post")


class AsyncMethod(View):
    @method_decorator(throttled("2/min"))
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("get")


@method_decorator(throttled("2/min"), name="dispatch")
class First(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("first")


class Second(First):
    """It has a limit of its own."""


@method_decorator(throttled("2/min"), name="dispatch")
class AsyncDispatch(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("dispatch")


_ALL: dict[str, Any] = {
    "plain": plain,
    "aplain": aplain,
    "sync": sync,
    "async": asynchronous,
    "above": above,
    "below": below,
    "abelow": abelow,
    "posts": posts,
    "by-function": by_function,
    "by-address": by_address,
    "dry": dry,
    "missing": missing,
    "health": health,
    "ahealth": ahealth,
    "health-class": Health.as_view(),
    "method": Method.as_view(),
    "async-method": AsyncMethod.as_view(),
    "first": First.as_view(),
    "second": Second.as_view(),
    "async-dispatch": AsyncDispatch.as_view(),
}
urlpatterns = [path(f"{name}/", view) for name, view in _ALL.items()]
