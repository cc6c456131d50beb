"""An API in one file, with two limits on one view and a limit of its own on another."""

from __future__ import annotations

import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.urls import path

settings.configure(
    SECRET_KEY="only for trying it out",  # noqa: S106 - of an example
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
        "DEFAULT_THROTTLE_RATES": {
            "burst": "3/s",
            "sustained": "20/min",
            "export": "1/min",
        },
    },
)

from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from headgate.contrib.drf import HeadgateThrottle  # noqa: E402


class Burst(HeadgateThrottle):
    """A few at once."""

    scope = "burst"


class Sustained(HeadgateThrottle):
    """And not for ever."""

    scope = "sustained"


class Search(APIView):
    """Limited by two rates, which are decided together."""

    throttle_classes = [Burst, Sustained]  # noqa: RUF012 - as the framework has it

    def get(self, request: Request) -> Response:
        """Find nothing."""
        return Response({"found": [], "query": request.query_params.get("q", "")})


class Export(APIView):
    """Limited by the rate of its scope."""

    throttle_classes = [HeadgateThrottle]  # noqa: RUF012 - the same
    throttle_scope = "export"

    def get(self, request: Request) -> Response:  # noqa: ARG002 - the same
        """Do what costs a lot."""
        return Response({"rows": []})


urlpatterns = [path("search/", Search.as_view()), path("export/", Export.as_view())]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
