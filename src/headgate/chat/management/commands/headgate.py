"""`manage.py headgate VERB`: the command line, with the project's settings in force.

The verbs and their parser are those of `headgate.server.cli`: the one import that
points up, since Django looks for commands in installed apps only.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from importlib.metadata import version
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from headgate.server import cli

__all__ = ["Command"]

# Django's own options, which people write at the end of a line.
_FLAGS = ("--traceback", "--no-color", "--force-color", "--skip-checks")
_VALUES = ("--settings", "--pythonpath")


class Command(BaseCommand):
    """Every verb of `headgate`."""

    help = cli.DESCRIPTION

    def get_version(self) -> str:
        """Return the version of Headgate, not Django's."""
        return version("headgate")

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the verbs; each takes Django's own options as well."""
        for verb in cli.add_verbs(parser, project=True):
            quiet: dict[str, Any] = {
                "default": argparse.SUPPRESS,
                "help": argparse.SUPPRESS,
            }
            for flag in _FLAGS:
                verb.add_argument(flag, action="store_true", **quiet)
            for name in _VALUES:
                verb.add_argument(name, **quiet)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run a verb; any exit code but 0 ends the program with it."""
        with (
            contextlib.redirect_stdout(options.get("stdout") or sys.stdout),
            contextlib.redirect_stderr(options.get("stderr") or sys.stderr),
        ):
            code = cli.run(argparse.Namespace(**options))
        if code:
            sys.exit(code)
