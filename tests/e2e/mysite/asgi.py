"""HTTP and the chat in one application."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
_django = get_asgi_application()

from headgate.asgi import with_chat  # noqa: E402 - Django's apps are ready only now

__all__ = ["application"]

_chat = with_chat(_django)
_workers = Path(os.environ["MYSITE_DATABASE"]).with_suffix(".workers")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Note down which process serves which client, and serve it."""
    if scope["type"] == "websocket":
        with _workers.open("a") as noted:
            noted.write(f"{scope['client'][1]} {os.getpid()}\n")
    await _chat(scope, receive, send)
