"""Hints within one chat: between loops in memory, between processes through Redis.

Without Redis nothing goes from one process to another; there the log is compared.

What is carried is a hint of what the log has, and may be lost at any time; who relies
on it is told when to compare with the log. `RedisRelay`, in `headgate.relay.redis`,
needs the extra `redis`. Start reading at `relay`.
"""

from __future__ import annotations

from headgate.relay.memory import MemoryExchange, MemoryRelay
from headgate.relay.open_relay import open_relay
from headgate.relay.relay import Listener, Relay

__all__ = ["Listener", "MemoryExchange", "MemoryRelay", "Relay", "open_relay"]
