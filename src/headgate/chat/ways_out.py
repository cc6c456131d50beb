"""The ways out to a client: a server's own where it offers one, else ASGI's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from channels.sessions import InstanceSessionWrapper

from headgate.chat.asgi_server import warn_without_flow_control
from headgate.live.asgi_sink import AsgiSink
from headgate.live.ports import Sink

__all__ = ["sink_of"]


def sink_of(ready_frames: Callable[[Any], Sink | None] | None, send: Any) -> Sink:
    """Return the way out: what the server makes, or else one through ASGI `send`.

    Args:
        ready_frames: What the server offers, if it does. It returns None for a `send`
            that is not its own: middleware is to see what goes out.
        send: What the consumer was given.
    """
    if ready_frames is not None:
        sink = ready_frames(_past_sessions(send))
        if sink is not None:
            return sink
    warn_without_flow_control()
    return AsgiSink(send)


def _past_sessions(send: Any) -> Any:
    """Return the `send` behind those of Channels' `SessionMiddleware`.

    It is in each `AuthMiddlewareStack`, and passes all of a WebSocket on as it is: only
    answers over HTTP can set a cookie.
    """
    while type(getattr(send, "__self__", None)) is InstanceSessionWrapper:
        send = send.__self__.real_send
    return send
