"""What the stand-alone server was started with, for other commands on its data.

`headgate limits` has to look where the server counts, and to show the limits that it
was given by options and by its environment. The file is for this user alone: the URL
of a Redis may have a password in it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["note_served", "served_settings"]

_NAME = "served.json"
_KEYS = ("DRY_RUN", "LIMITS", "PROCESSES", "REDIS", "THROTTLING_ENABLED")


def note_served(data: Path, settings: Mapping[str, Any]) -> None:
    """Keep what `HEADGATE` says of limits; the server that starts last is shown.

    Raises:
        OSError: The data folder cannot be written to.
    """
    unfinished = data / f".{_NAME}.{os.getpid()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(unfinished, flags, 0o600), "w", encoding="utf-8") as file:
        json.dump({key: settings[key] for key in _KEYS if key in settings}, file)
    unfinished.replace(data / _NAME)


def served_settings(data: Path) -> dict[str, Any]:
    """Return those keys of `HEADGATE`; none where no server was started here."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((data / _NAME).read_bytes())
        if isinstance(found, dict):
            return {key: found[key] for key in _KEYS if key in found}
    return {}
