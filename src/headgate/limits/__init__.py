"""Rates as people write them. Needs nothing."""

from __future__ import annotations
