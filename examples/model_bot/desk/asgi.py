"""The project's ASGI application, with the chat beside it."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk.settings")
django_application = get_asgi_application()

from headgate.asgi import with_chat  # noqa: E402 - Django's apps must be ready

application = with_chat(django_application)
