"""Throttling for other people's code, on the limiter that the chat uses as well."""

from __future__ import annotations

__all__: list[str] = []
