"""The worker's thread: it begins anew after a fault, and ends when it is told."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from headgate.server import outbound_thread
from headgate.server.outbound_thread import OutboundThread


class FakeWorker:
    """Runs until it is stopped, as a worker does."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def stop(self) -> None:
        self.stopped.set()


@pytest.mark.parametrize("fault", [RuntimeError("a fault of ours"), SystemExit(3)])
def test_it_begins_anew_after_a_fault_and_ends(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: BaseException,
) -> None:
    runs: list[float] = []
    worker = FakeWorker()
    began = threading.Event()

    async def fails() -> None:
        raise fault

    async def work(made: Callable[[Any], None], **given: float) -> None:
        runs.append(given["stop_seconds"])
        if len(runs) == 1:
            await asyncio.gather(fails())
        made(worker)
        began.set()
        worker.stopped.wait(20)

    monkeypatch.setattr(outbound_thread, "work", work)
    monkeypatch.setattr(outbound_thread, "AGAIN_SECONDS", 0.01)
    thread = OutboundThread(stop_seconds=7)
    assert thread.join(0)  # it never began

    with caplog.at_level(logging.ERROR, "headgate.outbound"):
        thread.start()
        assert began.wait(20)
    assert thread.worker is worker
    assert not thread.join(0)
    thread.stop()

    assert thread.join(20)
    assert runs == [7, 7]
    assert thread.worker is None
    assert [r.message for r in caplog.records] == ["outbound_worker_failed"]


def test_one_that_is_stopped_before_it_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = FakeWorker()
    go_on = threading.Event()

    async def work(made: Callable[[Any], None], **given: float) -> None:
        go_on.wait(20)
        made(worker)
        assert worker.stopped.is_set()  # told at once

    monkeypatch.setattr(outbound_thread, "work", work)
    thread = OutboundThread(stop_seconds=7)
    thread.start()
    thread.stop()
    go_on.set()

    assert thread.join(20)
    assert worker.stopped.is_set()


def test_it_does_not_wait_out_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()

    async def work(made: Callable[[Any], None], **given: float) -> None:
        failed.set()
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(outbound_thread, "work", work)
    monkeypatch.setattr(outbound_thread, "AGAIN_SECONDS", 60.0)
    thread = OutboundThread(stop_seconds=7)
    thread.start()
    assert failed.wait(20)
    began = time.monotonic()
    thread.stop()
    assert thread.join(20)
    assert time.monotonic() - began < 20
