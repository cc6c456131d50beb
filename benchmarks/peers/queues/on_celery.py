"""Celery: at least once, as its documentation has it, with results left out."""

from __future__ import annotations

import os
from typing import Any

import httpx2
from celery import Celery

from benchmarks.peers.queues.call import URL, headers_and_body

app = Celery("calls", broker=os.environ.get("BENCHMARK_REDIS"))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
client = httpx2.Client(timeout=15.0, trust_env=False)  # kept, as all do


@app.task(autoretry_for=(httpx2.HTTPError,), retry_backoff=True, max_retries=12)  # type: ignore[untyped-decorator]
def call(**message: Any) -> None:
    """Make one call."""
    headers, body = headers_and_body(**message)
    client.post(URL, content=body, headers=headers).raise_for_status()
