"""One limit, however many ways lead to it at once."""

from __future__ import annotations

import asyncio
from typing import Any

from channels.routing import URLRouter
from django.urls import path

from headgate.contrib.asgi import ThrottleMiddleware
from headgate.contrib.asgi_types import Receive, Scope, Send
from headgate.limits import Limiter
from tests.contrib.consumers import AsyncEcho, Echo
from tests.contrib.sockets import Socket, echo, request, ws_scope
from tests.contrib.test_asgi import User


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def around(inner: Any) -> ThrottleMiddleware:
    """Return one of several middlewares that count together, by their name."""
    return ThrottleMiddleware(inner, "20/min", past="reject", name="all")


async def test_200_at_once_on_a_limit_of_20_admit_20(
    limiter: Limiter, db: None, settings: Any
) -> None:
    settings.CHANNEL_LAYERS = {}
    user = User(7)
    scope = ws_scope(user=user, path="/7/", path_remaining="7/")
    apps = [
        around(echo),
        around(URLRouter([path("<int:chat_id>/", AsyncEcho.as_asgi())])),
        around(Echo.as_asgi()),
        around(echo),
    ]
    sockets = [Socket(each, dict(scope)) for each in apps]
    for socket in sockets:
        await socket.accepted()
    web = around(hello)
    for number in range(40):
        for socket in sockets:
            socket.say(str(number))
    answers = await asyncio.gather(
        *(request(web, {"user": user}) for _ in range(40)),
    )
    for socket in sockets:
        await socket.count(40)
        await socket.leave()

    refused = sum(len(socket.refusals) for socket in sockets)
    refused += sum(answer.status == 429 for answer in answers)
    passed = sum(text.isdigit() for socket in sockets for text in socket.texts)
    passed += sum(answer.status == 200 for answer in answers)
    assert (passed, refused) == (20, 180)
