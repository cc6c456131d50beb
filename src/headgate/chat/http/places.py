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
    URLResolver,
    get_resolver,
    get_script_prefix,
    reverse,
)

__all__ = [
    "SOCKET",
    "STREAM",
    "below_socket",
    "path_in_project",
    "place",
    "room_in",
    "socket_path",
    "socket_url",
]

SOCKET = "headgate_chat:socket"
STREAM = "headgate_chat:stream"

# Where they are for a project that mounts the WebSocket alone.
_UNMOUNTED = {SOCKET: "ws/chat/", STREAM: "api/v1/stream"}


def place(name: str) -> str:
    """Return the path of a URL name from the root of the project.

    Without a prefix that the server or FORCE_SCRIPT_NAME puts before it.
    """
    try:
        return "/" + reverse(name).removeprefix(get_script_prefix())
    except NoReverseMatch:
        return "/" + _UNMOUNTED[name]


# The project's URLs, and the WebSocket's place among them.
_socket: tuple[URLResolver, str] | None = None


def _socket_place() -> str:
    """Return `place(SOCKET)` for a handshake, which is in no request.

    To find it costs as much as the handshake itself, so it is kept for as long as
    Django keeps the URLs; only requests may have others.
    """
    global _socket  # noqa: PLW0603
    resolver = get_resolver()
    if _socket is None or _socket[0] is not resolver:
        _socket = resolver, place(SOCKET)
    return _socket[1]


def path_in_project(scope: MutableMapping[str, Any]) -> str:
    """Return the path that a scope asks for, from the root of the project.

    As Django computes `path_info`.
    """
    path: str = scope["path"]
    return path.removeprefix(_prefix_of(scope)) or "/"


def socket_path(scope: MutableMapping[str, Any]) -> str:
    """Return the WebSocket's path as clients of this scope's server ask for it."""
    return _prefix_of(scope) + _socket_place()


def _prefix_of(scope: MutableMapping[str, Any]) -> str:
    """Return what stands before the project's own paths, without a slash at its end."""
    prefix: str = settings.FORCE_SCRIPT_NAME or scope.get("root_path") or ""
    return prefix.rstrip("/")


def room_in(path: str) -> str | None:
    """Return the room that a WebSocket's path names: "" for none yet.

    None where the path is no WebSocket of the chat's.
    """
    socket = _socket_place()
    if not path.startswith(socket):
        return None
    room = path.removeprefix(socket)
    if not room:
        return ""
    return room[:-1] if room.endswith("/") and room.count("/") == 1 else None


def below_socket(path: str) -> bool:
    """Return whether a path is meant for the chat's WebSocket, if not quite right."""
    return f"{path}/".startswith(_socket_place())


def socket_url(request: HttpRequest) -> str:
    """Return the absolute `ws(s)://` URL of the WebSocket, as the client sees it."""
    path = get_script_prefix() + place(SOCKET).removeprefix("/")
    secure = "wss" if request.is_secure() else "ws"
    return f"{secure}://{request.get_host()}{path}"
