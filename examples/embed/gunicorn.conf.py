"""gunicorn with two uvicorn workers: `gunicorn -c gunicorn.conf.py shop.asgi`."""

from __future__ import annotations

wsgi_app = "shop.asgi:application"
worker_class = "uvicorn_worker.UvicornWorker"
workers = 2
graceful_timeout = 10  # seconds for connections to end by themselves
