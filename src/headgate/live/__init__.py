"""Delivery: hub, connections, outboxes, catch-up. asyncio; no Django.

May import `protocol`. What it needs from above it declares in `ports`. Start
reading at `node`.
"""

from __future__ import annotations
