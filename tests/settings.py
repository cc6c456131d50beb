"""Django settings of the test suite; the database by HEADGATE_TEST_DATABASE."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import gettempdir

import dj_database_url

SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "headgate.chat",
    "headgate.outbound",
    "headgate.web",
    "knox",
    "ninja",
    "rest_framework",
    "rest_framework.authtoken",
    "tests.old_chat",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
ROOT_URLCONF = "headgate.server.urls"
STATIC_URL = "static/"
SIMPLE_JWT = {"SIGNING_KEY": "only for tests, and long enough for SHA-256"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

_URL = os.environ.get("HEADGATE_TEST_DATABASE", "")
_FILE = Path(gettempdir()) / f"headgate-test-{os.getpid()}.sqlite3"
DATABASES = {
    "default": dj_database_url.parse(_URL)
    if _URL
    else {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _FILE,
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
        # A file, not memory: the journal's thread has a connection of its own.
        "TEST": {"NAME": _FILE},
    },
}
