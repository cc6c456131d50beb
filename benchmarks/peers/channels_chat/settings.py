"""Settings of the plain chat. Its data directory comes from the environment."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("CHANNELS_CHAT_DATA", "channels-chat-data"))

SECRET_KEY = "a benchmark on one's own machine keeps no secrets"
DEBUG = False
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["channels", "benchmarks.peers.channels_chat"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Django's own settings of SQLite, or the ones that Headgate uses; what is acknowledged
# has been synced with both.
_TUNED = {
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
}
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "chat.sqlite3",
        "OPTIONS": _TUNED if os.environ.get("CHANNELS_CHAT_TUNED") else {},
    },
}
# The layer of one process, or with CHANNELS_CHAT_REDIS, a URL, the one of several.
_REDIS = os.environ.get("CHANNELS_CHAT_REDIS")
CHANNEL_LAYERS: dict[str, dict[str, object]] = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        # Each consumer waits for its messages on a connection of its own, 5 s at a
        # time. redis-py, from 8 on, waits no longer for any answer, and has a bound on
        # connections that 1,000 consumers are beyond.
        "CONFIG": {
            "hosts": [
                {
                    "address": _REDIS,
                    "socket_timeout": None,
                    "socket_connect_timeout": None,
                    "max_connections": 100_000,
                },
            ],
        },
    }
    if _REDIS
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"},
}
ASGI_APPLICATION = "benchmarks.peers.channels_chat.asgi.application"
