"""The socket that a server listens on, and what is told where it cannot."""

from __future__ import annotations

import errno
import socket

from headgate.server.exits import EXIT_ADDRESS, CannotStart

__all__ = ["BACKLOG", "address_of", "bind", "listen"]

BACKLOG = 2048  # connections that may wait to be accepted


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address; a port that is taken shows here."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as exc:
        listening.close()
        raise _cannot_listen(host, port, exc) from exc
    return listening


def listen(listening: socket.socket, host: str) -> None:
    """Let connections come in.

    Two servers may bind one port; the second to listen may not, and it shows here.
    uvloop would say nothing of that.
    """
    try:
        listening.listen(BACKLOG)
    except OSError as exc:
        raise _cannot_listen(host, listening.getsockname()[1], exc) from exc


def address_of(listening: socket.socket, host: str) -> str:
    """Return where a server is reached, such as `http://127.0.0.1:8000`."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}"


def _cannot_listen(host: str, port: int, exc: OSError) -> CannotStart:
    """Return what to tell, by the kind of error."""
    what = {
        errno.EADDRINUSE: f"Port {port} on {host} is taken. Stop what uses it, or "
        "choose another with --port (0 picks a free one).",
        errno.EACCES: f"Port {port} is reserved. Choose one from 1024 on with "
        "--port, or put a web server in front.",
    }.get(
        exc.errno or 0,
        f"Cannot listen on {host}: {exc}. Choose an address of this machine "
        "with --host.",
    )
    return CannotStart(what, EXIT_ADDRESS)
