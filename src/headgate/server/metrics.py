"""`/metrics`: what all processes of a server measure, for Prometheus.

Nothing of Prometheus is in what serves people: numbers are read when somebody asks, and
in a worker every other second, for the others (`headgate.server.metrics_reports`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from headgate.chat.engine import Engine, engine, started_engine
from headgate.chat.measured import look
from headgate.server.metrics_access import why_refused
from headgate.server.metrics_families import families
from headgate.server.metrics_loop_lag import LoopLag
from headgate.server.metrics_outbound import OutboundMetrics
from headgate.server.metrics_reports import WRITE_SECONDS, Report, ReportFolder
from headgate.server.metrics_text import text_of

__all__ = ["Metrics", "with_metrics"]

logger = logging.getLogger("headgate.metrics")

PATH = "/metrics"
_TEXT = "text/plain; charset=utf-8"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[..., Awaitable[None]]


class Metrics:
    """The metrics of one process, and those of the others that serve with it.

    Args:
        number: The worker's; 1 where one process serves alone.
        folder: Where workers tell each other; None where there is one process.
        outbound: What tells of services; None where their app is not installed.
    """

    def __init__(
        self,
        number: int,
        folder: Path | None,
        outbound: OutboundMetrics | None = None,
    ) -> None:
        self._number = number
        self._outbound = outbound
        self._folder = None if folder is None else ReportFolder(folder)
        self._pid = os.getpid()
        self._started_at = 0.0
        self._loop_lag: LoopLag | None = None
        self._writing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to measure; called on the event loop, which ends it with itself."""
        engine()  # all is told from the start, before the first connection
        self._started_at = time.time()
        self._loop_lag = LoopLag()
        if self._folder is not None:
            self._writing = asyncio.create_task(self._write(self._folder))

    async def _report(self, running: Engine) -> Report:
        if self._loop_lag is None:
            raise RuntimeError("metrics were not started")
        seen = await look(running)
        found = families(seen, self._loop_lag.seen)
        if self._outbound is not None:
            found += await self._outbound.families(running)
        return Report(self._number, self._pid, self._started_at, time.time(), found)

    async def _write(self, folder: ReportFolder) -> None:
        """Tell the other processes, again and again."""
        failed = False
        try:
            while (running := started_engine()) is not None:
                try:
                    report = await self._report(running)
                    await asyncio.to_thread(folder.write, report)
                except Exception as exc:  # whatever it is, the next one may be written
                    if not failed:
                        logger.warning(
                            "metrics_not_written error=%r", exc, exc_info=exc
                        )
                    failed = True
                else:
                    failed = False
                await asyncio.sleep(WRITE_SECONDS)
        finally:
            folder.remove(self._pid)

    # --- answering ---

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await receive()
        running = started_engine()
        refusal = why_refused(scope)
        if scope["method"] not in {"GET", "HEAD"}:
            await _answer(send, 405, b"GET it.\n", _TEXT)
        elif refusal is not None:
            await _answer(send, 403, f"{refusal}\n".encode(), _TEXT)
        elif running is None:
            await _answer(send, 503, b"The server has ended.\n", _TEXT)
        else:
            accept = b",".join(
                value for name, value in scope["headers"] if name == b"accept"
            )
            await _answer(send, 200, *await self._text(running, accept))

    async def _text(self, running: Engine, accept: bytes) -> tuple[bytes, str]:
        reports = [await self._report(running)]
        if self._folder is not None:
            reports += await asyncio.to_thread(self._folder.others, self._pid)
        return text_of(reports, accept.decode("latin-1"))


async def _answer(send: Send, status: int, body: bytes, content_type: str) -> None:
    headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    start = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})


def with_metrics(application: Application, metrics: Metrics) -> Application:
    """Return the application with `/metrics` before it."""

    async def measured(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH:
            await metrics(scope, receive, send)
        else:
            await application(scope, receive, send)

    return measured
