"""The command line: one parser, one file per verb."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

__all__ = ["build_parser", "main"]

EXIT_INTERRUPTED = 130  # what shells say of a program that Ctrl-C ended


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `headgate`."""
    from headgate.server import replay
    from headgate.server.options import add_data_arguments, add_serve_arguments

    parser = argparse.ArgumentParser(
        prog="headgate",
        description="Real-time chat that holds under floods and disconnects.",
    )
    parser.add_argument("--version", action="version", version=version("headgate"))
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    serving = verbs.add_parser("serve", help="run a chat server with a web page")
    add_serve_arguments(serving)
    serving.set_defaults(run=_serve)

    replaying = verbs.add_parser(
        "replay",
        help="play a recorded chat through a running server and count what is lost",
    )
    replay.add_arguments(replaying)
    replaying.set_defaults(run=replay.main)

    user = verbs.add_parser("user", help="make an account on this server")
    user.add_argument("name", help="shown to others, and used to sign in")
    user.add_argument("--staff", action="store_true", help="may use /admin/")
    add_data_arguments(user)
    user.set_defaults(run=_user)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        options = build_parser().parse_args(arguments)
        code: int = options.run(options)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED  # before anything of ours could end orderly
    return code


def _serve(options: argparse.Namespace) -> int:
    from headgate.server.options import ServeOptions
    from headgate.server.serve import serve

    return serve(ServeOptions.of(options))


def _user(options: argparse.Namespace) -> int:
    from headgate.server.options import ServeOptions
    from headgate.server.users import make_user

    where = ServeOptions(data=options.data, database=options.database)
    return make_user(where, options.name, staff=options.staff)


if __name__ == "__main__":
    sys.exit(main())
