"""The ways out to a client: a server's own where it offers one, else ASGI's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headgate.chat.asgi_server import warn_without_flow_control
from headgate.live.asgi_sink import AsgiSink
from headgate.live.ports import Sink

__all__ = ["sink_of"]


def sink_of(ready_frames: Callable[[], Sink] | None, send: Any) -> Sink:
    """Return the way out: what the server makes, or else one through ASGI `send`."""
    if ready_frames is not None:
        return ready_frames()
    warn_without_flow_control()
    return AsgiSink(send)
