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
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
ASGI_APPLICATION = "benchmarks.peers.channels_chat.asgi.application"
