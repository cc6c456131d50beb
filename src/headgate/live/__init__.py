"""Delivery: hub, connections, outboxes, catch-up. asyncio; no Django."""

from __future__ import annotations
