"""Rates as people write them. Needs nothing, imports no Django."""

from __future__ import annotations

from headgate.limits.rates import Rate

__all__ = ["Rate"]
