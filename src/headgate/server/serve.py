"""`headgate serve`: from options to a running server and an orderly end.

One process serves by itself. With `--workers` this one gets all ready, and then starts
and watches those that serve: each of them comes through here too, as a worker.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack, closing
from socket import socket
from typing import TYPE_CHECKING, Any

import uvicorn

from headgate.protocol.fields import MAX_FRAME_BYTES
from headgate.server.exits import CannotStart
from headgate.server.health import Health
from headgate.server.listening import BACKLOG, address_of, bind, listen
from headgate.server.metrics_setup import check_extra, folder_here, shared_folder
from headgate.server.options import ServeOptions
from headgate.server.outbound_thread import OutboundThread
from headgate.server.setup import make_demo_rooms, set_up
from headgate.server.worker import Worker, worker_here
from headgate.server.workers import Supervisor, command_line

if TYPE_CHECKING:
    from headgate.server.chat_server import ChatServer
    from headgate.server.metrics import Metrics

__all__ = ["serve"]

PING_SECONDS = 25.0  # between keepalive pings; proxies cut idle connections at 30 to 60
PONG_SECONDS = 20.0  # a client that does not answer by then is gone
# For what is left when the drain is over, and everybody has gone or was cut off.
SHUTDOWN_SECONDS = 1


def serve(options: ServeOptions) -> int:
    """Run the server until it is told to stop, and return the exit code."""
    # WhiteNoise streams files, and Django reads them whole, in a thread, under ASGI:
    # right for files as small as the page's, so nobody needs to be warned.
    warnings.filterwarnings("ignore", "StreamingHttpResponse must consume synchronous")
    try:
        if options.metrics:
            check_extra()  # before anything is made
        worker = worker_here(os.environ)
        if worker is not None:
            return _work(options, worker)
        with closing(bind(options.host, options.port)) as listening:
            if options.workers > 1:
                return _supervise(options, listening)
            application = _application(options)
            if options.demo:
                make_demo_rooms()
            where = address_of(listening, options.host)
            _run(
                application,
                options,
                listening,
                number=1,
                on_listening=lambda _: _tell(where),
                second_signal=True,
            )
    except CannotStart as exc:
        print(f"headgate: {exc}", file=sys.stderr)
        return exc.code
    return 0


def _tell(where: str) -> None:
    print(f"Headgate listening on {where}", flush=True)


# --- several processes ---


def _work(options: ServeOptions, worker: Worker) -> int:
    """Serve as one of several, on the socket that they share."""
    with worker.listening, worker.control:
        application = _application(options, worker=worker.number)
        _run(
            application,
            options,
            worker.listening,
            number=worker.number,
            on_listening=worker.is_listening,
            # The supervisor's word counts: an init system may send its signal to all
            # processes of a service, and the supervisor tell of it, too.
            second_signal=False,
        )
    return 0


def _supervise(options: ServeOptions, listening: socket) -> int:
    """Get all ready, once; then start workers and watch them."""
    command_line()  # that there is none shows before anything is made
    _application(options)
    if options.demo:
        make_demo_rooms()
    _warn_without_redis(options.workers)
    listen(listening, options.host)
    where = address_of(listening, options.host)

    shows_metrics = _shows_metrics(options)

    async def supervise() -> int:
        supervisor = Supervisor(
            listening,
            count=options.workers,
            drain_seconds=options.drain_seconds,
            on_listening=lambda: _tell(where),
        )
        return await supervisor.run()

    with ExitStack() as stack:
        if shows_metrics:
            stack.enter_context(shared_folder())
        return asyncio.run(supervise())


def _warn_without_redis(count: int) -> None:
    """Say on stderr what holds for each process alone."""
    from headgate.chat.conf import conf

    if conf().REDIS is None:
        print(
            f"headgate: {count} processes serve, and no Redis joins them. Each by "
            f"itself counts limits, so that somebody may do up to {count} times as "
            "much, counts open connections, remembers which tickets were used, and "
            "tells who is there and who is typing. Messages of another process come up "
            "to 1 s late; none is lost. To join them, give --redis, or set REDIS in a "
            "project's HEADGATE.",
            file=sys.stderr,
        )


def _shows_metrics(options: ServeOptions) -> bool:
    """Return whether there is `/metrics`, by the option or the settings.

    Raises:
        CannotStart: There is to be, and what it needs is not installed.
    """
    from headgate.chat.conf import conf

    if not (options.metrics or conf().METRICS):
        return False
    check_extra()
    return True


# --- the application ---


def _application(options: ServeOptions, *, worker: int | None = None) -> Any:
    """Return what is served, the stand-alone server's or a project's own.

    `worker` is the number of the worker that this process is, if it is one.
    """
    if options.project or options.app is not None:
        return _projects(options)
    return _stand_alone(options, worker)


def _stand_alone(options: ServeOptions, worker: int | None) -> Any:
    """Set the stand-alone server up and return its application."""
    who = "" if worker is None else f" worker={worker}"
    logging.basicConfig(
        format=f"%(asctime)s %(levelname)s %(name)s{who} %(message)s",
        level=logging.WARNING,
    )
    set_up(options, serving=True, worker=worker is not None)
    # Imported when Django is set up.
    from headgate.server.asgi import build_application

    return build_application()


def _projects(options: ServeOptions) -> Any:
    """Return a project's application; logging is as the project says."""
    from headgate.server.project import application_setting, project_application

    if options.project:
        application = project_application(options.app or application_setting())
    else:
        # A string is what belongs there.
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
        application = project_application(options.app or "")
    _note_processes(options.workers)
    return application


