"""Ending all event streams when the server stops.

A server that stops waits for its answers to end, and these do not end by themselves.
`headgate serve` ends them with its connections (`headgate.chat.drain`); uvicorn tells
the application only after it has waited, so there its own word is looked for.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any
from weakref import WeakSet

from headgate.chat.engine import started_engine
from headgate.live.frames import Mode
from headgate.protocol.codes import Close

__all__ = ["end_streams", "end_with_server"]

LOOK_SECONDS = 0.25  # between looks whether uvicorn stops

_looking: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


def end_streams() -> None:
    """End all streams of the running loop, and open no more."""
    started = started_engine()
    if started is not None:
        started.draining = True
        for connection in list(started.node.connections):
            if connection.mode is Mode.STREAM:
                connection.end(Close.GOING_AWAY, None, after_what_waits=True)


def end_with_server() -> None:
    """Have the running loop's streams end when the uvicorn around it is told to stop.

    Also where gunicorn has started it. Does nothing on other servers, nor on our own,
    which ends them itself.
    """
    loop, server = asyncio.get_running_loop(), _uvicorn()
    if server is not None and loop not in _looking:
        _looking.add(loop)
        _look(loop, server)


def _look(loop: asyncio.AbstractEventLoop, server: Any) -> None:
    if server.should_exit:
        end_streams()
    elif started_engine() is not None:
        loop.call_later(LOOK_SECONDS, _look, loop, server)
        return
    _looking.discard(loop)


def _uvicorn() -> Any:
    """Return the uvicorn that serves us: the one that hears the signal to stop."""
    module = sys.modules.get("uvicorn.server")
    hears = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if module is None or not isinstance(hears, module.Server):
        return None
    return None if getattr(hears, "sends_away", False) else hears
