"""How its table came to be."""

from __future__ import annotations
