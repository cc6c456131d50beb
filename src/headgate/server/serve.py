"""`headgate serve`: from options to a running server and an orderly end."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import signal
import socket
import sys
import warnings
from collections.abc import Generator
from typing import Any

import uvicorn

from headgate.protocol.fields import MAX_FRAME_BYTES
from headgate.server.exits import EXIT_ADDRESS, EXIT_PROJECT, CannotStart
from headgate.server.health import Health
from headgate.server.options import ServeOptions
from headgate.server.setup import make_demo_rooms, set_up

__all__ = ["serve"]

PING_SECONDS = 25.0  # between keepalive pings; proxies cut idle connections at 30 to 60
PONG_SECONDS = 20.0  # a client that does not answer by then is gone
SHUTDOWN_SECONDS = 10  # for requests and connections to end by themselves


def serve(options: ServeOptions) -> int:
    """Run the server until it is told to stop, and return the exit code."""
    project = options.project or options.app is not None
    # WhiteNoise streams files, and Django reads them whole, in a thread, under ASGI:
    # right for files as small as the page's, so nobody needs to be warned.
    warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous")
    try:
        with _listen(options.host, options.port) as listening:
            application = _projects(options) if project else _stand_alone(options)
            if options.demo:
                make_demo_rooms()
            _run(application, options.host, listening, lifespan=project)
    except CannotStart as exc:
        print(f"headgate: {exc}", file=sys.stderr)
        return exc.code
    return 0


def _stand_alone(options: ServeOptions) -> Any:
    """Set the stand-alone server up and return its application."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        level=logging.WARNING,
    )
    set_up(options, serving=True)
    # Imported when Django is set up.
    from headgate.server.asgi import build_application

    return build_application()


def _projects(options: ServeOptions) -> Any:
    """Return a project's application; logging is as the project says."""
    from headgate.server.project import application_setting, project_application

    if options.project:
        return project_application(options.app or application_setting())
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - a string is what belongs there
    return project_application(options.app or "")


def _listen(host: str, port: int) -> socket.socket:
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


def _run(
    application: Any,
    host: str,
    listening: socket.socket,
    *,
    lifespan: bool,
) -> None:
    # Imported when Django is set up.
    from headgate.server.asgi import with_health
    from headgate.server.websocket_protocol import ChatWebSocketProtocol

    _spare_the_collector()
    health = Health()
    config = uvicorn.Config(
        with_health(application, health),
        host=host,
        port=listening.getsockname()[1],
        http="httptools",
        ws=ChatWebSocketProtocol,
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        lifespan="auto" if lifespan else "off",  # the chat itself needs none
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        backlog=2048,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    _ChatServer(config, health).run(sockets=[listening])


def _spare_the_collector() -> None:
    """Keep Python's cycle collector from walking over Django at every turn.

    What is loaded by now stays until the end, and a message leaves no cycles
    behind: walking all objects for each few hundred messages took a tenth of the
    time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class _ChatServer(uvicorn.Server):
    """uvicorn with our one line, our signals, and the journal's orderly end."""

    def __init__(self, config: uvicorn.Config, health: Health) -> None:
        super().__init__(config)
        self._health = health

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say where, once connections are taken."""
        host, port = self.config.host, self.config.port
        try:
            # Two servers may bind one port; the second to listen may not. uvloop
            # would say nothing of that.
            for listening in sockets or ():
                listening.listen(self.config.backlog)
        except OSError as exc:
            raise _cannot_listen(host, port, exc) from exc
        try:
            await super().startup(sockets)
        except SystemExit as exc:  # so uvicorn says it, after logging why
            raise CannotStart(
                "The application refused to start: its lifespan failed.", EXIT_PROJECT
            ) from exc
        shown = f"[{host}]" if ":" in host else host
        print(f"Headgate listening on http://{shown}:{port}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close connections with 1012, then write what was accepted."""
        from headgate.chat.engine import close_engine
        from headgate.chat.http.stream_end import end_streams

        self._health.draining = True
        end_streams()
        await super().shutdown(sockets)
        await close_engine()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on SIGTERM and SIGINT; unlike uvicorn, end with exit code 0."""
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {each: signal.signal(each, self.handle_exit) for each in signals}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
