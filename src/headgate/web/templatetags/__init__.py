"""The template tags of the page."""

from __future__ import annotations
