"""Calls to external services: owed with a message, throttled, retried.

Reading order: `models`, `owing` (what a commit owes), `ledger` (what is leased and
what came of it), `worker`, then the senders.
"""

from __future__ import annotations

__all__: list[str] = []
