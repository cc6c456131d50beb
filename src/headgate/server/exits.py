"""Why a command ends, and with which exit code.

0 is for what was done, 1 for what was done with faults, 2 for a wrong command line.
"""

from __future__ import annotations

__all__ = [
    "EXIT_ADDRESS",
    "EXIT_DATA",
    "EXIT_DATABASE",
    "EXIT_FAULTS",
    "EXIT_INTERRUPTED",
    "EXIT_PROJECT",
    "EXIT_USAGE",
    "CannotStart",
]

EXIT_FAULTS = 1
EXIT_USAGE = 2
EXIT_ADDRESS = 3
EXIT_DATA = 4
EXIT_DATABASE = 5
EXIT_PROJECT = 6
EXIT_INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended


class CannotStart(Exception):  # noqa: N818 - told to a person, not handled
    """Why a command cannot go on, what to do, and with which code to exit."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code
