"""What the app adds to a project's `manage.py`."""

from __future__ import annotations
