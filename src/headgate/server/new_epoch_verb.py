"""`headgate new-epoch`: after a restored backup, have everybody load rooms afresh."""

from __future__ import annotations

import argparse
import sys

from headgate.server.exits import CannotStart
from headgate.server.whose_data import set_up_rooms

__all__ = ["begin_new_epoch"]


def begin_new_epoch(options: argparse.Namespace) -> int:
    """Carry out `headgate new-epoch`; return the exit code."""
    try:
        set_up_rooms(options)
        from headgate.chat.epochs import begin_epochs
        from headgate.server.setup import telling_of_the_database

        with telling_of_the_database():
            count = begin_epochs()
    except CannotStart as exc:
        print(f"headgate: {exc}", file=sys.stderr)
        return exc.code
    print(
        f"{count} {'room has' if count == 1 else 'rooms have'} begun a new epoch. "
        "Whoever comes back loads them afresh."
    )
    return 0
