"""What Headgate is measured beside."""

from __future__ import annotations
