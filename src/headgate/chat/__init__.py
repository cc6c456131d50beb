"""The Django app: models, journal, actions, history, permissions, consumer."""

from __future__ import annotations
