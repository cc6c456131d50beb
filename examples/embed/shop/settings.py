"""A shop as people have them, and what Headgate adds to it (marked with "chat:")."""

from __future__ import annotations

import os
from pathlib import Path

import dj_database_url

BASE_DIR = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SHOP_DATA", BASE_DIR))
REDIS_URL = os.environ.get("SHOP_REDIS_URL", "redis://127.0.0.1:6379")

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "not for production")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
# nginx ends TLS, and serves the shop under /sub/.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
USE_X_FORWARDED_HOST = True
FORCE_SCRIPT_NAME = "/sub"
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "accounts",
    "chat",  # the shop's own app of that name, which was there before
    "ninja",  # chat: the API's documentation page
    "headgate.chat",  # chat
    "headgate.web",  # chat: the page
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "accounts.middleware.SeenMiddleware",  # an old, synchronous one
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "shop.urls"
ASGI_APPLICATION = "shop.asgi.application"
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

DATABASES = {
    "default": dj_database_url.parse(
        os.environ.get("SHOP_DATABASE_URL", f"sqlite:///{DATA / 'shop.sqlite3'}"),
    ),
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # chat: a transaction that began by reading can then still write.
    DATABASES["default"]["OPTIONS"] = {"transaction_mode": "IMMEDIATE", "timeout": 20}

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "headgate_web:sign-in"
LOGIN_REDIRECT_URL = "headgate_web:home"

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = DATA / "static"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
    },
}
CELERY_BROKER_URL = REDIS_URL

# chat: all that the shop has to say.
HEADGATE = {
    "AUTHENTICATORS": ["rest_framework.authentication.TokenAuthentication"],
    "PROFILES": "accounts.profiles.profiles",
    "TICKET_CACHE": "default",  # two worker processes share it
    "REDIS": REDIS_URL,  # and count limits together
    "PROCESSES": 2,
    "TRUSTED_PROXIES": 1,  # nginx
    "ALLOWED_ORIGINS": os.environ.get("SHOP_ORIGINS", "https://localhost").split(","),
}
