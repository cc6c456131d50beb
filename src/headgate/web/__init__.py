"""The Django app with the chat page."""

from __future__ import annotations