def _note_processes(count: int) -> None:
    """Have a project's settings say how many processes serve, if they know of fewer."""
    from django.conf import settings
    from django.core.signals import setting_changed

    given = getattr(settings, "HEADGATE", {})
    if given.get("PROCESSES", 1) < count:
        told = {**given, "PROCESSES": count}
        settings.HEADGATE = told
        setting_changed.send(sender=None, setting="HEADGATE", value=told, enter=True)


# --- serving ---


def _run(
    application: Any,
    options: ServeOptions,
    listening: socket,
    *,
    number: int,
    on_listening: Callable[[ChatServer], None],
    second_signal: bool,
) -> None:
    # Imported when Django is set up.
    from headgate.server.asgi import with_health
    from headgate.server.chat_server import ChatServer, drain_time
    from headgate.server.connections_watch import ConnectionsWatch
    from headgate.server.outbound_setup import calls_services, has_services
    from headgate.server.websocket_protocol import ChatWebSocketProtocol

    outbound: OutboundThread | None = None
    if calls_services(options, number=number):
        outbound = OutboundThread(stop_seconds=drain_time(options.drain_seconds))
    watch = ConnectionsWatch(number) if has_services() else None
    metrics: Metrics | None = None
    if _shows_metrics(options):
        from headgate.server.metrics import Metrics, with_metrics
        from headgate.server.metrics_outbound import OutboundMetrics

        services: OutboundMetrics | None = None
        if has_services():
            services = OutboundMetrics(
                of_rows=number == 1,
                worker=lambda: None if outbound is None else outbound.worker,
            )
        metrics = Metrics(number, folder_here(os.environ), services)
        application = with_metrics(application, metrics)

    def listens(server: ChatServer) -> None:
        if metrics is not None:
            metrics.start()
        if outbound is not None:
            outbound.start()
        if watch is not None:
            watch.start()
        on_listening(server)

    _spare_the_collector()
    health = Health()
    project = options.project or options.app is not None
    config = uvicorn.Config(
        with_health(application, health),
        host=options.host,
        port=listening.getsockname()[1],
        http="httptools",
        ws=ChatWebSocketProtocol,
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        lifespan="auto" if project else "off",  # the chat itself needs none
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        backlog=BACKLOG,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = ChatServer(
        config,
        health,
        on_listening=listens,
        drain_seconds=options.drain_seconds,
        second_signal=second_signal,
        outbound=outbound,
    )
    server.run(sockets=[listening])


def _spare_the_collector() -> None:
    """Keep Python's cycle collector from walking over Django at every turn.

    What is loaded by now stays until the end, and a message leaves no cycles
    behind: walking all objects for each few hundred messages took a tenth of the
    time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
