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
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA / "chat.sqlite3",
        "OPTIONS": {
            # As durable as Headgate: what is acknowledged has been synced.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
        },
    },
}
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
ASGI_APPLICATION = "benchmarks.peers.channels_chat.asgi.application"
