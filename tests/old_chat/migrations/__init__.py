"""Migrations of the old chat."""

from __future__ import annotations
