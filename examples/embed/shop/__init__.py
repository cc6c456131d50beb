"""A shop that has a chat with each order."""

from __future__ import annotations

from shop.celery import app as celery_app

__all__ = ["celery_app"]
