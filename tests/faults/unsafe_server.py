"""The server with a database that does not sync: the control of test_fsync."""

from __future__ import annotations

import runpy
import sys
from typing import Any

from headgate.server import settings

_database = settings._database


def _unsafe(options: Any) -> dict[str, Any]:
    found = _database(options)
    found["OPTIONS"]["init_command"] = "PRAGMA synchronous = OFF"
    return found


def main() -> None:
    """Run as `python unsafe_server.py -m headgate …`."""
    settings._database = _unsafe
    del sys.argv[1]  # the -m
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
