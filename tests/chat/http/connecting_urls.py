"""A project's own views of every kind that `@connects` decorates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import include, path
from django.views import View
from ninja import NinjaAPI
from ninja.security import HttpBearer
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.decorators import (
    api_view,
    authentication_classes,
    permission_classes,
)
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

import headgate

__all__ = ["urlpatterns"]

SAID = {"said": True}


@headgate.connects("order-{pk}")
def function(request: HttpRequest, pk: int) -> HttpResponse:
    return JsonResponse(SAID)


@headgate.connects("order-{pk}", "general")
async def async_function(request: HttpRequest, pk: int) -> HttpResponse:
    return JsonResponse(SAID)


class ClassView(View):
    @headgate.connects("order-{pk}")
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return JsonResponse(SAID)


class AsyncClassView(View):
    @headgate.connects("order-{pk}")
    async def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return JsonResponse(SAID)


class Plain(View):
    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return JsonResponse(SAID)


class AsyncPlain(View):
    async def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        return JsonResponse(SAID)


@headgate.connects("order-{pk}")
@api_view(["GET"])
@authentication_classes([TokenAuthentication])
@permission_classes([IsAuthenticated])
def above_api_view(request: Any, pk: int) -> Response:
    return Response(SAID)


@api_view(["GET"])
@authentication_classes([TokenAuthentication])
@permission_classes([IsAuthenticated])
@headgate.connects("order-{pk}")
def below_api_view(request: Any, pk: int) -> Response:
    return Response(SAID)


class RestView(APIView):
    authentication_classes = (TokenAuthentication,)
    permission_classes = (IsAuthenticated,)

    @headgate.connects("order-{pk}")
    def get(self, request: Any, pk: int) -> Response:
        return Response(SAID)


class OpenRestView(APIView):
    authentication_classes = (TokenAuthentication,)
    permission_classes = (AllowAny,)

    @headgate.connects("order-{pk}")
    def get(self, request: Any, pk: int) -> Response:
        return Response(SAID)


class ByToken(HttpBearer):
    def authenticate(self, request: HttpRequest, token: str) -> Any:
        found = Token.objects.filter(key=token).select_related("user").first()
        return None if found is None else found.user


ninja = NinjaAPI(urls_namespace="connecting")


@ninja.get("/sync/{pk}", auth=ByToken())
@headgate.connects("order-{pk}")
def ninja_sync(request: HttpRequest, pk: int) -> dict[str, bool]:
    return SAID


@ninja.get("/async/{pk}", auth=ByToken())
@headgate.connects("order-{pk}")
async def ninja_async(request: HttpRequest, pk: int) -> dict[str, bool]:
    return SAID


@headgate.connects("order-{pk}")
@ninja.get("/above/{pk}", auth=ByToken())
def ninja_above(request: HttpRequest, pk: int) -> dict[str, bool]:
    return SAID


@ninja.get("/session/{pk}")
@headgate.connects("order-{pk}")
def ninja_session(request: HttpRequest, pk: int) -> dict[str, bool]:
    return SAID


@ninja.get("/response/{pk}")
@headgate.connects("order-{pk}")
def ninja_response(request: HttpRequest, pk: int) -> HttpResponse:
    return JsonResponse(SAID)


# --- answers of other kinds ------------------------------------------------------


@headgate.connects("general")
def with_status(request: HttpRequest, status: int) -> HttpResponse:
    return HttpResponse(b"as it was", status=status)


@headgate.connects("general")
async def streamed(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    return StreamingHttpResponse(parts())


@headgate.connects("general")
def exposing(request: HttpRequest) -> HttpResponse:
    headers = {
        "Access-Control-Expose-Headers": "X-Total",
        "Cache-Control": "max-age=60",
    }
    return HttpResponse(headers=headers)


@headgate.connects("order-{pk}")
@headgate.connects("inner")
def twice(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse()


@headgate.connects("order-{number}")
def misnamed(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse()


@headgate.connects("order-{name}")
def named(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse()


@headgate.connects()
def nowhere(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


def described(request: HttpRequest) -> HttpResponse:
    return JsonResponse(headgate.descriptor(request, ["general"]))


async def async_described(request: HttpRequest) -> HttpResponse:
    return JsonResponse(await headgate.adescriptor(request, rooms=["general"]))


urlpatterns = [
    path("function/<int:pk>/", function),
    path("async-function/<int:pk>/", async_function),
    path("class/<int:pk>/", ClassView.as_view()),
    path("async-class/<int:pk>/", AsyncClassView.as_view()),
    path("whole-class/<int:pk>/", headgate.connects("order-{pk}")(Plain.as_view())),
    path(
        "whole-async-class/<int:pk>/",
        headgate.connects("order-{pk}")(AsyncPlain.as_view()),
    ),
    path("rest/<int:pk>/", RestView.as_view()),
    path("above/<int:pk>/", above_api_view),
    path("below/<int:pk>/", below_api_view),
    path("open-rest/<int:pk>/", OpenRestView.as_view()),
    path("ninja/", ninja.urls),
    path("status/<int:status>/", with_status),
    path("streamed/", streamed),
    path("exposing/", exposing),
    path("twice/<int:pk>/", twice),
    path("misnamed/<int:pk>/", misnamed),
    path("named/<str:name>/", named),
    path("nowhere/", nowhere),
    path("described/", described),
    path("async-described/", async_described),
    path("sub/", include("headgate.urls")),
]
