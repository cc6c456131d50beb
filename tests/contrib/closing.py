"""Applications that real servers are started with."""

from __future__ import annotations

from channels.routing import URLRouter
from django.urls import path

from headgate.contrib.asgi import ThrottleMiddleware
from tests.contrib.consumers import AsyncEcho, Echo

__all__ = ["application"]

application = URLRouter(
    [
        path("sync/", ThrottleMiddleware(Echo.as_asgi(), rate_limit=3, per_second=60)),
        path("async/", ThrottleMiddleware(AsyncEcho.as_asgi(), "3/min", name="async")),
        path(
            "delay/",
            ThrottleMiddleware(
                AsyncEcho.as_asgi(), "20/s:1", past="delay", name="delay"
            ),
        ),
    ]
)
