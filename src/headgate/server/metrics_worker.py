"""The metrics of a `headgate worker`, on an address of its own.

A worker answers nobody else, so what answers here is Prometheus' own small server, in
threads of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from headgate.server.exits import EXIT_ADDRESS, CannotStart
from headgate.server.metrics_setup import check_extra

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from headgate.outbound.worker import Worker

__all__ = ["Address", "shown"]

Address = tuple[str, int]
PROCESS = "worker"  # the value of the label `process`


@contextlib.contextmanager
def shown(
    address: Address | None, worker: Callable[[], Worker | None]
) -> Iterator[str | None]:
    """Show what is measured, and give the URL; nothing where no address is given.

    Args:
        address: Host and port; 0 picks a free one.
        worker: Returns the worker of this process, or None.

    Raises:
        CannotStart: What makes metrics is not installed, or it cannot listen there.
    """
    if address is None:
        yield None
        return
    check_extra()
    from prometheus_client import start_http_server
    from prometheus_client.registry import Collector, CollectorRegistry

    from headgate.server.metrics_families import own_families
    from headgate.server.metrics_outbound import OutboundMetrics
    from headgate.server.metrics_text import metrics_of

    outbound = OutboundMetrics(of_rows=True, worker=worker)

    class Measured(Collector):
        """All that is measured, asked for anew each time."""

        def collect(self) -> Iterable[Metric]:
            found = [*outbound.families_here(), *own_families()]
            return metrics_of([(PROCESS, found)])

        def describe(self) -> Iterable[Metric]:
            return ()  # or it would be asked when it is registered

    registry = CollectorRegistry()
    registry.register(Measured())
    host, port = address
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as exc:
        raise CannotStart(
            f"Cannot show metrics at {host}:{port}: {exc}. Name another address with "
            "--metrics.",
            EXIT_ADDRESS,
        ) from exc
    try:
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
