"""HTTP clients of the real ASGI application, in this process and without a server.

`browse` opens them: `await browse(user)` is a browser that is signed in, has Django's
CSRF cookie and sends its token; `await browse()` is somebody without an account.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.middleware.csrf import _get_new_csrf_string
from django.test import Client

from headgate.chat.engine import Engine
from tests.chat.talker import application, in_thread

__all__ = ["CONNECT", "Browsers", "browse_fixture", "problem_of", "shape"]

ORIGIN = "http://testserver"
CONNECT = "Headgate-Connect"


def session_of(user: Any) -> str:
    """Return the key of a new session of a user."""
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


def problem_of(response: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a refusal, which is a problem as promised."""
    assert response.headers["content-type"] == "application/problem+json"
    said = response.json()
    assert said["status"] == response.status_code
    assert said["type"] == f"urn:headgate:error:{said['code']}"
    assert said["title"]
    assert said["detail"]
    assert response.headers["cache-control"] == "no-store"
    return response.status_code, said["code"]


def shape(response: httpx.Response) -> tuple[int, list[tuple[str, str]], bytes]:
    """Return all of an answer but its date."""
    headers = [(k, v) for k, v in response.headers.multi_items() if k != "date"]
    return response.status_code, headers, response.content


def descriptor_of(response: httpx.Response) -> dict[str, Any]:
    """Return what `Headgate-Connect` carries."""
    found: dict[str, Any] = json.loads(response.headers[CONNECT])
    return found


class Browsers:
    """Opens clients and closes them."""

    def __init__(self, stack: contextlib.AsyncExitStack) -> None:
        self._stack = stack

    async def __call__(
        self,
        user: Any = None,
        *,
        csrf: bool = True,
        base: str = ORIGIN,
        headers: Mapping[str, str] | None = None,
        app: Any = None,
    ) -> httpx.AsyncClient:
        """Open a client; `csrf` False leaves the token out of what it sends."""
        client = httpx.AsyncClient(
            # As a server does: what the application raises is answered by Django.
            transport=httpx.ASGITransport(app or application()),
            base_url=base,
            headers=dict(headers or {}),
        )
        if user is not None:
            key = await in_thread(session_of, user)
            client.cookies.set(settings.SESSION_COOKIE_NAME, key)
        token = _get_new_csrf_string()
        client.cookies.set(settings.CSRF_COOKIE_NAME, token)
        if csrf:
            client.headers["X-CSRFToken"] = token
        return await self._stack.enter_async_context(client)


@pytest.fixture(name="browse")
async def browse_fixture(chat: Engine) -> AsyncIterator[Browsers]:
    """Clients of the real application."""
    async with contextlib.AsyncExitStack() as stack:
        yield Browsers(stack)
