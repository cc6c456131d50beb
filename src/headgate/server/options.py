"""What `headgate serve` was asked for, checked."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "DEFAULT_DATA",
    "ServeOptions",
    "add_data_arguments",
    "add_drain_argument",
    "add_redis_argument",
    "add_serve_arguments",
]

_MAX_PORT = 65535
_MOST_PROXIES = 20
_MOST_WORKERS = 64
_LONGEST_DRAIN_SECONDS = 3600.0
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
    "--limit": "set HEADGATE = {'LIMITS': {…}}",
    "--redis": "set HEADGATE = {'REDIS': …}",
    "--trusted-proxies": "set HEADGATE = {'TRUSTED_PROXIES': …}",
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
    limits: tuple[tuple[str, str], ...] = ()
    redis: str | None = None
    trusted_proxies: int | None = None  # as the environment says
    workers: int = 1
    drain_seconds: float = 30.0
    metrics: bool = False
    worker: bool | None = None  # on SQLite
    app: str | None = None
    project: bool = False

    @classmethod
    def of(cls, given: argparse.Namespace) -> ServeOptions:
        """Return the options of a parsed command line.

        What does not go together ends the program with exit code 2.
        """
        if given.app is not None:
            for option in _SETTINGS:
                if (
                    getattr(given, option.lstrip("-").replace("-", "_"), None)
                    is not None
                ):
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
            redis=given.redis,
            trusted_proxies=given.trusted_proxies,
            workers=given.workers,
            drain_seconds=given.drain_seconds,
            metrics=given.metrics,
            worker=given.worker,
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


def add_drain_argument(parser: argparse.ArgumentParser) -> None:
    """Add what says how long an end may take."""
    parser.add_argument(
        "--drain-seconds",
        type=_drain_seconds,
        default=30.0,
        metavar="S",
        help="how long the end may take, when it is told to stop (%(default)g)",
    )


def add_redis_argument(
    parser: argparse.ArgumentParser, *, project: bool = False
) -> None:
    """Add what says where limits are counted; in a project its settings do."""
    if project:
        _add_ruled(parser, "--redis")
        return
    parser.add_argument(
        "--redis",
        type=_redis,
        metavar="URL",
        help="redis://host:6379/0, where limits are counted for several servers",
    )


def add_serve_arguments(
    parser: argparse.ArgumentParser, *, project: bool = False
) -> None:
    """Add the options of `headgate serve`, or of `manage.py headgate serve`."""
    add_data_arguments(parser, project=project)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=_port, default=8000, help="0 picks a free one (%(default)s)")
    add(
        "--workers",
        type=_workers,
        default=1,
        metavar="N",
        help="processes that serve, on one socket (%(default)s)",
    )
    add_drain_argument(parser)
    add(
        "--worker",
        action=argparse.BooleanOptionalAction,
        help="call external services from here; by default on SQLite only",
    )
    add(
        "--metrics",
        action="store_true",
        help="show what is measured at /metrics, for Prometheus, to this network",
    )
    if project:
        _add_ruled(parser, "--guests", "--no-guests", "--origin", "--limit")
        _add_ruled(parser, "--trusted-proxies")
    else:
        _add_settings_arguments(parser)
    add_redis_argument(parser, project=project)
    add(
        "--demo",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="make the rooms general, help and random",
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
        help="a policy's rate, such as send=30/min:5 or typing=off",
    )
    add(
        "--trusted-proxies",
        type=_proxies,
        metavar="N",
        help="how many proxies of your own stand before the server (0)",
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


def _limit(text: str) -> tuple[str, str]:
    # Imported here: what it needs of Django is not there without the extra `server`.
    from headgate.chat.policies import policy_mistake

    name, equals, rate = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no limit. Write NAME=RATE or NAME=off, such as "
            "send=30/min:5.",
        )
    mistake = policy_mistake(name, rate)
    if mistake is not None:
        raise argparse.ArgumentTypeError(mistake)
    return name, rate


def _workers(text: str) -> int:
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_WORKERS))
    if not digits or not 1 <= int(text) <= _MOST_WORKERS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of processes from 1 to {_MOST_WORKERS}.",
        )
    if int(text) > 1 and sys.platform == "win32":
        raise argparse.ArgumentTypeError("several processes need a Unix; give 1.")
    return int(text)


def _drain_seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 1.0 <= found <= _LONGEST_DRAIN_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds from 1 to {_LONGEST_DRAIN_SECONDS:g}.",
        )
    return found


def _proxies(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > _MOST_PROXIES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of proxies from 0 to {_MOST_PROXIES}.",
        )
    return int(text)


def _redis(url: str) -> str:
    if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        raise argparse.ArgumentTypeError(
            "is no URL of a Redis or Valkey. Write redis://host:6379/0, rediss://… "
            "with TLS, or unix:///path/to/socket.",
        )
    return url


def _app(text: str) -> str:
    if not _is_app(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no MODULE:NAME. Write it with dots and one colon: "
            "mysite.asgi:application.",
        )
    return text
