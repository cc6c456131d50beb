"""Where the chat's URLs are in this project, whatever prefix it is mounted under.

`include("headgate.urls")` may stand anywhere, behind `FORCE_SCRIPT_NAME` or a server's
root_path. So the places of the WebSocket and of the stream are those that Django
would reverse.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import (
    NoReverseMatch,
    get_resolver,
    get_script_prefix,
    get_urlconf,
    reverse,
)
from django.utils.translation import get_language

__all__ = ["SOCKET", "STREAM", "path_in_project", "place", "room_in", "socket_url"]

SOCKET = "headgate_chat:socket"
STREAM = "headgate_chat:stream"

# Where they are for a project that mounts the WebSocket alone.
_UNMOUNTED = {SOCKET: "ws/chat/", STREAM: "api/v1/stream"}


# For which URLs, prefix and language places were found last, and those: to reverse a
# name costs as much as a handshake, and it is done for each.
_found: tuple[tuple[Any, str, str | None], dict[str, str]] | None = None


def place(name: str) -> str:
    """Return the path of a URL name from the root of the project.

    Without a prefix that the server or FORCE_SCRIPT_NAME puts before it.
    """
    global _found  # noqa: PLW0603 - kept for as long as these are the same
    # Whoever changes URLs has Django forget its resolver, and make another one.
    resolver, prefix = get_resolver(get_urlconf()), get_script_prefix()
    made_for = resolver, prefix, get_language()
    if _found is None or _found[0] != made_for:
        _found = made_for, {}
    places = _found[1]
    if name not in places:
        places[name] = _reversed(name, prefix)
    return places[name]


def _reversed(name: str, prefix: str) -> str:
    try:
        return "/" + reverse(name).removeprefix(prefix)
    except NoReverseMatch:
        return "/" + _UNMOUNTED[name]


def path_in_project(scope: MutableMapping[str, Any]) -> str:
    """Return the path that a scope asks for, from the root of the project.

    As Django computes `path_info`.
    """
    path: str = scope["path"]
    prefix: str = settings.FORCE_SCRIPT_NAME or scope.get("root_path") or ""
    return path.removeprefix(prefix.rstrip("/")) or "/"


def room_in(path: str) -> str | None:
    """Return the room that a WebSocket's path names: "" for none yet.

    None where the path is no WebSocket of the chat's.
    """
    socket = place(SOCKET)
    if not path.startswith(socket):
        return None
    room = path.removeprefix(socket)
    if not room:
        return ""
    return room[:-1] if room.endswith("/") and room.count("/") == 1 else None


def socket_url(request: HttpRequest) -> str:
    """Return the absolute `ws(s)://` URL of the WebSocket, as the client sees it."""
    path = get_script_prefix() + place(SOCKET).removeprefix("/")
    secure = "wss" if request.is_secure() else "ws"
    return f"{secure}://{request.get_host()}{path}"
