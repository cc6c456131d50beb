"""The stand-alone server and the command line."""

from __future__ import annotations
