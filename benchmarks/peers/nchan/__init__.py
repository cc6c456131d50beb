"""Nchan: nginx as a publish and subscribe server, configured and not programmed."""

from __future__ import annotations
