"""The relay through Redis or Valkey: pub/sub. Needs the extra `redis`."""

from __future__ import annotations

from headgate.relay.redis.redis_relay import RedisRelay

__all__ = ["RedisRelay"]
