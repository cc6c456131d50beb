"""The ASGI server around us: which versions will do, and what some cannot.

Where a server takes all that `send` is given, what a client does not read fills the
server's memory, and no bound of ours holds. Nothing in ASGI says what a server can do,
so those that cannot are known by name.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from importlib.metadata import PackageNotFoundError, version

from django.utils.version import get_version_tuple

from headgate.protocol.codes import Close

__all__ = ["OLDEST", "close_code", "outdated", "warn_without_flow_control"]

logger = logging.getLogger("headgate.server")

OLDEST = {"daphne": "4.2.2", "uvicorn": "0.52.1"}  # the first of each that will do

# What RFC 6455's registry has for a server that restarts, where it may be said.
_SERVICE_RESTART = 1012

# What Daphne refuses to close with, and what tells a client the same: that coming
# back would repeat it, and that it may come back.
_INSTEAD = {1009: Close.BAD_COMMANDS, 1011: Close.UNAVAILABLE}

_told: set[str] = set()  # once for each process is enough


def outdated() -> dict[str, str]:
    """Return the servers that are installed and too old, with their versions."""
    found = {}
    for name, oldest in OLDEST.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if _is_before(installed, oldest):
            found[name] = installed
    return found


def warn_without_flow_control() -> None:
    """Log a warning, once, where the server around us does not make `send` wait."""
    name = _without_flow_control()
    if name is None or name in _told:
        return
    _told.add(name)
    running = sys.modules[name].__version__
    logger.warning(
        "no_write_flow_control server=%s version=%s: what a client does not read "
        "fills this process's memory; see docs/reference/servers.md",
        name,
        running,
    )
    if _is_before(running, OLDEST[name]):
        logger.warning(
            "outdated_server server=%s version=%s wanted=%s: its known faults let "
            "strangers stop or fool this process; see docs/reference/servers.md",
            name,
            running,
            OLDEST[name],
        )


def close_code(code: int) -> int:
    """Return what to close with where `code` is meant and the server may forbid it."""
    if _is_daphne():
        return int(_INSTEAD.get(code, code))
    return _SERVICE_RESTART if code == Close.GOING_AWAY else code


def _without_flow_control() -> str | None:
    """Return the name of the server around us if it has no write flow control."""
    if _is_daphne():
        return "daphne"
    if "uvicorn.server" not in sys.modules:
        return None
    running = sys.modules["uvicorn"].__version__
    return "uvicorn" if _is_before(running, OLDEST["uvicorn"]) else None


def _is_daphne() -> bool:
    """Return whether Daphne serves us: whether the running loop is its own.

    That its module is loaded is not enough: a place in INSTALLED_APPS does that,
    whatever serves.
    """
    if "daphne.server" not in sys.modules:
        return False
    reactor = sys.modules.get("twisted.internet.reactor")
    its_loop = getattr(reactor, "_asyncioEventloop", None)
    return its_loop is asyncio.get_running_loop()


def _is_before(has: str, wanted: str) -> bool:
    return get_version_tuple(has) < get_version_tuple(wanted)
