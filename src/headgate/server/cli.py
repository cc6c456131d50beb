"""The command line: one parser, one file per verb.

`manage.py headgate` has the same verbs: see `headgate.chat.management`. So what a
verb alone needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec

from headgate.server.exits import EXIT_INTERRUPTED, EXIT_PROJECT

__all__ = ["DESCRIPTION", "add_verbs", "build_parser", "main", "run"]

DESCRIPTION = "Real-time chat that holds under floods and disconnects."

# What the extra `server` installs, by the names under which it is imported.
_SERVER = frozenset(
    {
        "channels",
        "dj_database_url",
        "django",
        "httptools",
        "httpx2",
        "msgspec",
        "rich",
        "uvicorn",
        "uvloop",
        "websockets",
        "whitenoise",
    },
)
# What these print may be read by what ends before it has all, such as `head`.
_SHOWING = frozenset({"deliveries", "limits"})


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `headgate`."""
    parser = argparse.ArgumentParser(prog="headgate", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=_version())
    add_verbs(parser)
    return parser


def _version() -> str:
    """Return the version, and whether the message path was compiled at installation."""
    found = find_spec("headgate.live.room")
    is_source = found is None or (found.origin or ".py").endswith(".py")
    return version("headgate") + ("" if is_source else " (compiled)")


def add_verbs(
    parser: argparse.ArgumentParser, *, project: bool = False
) -> list[argparse.ArgumentParser]:
    """Add every verb and return their parsers.

    With `project` they are as they must be where the settings of one are in force.
    """
    from headgate.server import (
        deliveries_verb,
        limits_verb,
        new_epoch_verb,
        replay,
        table_import,
        tail,
        worker_verb,
    )
    from headgate.server.options import add_data_arguments, add_serve_arguments

    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")

    def add_verb(name: str, what: str) -> argparse.ArgumentParser:
        verb: argparse.ArgumentParser = verbs.add_parser(
            name, help=what, description=f"{what[0].upper()}{what[1:]}."
        )
        verb.set_defaults(usage=verb, project=project)
        return verb

    serving = add_verb(
        "serve",
        "serve this project, its chat included, with a fast server"
        if project
        else "run a chat server with a web page, or with --app a project of your own",
    )
    add_serve_arguments(serving, project=project)
    serving.set_defaults(run=_serve)

    replaying = add_verb(
        "replay",
        "play a recorded chat through a running server and count what is lost",
    )
    replay.add_arguments(replaying)
    replaying.set_defaults(run=_replay)

    tailing = add_verb("tail", "watch a room in the terminal, and write in it")
    tail.add_arguments(tailing)
    tailing.set_defaults(run=_tail)

    user = add_verb(
        "user",
        "make a user of this project" if project else "make an account on this server",
    )
    user.add_argument(
        "name",
        help="what they sign in with"
        if project
        else "shown to others, and used to sign in",
    )
    user.add_argument("--staff", action="store_true", help="may use /admin/")
    add_data_arguments(user, project=project)
    user.set_defaults(run=_user)

    importing = add_verb(
        "import",
        "bring the messages of a table of this project into the chat"
        if project
        else "bring a table of a project into the chat: for manage.py headgate only",
    )
    table_import.add_arguments(importing, project=project)
    importing.set_defaults(run=_import)

    limits = add_verb(
        "limits", "show what is limited and who is refused, or reset them"
    )
    limits_verb.add_arguments(limits, project=project)
    limits.set_defaults(run=_limits)

    worker = add_verb("worker", "make the calls that are owed to external services")
    worker_verb.add_arguments(worker, project=project)
    worker.set_defaults(run=worker_verb.run_worker)

    deliveries = add_verb(
        "deliveries",
        "show the calls that are owed to external services, or do them again",
    )
    deliveries_verb.add_arguments(deliveries, project=project)
    deliveries.set_defaults(run=deliveries_verb.run_deliveries)

    epoch = add_verb(
        "new-epoch",
        "after a backup was put back, have everybody load their rooms afresh",
    )
    add_data_arguments(epoch, project=project)
    epoch.set_defaults(run=new_epoch_verb.begin_new_epoch)
    return [
        *(serving, replaying, tailing, user, importing),
        *(limits, worker, deliveries, epoch),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        return run(build_parser().parse_args(arguments))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED  # before anything of ours could end orderly
    except ModuleNotFoundError as exc:  # what the parser itself needs
        return _not_there("headgate", exc)


def run(options: argparse.Namespace) -> int:
    """Run the verb of a parsed command line and return the exit code."""
    try:
        code: int = options.run(options)
        if options.verb in _SHOWING:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        if options.verb not in _SHOWING:
            raise
        _let_go_of_stdout()
        return 0
    except ModuleNotFoundError as exc:
        return _not_there(f"headgate {options.verb}", exc)
    return code


def _let_go_of_stdout() -> None:
    """Send what waits for stdout nowhere, so that nothing fails at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _not_there(what: str, exc: ModuleNotFoundError) -> int:
    """Say what to install; raise anew what has nothing to do with that."""
    name = (exc.name or "").partition(".")[0]
    if name not in _SERVER:
        raise exc
    print(
        f"headgate: `{what}` needs {name}, which is not installed. "
        "Install the server's packages: pip install 'headgate[server]'.",
        file=sys.stderr,
    )
    return EXIT_PROJECT


def _serve(options: argparse.Namespace) -> int:
    from headgate.server.options import ServeOptions
    from headgate.server.serve import serve

    return serve(ServeOptions.of(options))


def _replay(options: argparse.Namespace) -> int:
    from headgate.server import replay

    return replay.main(options)


def _tail(options: argparse.Namespace) -> int:
    from headgate.server import tail

    return tail.main(options)


def _user(options: argparse.Namespace) -> int:
    from headgate.server.options import DEFAULT_DATA, ServeOptions
    from headgate.server.users import make_user

    where = None
    if not options.project:
        data = options.data or DEFAULT_DATA
        where = ServeOptions(data=data, database=options.database)
    return make_user(where, options.name, staff=options.staff)


def _import(options: argparse.Namespace) -> int:
    from headgate.server.table_import import import_table

    return import_table(options)


def _limits(options: argparse.Namespace) -> int:
    from headgate.server.limits_verb import show_limits

    return show_limits(options)


if __name__ == "__main__":
    sys.exit(main())
