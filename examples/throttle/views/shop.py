"""A Django project in one file, with a limit for a view and one for all of them."""

from __future__ import annotations

import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="only for trying it out",  # noqa: S106 - of an example
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["headgate.contrib.django.ThrottleMiddleware"],
    HEADGATE={"HTTP_RATE": "10/min"},
)

from headgate.contrib.django import throttled, unthrottled  # noqa: E402


@throttled("3/min", name="search")
def search(request: HttpRequest) -> HttpResponse:
    """Do what costs a lot."""
    return HttpResponse(f"found nothing for {request.GET.get('q', '')!r}\n")


@throttled("2/min", name="order", methods=["POST"])
async def order(request: HttpRequest) -> HttpResponse:
    """Show a form, or take an order."""
    return HttpResponse("thank you\n" if request.method == "POST" else "a form\n")


def page(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Show what only the limit of all views is for."""
    return HttpResponse("a page\n")


@unthrottled
def health(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - the same
    """Tell the load balancer, as often as it likes."""
    return HttpResponse("ok\n")


urlpatterns = [
    path("search/", search),
    path("order/", order),
    path("page/", page),
    path("health/", health),
]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
