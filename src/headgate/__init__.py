"""Real-time chat for Django that holds under floods and disconnects."""

from __future__ import annotations
