"""Where a test's client comes in: the project's application, as a browser would."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.utils.module_loading import import_string

from headgate.chat.conf import conf
from headgate.chat.consumer import ChatConsumer
from headgate.chat.django_thread import in_django_thread
from headgate.chat.http.places import SOCKET, place

__all__ = ["Application", "application_of_project", "socket_scope"]

Application = Callable[[Any, Any, Any], Awaitable[None]]

HOST = "testserver"  # which Django's test runners allow


def application_of_project() -> Application | None:
    """Return the settings' ASGI_APPLICATION, or None where they name none."""
    dotted = getattr(settings, "ASGI_APPLICATION", None)
    return None if dotted is None else import_string(dotted)


async def socket_scope(
    user: Any,
    application: Application | None,
    *,
    path: str | None,
    headers: Mapping[str, str],
) -> tuple[Application, dict[str, Any]]:
    """Return what serves a WebSocket, and the scope of one that `user` opens.

    `user` is None for a guest. In an application they come by a session cookie, as
    browsers do; without one the consumer alone is told who they are.
    """
    if path is None:
        path = (settings.FORCE_SCRIPT_NAME or "").rstrip("/") + place(SOCKET)
    allowed = conf().ALLOWED_ORIGINS
    given = {"host": HOST, "origin": allowed[0] if allowed else f"http://{HOST}"}
    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "client": ("127.0.0.1", 50000),
        "server": (HOST, 80),
        "subprotocols": ["headgate.v1"],
        "extensions": {},
    }
    if application is None:
        application = ChatConsumer()
        scope["user"] = user or AnonymousUser()
        scope["url_route"] = {"args": (), "kwargs": {}}
    elif user is not None:
        given["cookie"] = await in_django_thread(_session_cookie, user)
    given |= {name.lower(): value for name, value in headers.items()}
    scope["headers"] = [(k.encode(), v.encode("latin-1")) for k, v in given.items()]
    return application, scope


def _session_cookie(user: Any) -> str:
    """Log a user in and return the cookie that says so."""
    if not apps.is_installed("django.contrib.sessions"):
        raise RuntimeError(
            "Users come in by a session cookie, and django.contrib.sessions is not "
            "installed. Pass headers= with what your AUTHENTICATORS take, and a name "
            "instead of the user.",
        )
    browser = Client()
    browser.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={browser.cookies[name].value}"
