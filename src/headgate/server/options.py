"""What `headgate serve` was asked for, checked."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headgate.limits.rates import Rate

__all__ = [
    "DEFAULT_DATA",
    "POLICIES",
    "ServeOptions",
    "add_data_arguments",
    "add_serve_arguments",
]

# The policies of the design; a name that is none of them is a slip of the pen.
POLICIES = (
    "command",
    "connect",
    "connect.address",
    "external",
    "history",
    "push",
    "send",
    "send.all",
    "slow_mode",
    "typing",
)

_MAX_PORT = 65535
DEFAULT_DATA = Path("headgate-data")
_is_app = re.compile(r"[^\W\d]\w*(\.\w+)*:[^\W\d]\w*(\.\w+)*").fullmatch

# Options that make the stand-alone server's settings. A project has settings of its
# own, and they rule: where one of these is given, it says what to set instead.
_SETTINGS = {
    "--data": "set DATABASES and SECRET_KEY",
    "--database": "set DATABASES",
    "--guests": "set HEADGATE = {'GUESTS': …, 'MAKE_ROOMS': …}",
    "--no-guests": "set HEADGATE = {'GUESTS': …, 'MAKE_ROOMS': …}",
    "--origin": "set ALLOWED_HOSTS and CSRF_TRUSTED_ORIGINS",
    "--limit": "limits are not built there yet",
}


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The options of `headgate serve`.

    `app` is a project's application as MODULE:NAME. With `project` the settings of a
    project are in force already, and None stands for its ASGI_APPLICATION.
    """

    data: Path = DEFAULT_DATA
    database: dict[str, Any] | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    guests: bool | None = None  # as the environment says
    demo: bool = False
    origins: tuple[str, ...] = ()
    limits: tuple[tuple[str, Rate | None], ...] = ()
    app: str | None = None
    project: bool = False

    @classmethod
    def of(cls, given: argparse.Namespace) -> ServeOptions:
        """Return the options of a parsed command line.

        What does not go together ends the program with exit code 2.
        """
        if given.app is not None:
            for option in _SETTINGS:
                if getattr(given, option.lstrip("-"), None) is not None:
                    given.usage.error(_settings_rule(option))
        return cls(
            data=given.data or DEFAULT_DATA,
            database=given.database,
            host=given.host,
            port=given.port,
            guests=given.guests,
            demo=given.demo,
            origins=tuple(given.origin or ()),
            limits=tuple(given.limit or ()),
            app=given.app,
            project=given.project,
        )


def _settings_rule(option: str) -> str:
    return f"argument {option}: a project's settings rule: {_SETTINGS[option]}."


class _Ruled(argparse.Action):
    """An option that a project's settings stand for: whoever gives it is told."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        del namespace, values
        parser.error(_settings_rule(option_string or self.option_strings[0]))


def _add_ruled(parser: argparse.ArgumentParser, *options: str) -> None:
    for option in options:
        hidden = argparse.SUPPRESS
        parser.add_argument(option, nargs="?", action=_Ruled, default=None, help=hidden)


def add_data_arguments(
    parser: argparse.ArgumentParser, *, project: bool = False
) -> None:
    """Add what says where the data is; in a project its settings do."""
    if project:
        _add_ruled(parser, "--data", "--database")
        return
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help=f"folder of the SQLite file and the secret key (default: {DEFAULT_DATA})",
    )
    parser.add_argument(
        "--database",
        type=_database,
        metavar="URL",
        help="postgres://user:password@host/name instead of the SQLite file",
    )


def add_serve_arguments(
    parser: argparse.ArgumentParser, *, project: bool = False
) -> None:
    """Add the options of `headgate serve`, or of `manage.py headgate serve`."""
    add_data_arguments(parser, project=project)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=_port, default=8000, help="0 picks a free one (%(default)s)")
    add("--redis", type=_redis, metavar="URL", help="not built yet")
    add("--workers", type=_workers, default=1, metavar="N", help="only 1 is built yet")
    if project:
        _add_ruled(parser, "--guests", "--no-guests", "--origin", "--limit")
    else:
        _add_settings_arguments(parser)
    add(
        "--demo",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="make the rooms general, help and random",
    )
    add(
        "--trusted-proxies", type=_proxies, default=0, metavar="N", help="not built yet"
    )
    add(
        "--app",
        type=_app,
        metavar="MODULE:NAME",
        help="an ASGI application to serve instead of the settings' ASGI_APPLICATION"
        if project
        else "a project's ASGI application to serve, such as mysite.asgi:application",
    )


def _add_settings_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--guests",
        action=argparse.BooleanOptionalAction,
        help="let anyone watch and write in public rooms, and make rooms by joining",
    )
    add(
        "--origin",
        type=_origin,
        action="append",
        metavar="URL",
        help="where browsers reach this server, such as https://chat.example.com",
    )
    add(
        "--limit",
        type=_limit,
        action="append",
        metavar="NAME=RATE|off",
        help="a policy's rate, such as send=2/s:10 (checked; not enforced yet)",
    )


# Each of these is an argparse `type`: an ArgumentTypeError ends with exit code 2.


def _database(url: str) -> dict[str, Any]:
    import dj_database_url

    try:
        found = dict(dj_database_url.parse(url))
    except Exception as exc:
        # The library has several kinds of errors, and shows no password in none.
        raise argparse.ArgumentTypeError(
            "is no database URL. Write postgres://user:password@host:5432/name "
            "or sqlite:///path/to/file.",
        ) from exc
    engine, name = str(found.get("ENGINE", "")), found.get("NAME")
    if not engine.endswith((".sqlite3", ".postgresql")) or not name:
        raise argparse.ArgumentTypeError(
            "names no database that Headgate knows. Write "
            "postgres://user:password@host:5432/name or sqlite:///path/to/file.",
        )
    if engine.endswith(".sqlite3") and (name == ":memory:" or found.get("HOST")):
        # Memory is another database for each thread; `sqlite://a/b` would be b.
        raise argparse.ArgumentTypeError(
            "names no file. Write three slashes before a path from here, "
            "sqlite:///chat.sqlite3, and four before one from the root, "
            "sqlite:////srv/chat.sqlite3.",
        )
    return found


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to {_MAX_PORT}.")
    return int(text)


def _origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no origin. Write scheme and host, and the port if it is not "
            "the usual one: https://chat.example.com or http://192.0.2.7:8000.",
        )
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} has more than scheme, host and port; an origin has only those.",
        )
    return f"{parts.scheme}://{parts.netloc}".lower()


def _limit(text: str) -> tuple[str, Rate | None]:
    name, equals, rate = text.partition("=")
    if not equals or name not in POLICIES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no limit. Write NAME=RATE or NAME=off, such as send=2/s:10; "
            f"names are {', '.join(POLICIES)}.",
        )
    if rate == "off":
        return name, None
    try:
        return name, Rate.parse(rate)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc


def _workers(text: str) -> int:
    if text != "1":
        raise argparse.ArgumentTypeError("only 1 process is built yet.")
    return 1


def _proxies(text: str) -> int:
    if text != "0":
        raise argparse.ArgumentTypeError(
            "addresses behind proxies are not used for anything yet; leave it at 0.",
        )
    return 0


def _redis(_text: str) -> str:
    raise argparse.ArgumentTypeError(
        "Redis is not built yet; one process needs none.",
    )


def _app(text: str) -> str:
    if not _is_app(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no MODULE:NAME. Write it with dots and one colon: "
            "mysite.asgi:application.",
        )
    return text
