"""procrastinate: asynchronous workers on PostgreSQL."""

from __future__ import annotations

import os
from typing import Any

import httpx2
import procrastinate

from benchmarks.peers.queues.call import URL, headers_and_body

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCHMARK_DATABASE"])
)
_client: list[httpx2.AsyncClient] = []


def client() -> httpx2.AsyncClient:
    """Return the client that all tasks share, made in the worker's loop."""
    if not _client:
        limits = httpx2.Limits(max_connections=256, max_keepalive_connections=256)
        _client.append(httpx2.AsyncClient(timeout=15.0, trust_env=False, limits=limits))
    return _client[0]


@app.task(retry=procrastinate.RetryStrategy(max_attempts=12, exponential_wait=5))
async def call(**message: Any) -> None:
    """Make one call."""
    headers, body = headers_and_body(**message)
    (await client().post(URL, content=body, headers=headers)).raise_for_status()
