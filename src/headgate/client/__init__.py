"""The Python client."""

from __future__ import annotations
