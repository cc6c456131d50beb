"""`headgate worker`: make the calls that are owed to services, in a process of its own.

Several of them may run on one PostgreSQL: what one has leased no other takes. On SQLite
one stands beside a server that was started with `--no-worker`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from typing import TYPE_CHECKING

from headgate.server.exits import CannotStart
from headgate.server.last_end import left_at_last
from headgate.server.metrics_worker import Address, shown
from headgate.server.options import (
    add_data_arguments,
    add_drain_argument,
    add_redis_argument,
)
from headgate.server.outbound_thread import loop_factory, work
from headgate.server.whose_data import set_up_services

if TYPE_CHECKING:
    from headgate.outbound.worker import Worker

__all__ = ["add_arguments", "run_worker"]

logger = logging.getLogger("headgate.outbound")

MAX_PORT = 65535


def add_arguments(parser: argparse.ArgumentParser, *, project: bool = False) -> None:
    """Add the options of `headgate worker`."""
    add_data_arguments(parser, project=project)
    add_redis_argument(parser, project=project)
    add_drain_argument(parser)
    parser.add_argument(
        "--metrics",
        type=_address,
        metavar="[HOST:]PORT",
        help="show what is measured there, for Prometheus; without a HOST, to this "
        "machine alone",
    )


def _address(text: str) -> Address:
    """Return where to show metrics; an argparse `type`."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    digits = port.isascii() and port.isdigit() and int(port) <= MAX_PORT
    if not digits or text.startswith(":"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address. Write a port, such as 9464, or an address of "
            "this machine and a port: 10.0.0.7:9464.",
        )
    return host or "127.0.0.1", int(port)


def run_worker(options: argparse.Namespace) -> int:
    """Carry out `headgate worker`; return the exit code."""
    if not options.project:
        logging.basicConfig(
            format="%(asctime)s %(levelname)s %(name)s %(message)s",
            level=logging.WARNING,
        )
    try:
        set_up_services(options, redis=getattr(options, "redis", None))
        from headgate.server.outbound_setup import check_can_call, told_of_worker

        check_can_call()
        code = _work(options, told_of_worker())
    except CannotStart as exc:
        print(f"headgate: {exc}", file=sys.stderr)
        return exc.code
    return code


def _work(options: argparse.Namespace, line: str) -> int:
    """Work, and show what is measured, if that is asked for."""
    workers: list[Worker] = []
    with (
        left_at_last() as ending,
        shown(options.metrics, lambda: workers[0] if workers else None) as url,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        print(line, flush=True)
        if url is not None:
            print(f"Metrics are at {url}", flush=True)
        try:
            return runner.run(_until_told(workers, options.drain_seconds))
        except SystemExit:  # of a task that a handler began
            logger.exception("outbound_worker_failed")
            return 1
        finally:
            ending()


async def _until_told(workers: list[Worker], stop_seconds: float) -> int:
    """Work until SIGTERM or SIGINT; a second one waits for no call any more."""
    working = asyncio.current_task()
    told = 0

    def stop() -> None:
        nonlocal told
        told += 1
        for each in workers:
            each.stop()
        if working is not None and (told > 1 or not workers):
            working.cancel()

    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop)
    try:
        await work(workers.append, stop_seconds=stop_seconds)
    except asyncio.CancelledError:
        if not told:
            raise
    return 0
