"""A chat as projects have had one before: an app with the tables to import."""

from __future__ import annotations
