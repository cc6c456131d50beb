"""Opening the relay that an installation has: through Redis, or in memory."""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from headgate.relay.memory import MemoryExchange, MemoryRelay
from headgate.relay.relay import Listener, Relay

__all__ = ["open_relay"]

# Those of this process, by namespace; they go with the last of their relays.
_exchanges: WeakValueDictionary[str, MemoryExchange] = WeakValueDictionary()
_making = threading.Lock()


def open_relay(url: str | None, namespace: str, listener: Listener) -> Relay:
    """Open a relay on the running loop.

    Args:
        url: Of a Redis, such as `redis://127.0.0.1:6379/0`, `rediss://…` or `unix://…`.
            None for a relay between the event loops of this process.
        namespace: Tells installations apart that share a server or a process.
        listener: Is told what comes.

    Raises:
        ValueError: The URL cannot be used.
        ImportError: The extra `redis` is not installed, and there is a URL.
    """
    if url is not None:
        from headgate.relay.redis import RedisRelay

        return RedisRelay(url, listener, namespace=namespace)
    with _making:
        exchange = _exchanges.get(namespace)
        if exchange is None:
            exchange = _exchanges[namespace] = MemoryExchange()
    return MemoryRelay(exchange, listener)
