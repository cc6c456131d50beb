"""The end of a process that ran code of the project, whatever of that hangs.

Python waits for the threads of executors before it ends, and the event loop for its
own. One that hangs in the project's code would keep the process for ever.
"""

from __future__ import annotations

import concurrent.futures.thread
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from headgate.server.exits import EXIT_FAULTS

__all__ = ["left_at_last"]

HANGING_SECONDS = 2.0  # for threads to end
CLOSING_SECONDS = 10.0  # for the event loop to close, which waits for threads, too
LOOK_SECONDS = 0.02
_OF_EXECUTORS = concurrent.futures.thread.__file__


@contextlib.contextmanager
def left_at_last() -> Iterator[Callable[[], None]]:
    """Have the process end here where something hangs after the block.

    Yields what is to be called when the work is done, before the event loop is closed.
    """
    last = threading.Timer(CLOSING_SECONDS, _leave)
    last.daemon = True
    try:
        yield last.start
    finally:
        if last.is_alive() and _hangs():
            _leave()
        last.cancel()


def _hangs() -> bool:
    """Return whether a thread of an executor is still at work, after a moment."""
    until = time.monotonic() + HANGING_SECONDS
    while _is_any_at_work():
        if time.monotonic() > until:
            return True
        time.sleep(LOOK_SECONDS)
    return False


def _is_any_at_work() -> bool:
    return any(map(_is_at_work, sys._current_frames().values()))  # noqa: SLF001 - nothing else tells


def _is_at_work(top: FrameType) -> bool:
    """Return whether a thread runs what an executor was given."""
    frame: FrameType | None = top
    while frame is not None:
        if frame.f_code.co_filename == _OF_EXECUTORS:
            return frame is not top  # the executor's own loop waits for work
        frame = frame.f_back
    return False


def _leave() -> None:
    print(
        "headgate: code of the project hangs in a thread, and was cut off; the log "
        "line handler_hangs says where.",
        file=sys.stderr,
        flush=True,
    )
    logging.shutdown()
    os._exit(EXIT_FAULTS)
