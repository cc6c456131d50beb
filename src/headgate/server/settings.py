"""The Django settings of the stand-alone server, made from its options."""

from __future__ import annotations

import os
import socket
from typing import Any
from urllib.parse import urlsplit

from headgate.server.environment import settings_in
from headgate.server.options import ServeOptions

__all__ = ["build_settings"]

_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "headgate.chat",
    "headgate.outbound",
    "headgate.web",
    "ninja",
]
_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
_CONTEXT_PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]
# A machine that is gone, or cut off, sends nothing; by the system's own defaults a
# connection to it is waited on for a quarter of an hour where something was sent, and
# for two hours where an answer is waited for. Nobody is answered meanwhile. With these
# it is given up after about 11 s, and who waits is told `unavailable`.
_POSTGRESQL_OPTIONS = {
    "connect_timeout": 5,  # s
    "tcp_user_timeout": 10_000,  # ms, for what was sent to be acknowledged; Linux alone
    "keepalives_idle": 5,  # s without a sign, then it is asked for one
    "keepalives_interval": 2,  # s between asking again
    "keepalives_count": 3,  # so often in vain, then it is given up
}
_ANYWHERE = frozenset({"0.0.0.0", "::", ""})


def build_settings(options: ServeOptions, secret_key: str) -> dict[str, Any]:
    """Return what `django.conf.settings.configure` takes."""
    https = bool(options.origins) and all(
        origin.startswith("https:") for origin in options.origins
    )
    validators = ["MinimumLengthValidator", "CommonPasswordValidator"]
    return {
        "SECRET_KEY": secret_key,
        "DEBUG": False,
        "ALLOWED_HOSTS": _hosts(options),
        "CSRF_TRUSTED_ORIGINS": list(options.origins),
        "SESSION_COOKIE_SECURE": https,
        "CSRF_COOKIE_SECURE": https,
        "INSTALLED_APPS": _APPS,
        "MIDDLEWARE": _MIDDLEWARE,
        "ROOT_URLCONF": "headgate.server.urls",
        "TEMPLATES": [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": _CONTEXT_PROCESSORS},
            },
        ],
        "DATABASES": {"default": _database(options)},
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "AUTH_PASSWORD_VALIDATORS": [
            {"NAME": f"django.contrib.auth.password_validation.{name}"}
            for name in validators
        ],
        # Those that the page speaks; the browser says which of them.
        "LANGUAGE_CODE": "en",
        "LANGUAGES": [("de", "Deutsch"), ("en", "English")],
        "USE_TZ": True,
        "TIME_ZONE": "UTC",  # what the admin shows; Django's own is Chicago's
        "STATIC_URL": "/static/",
        # Files are served from the packages themselves: there is no collecting.
        "WHITENOISE_USE_FINDERS": True,
        "LOGIN_URL": "headgate_web:sign-in",
        "LOGIN_REDIRECT_URL": "headgate_web:home",
        "LOGOUT_REDIRECT_URL": "headgate_web:home",
        "HEADGATE": _chat_settings(options),
    }


def _chat_settings(options: ServeOptions) -> dict[str, Any]:
    """Return `HEADGATE`: what the command line says wins over the environment."""
    found = settings_in(os.environ)
    if options.guests is not None:
        found |= {"GUESTS": options.guests, "MAKE_ROOMS": options.guests}
    if options.limits:
        found["LIMITS"] = {**found.get("LIMITS", {}), **dict(options.limits)}
    if options.redis is not None:
        found["REDIS"] = options.redis
    if options.trusted_proxies is not None:
        found["TRUSTED_PROXIES"] = options.trusted_proxies
    if options.workers > 1:
        # The environment may know of more, such as those of another machine.
        found["PROCESSES"] = max(options.workers, found.get("PROCESSES", 1))
    return found


def _database(options: ServeOptions) -> dict[str, Any]:
    found = dict(options.database or {})
    if not found:
        found = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": options.data / "chat.sqlite3",
        }
    if found["ENGINE"].endswith(".sqlite3"):
        # IMMEDIATE: a transaction that began by reading could not begin to write
        # while another writes; waiting would not help it. FULL, SQLite's default,
        # is said here because the promise of durability hangs on it. A checkpoint
        # at 16 MiB of log instead of 4 writes pages once that change again and again;
        # and what SQLite notes to undo half a statement need not be in a file.
        found["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 10,
            "init_command": (
                "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000; "
                "PRAGMA temp_store = MEMORY"
            ),
        }
    else:
        # What the URL says wins.
        found["OPTIONS"] = _POSTGRESQL_OPTIONS | found.get("OPTIONS", {})
    found["CONN_MAX_AGE"] = 0
    return found


def _hosts(options: ServeOptions) -> list[str]:
    """Return the names by which this server may be called."""
    hosts = {"localhost", "127.0.0.1", "[::1]"}
    hosts |= {urlsplit(origin).hostname or "" for origin in options.origins}
    if options.host in _ANYWHERE:
        # Listening everywhere: this machine's own names and addresses are meant.
        name = socket.gethostname()
        hosts |= {name, socket.getfqdn()}
        try:
            found = socket.getaddrinfo(name, None)
        except OSError:
            found = []
        hosts |= {str(entry[4][0]) for entry in found}
    else:
        hosts.add(options.host)
    hosts.discard("")
    return sorted(f"[{h}]" if ":" in h and h[0] != "[" else h for h in hosts)
