"""A PostgreSQL of one's own: in a temporary folder, on a free port, gone afterwards.

`python -m tests.postgres COMMAND…` runs a command beside one, which it finds in
HEADGATE_TEST_DATABASE.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.processes import spawn, stop

__all__ = ["fresh_database", "postgres", "postgres_programs"]

START_SECONDS = 60.0
STOP_SECONDS = 30.0
VARIABLE = "HEADGATE_TEST_DATABASE"

# What is lost with the machine's power may be lost here; a killed process loses
# nothing all the same. Every server under test has several connections.
_SETTINGS = ("max_connections=200", "unix_socket_directories=")
_NOT_DURABLE = "fsync=off"


def postgres_programs() -> Path | None:
    """Return the folder of `initdb` and `postgres`, the newest of several."""
    versions = Path("/usr/lib/postgresql")
    found = [path.parent for path in versions.glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


@contextlib.contextmanager
def postgres(*, durable: bool = False) -> Iterator[str]:
    """Run a PostgreSQL and give the URL of its database `postgres`.

    What is `durable` survives a loss of power, too, and takes its time.

    Raises:
        FileNotFoundError: When PostgreSQL is not installed.
    """
    programs = postgres_programs()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed: there is no initdb")
    # Not below pytest's folders, which are closed to the user that PostgreSQL runs as.
    folder = Path(tempfile.mkdtemp(prefix="headgate-postgres-"))
    server: subprocess.Popen[bytes] | None = None
    try:
        data, password = folder / "data", secrets.token_hex(16)
        _initialise(programs, folder, data, password)
        settings = _SETTINGS if durable else (*_SETTINGS, _NOT_DURABLE)
        server, port = _start(programs, folder, data, settings)
        yield f"postgres://headgate:{password}@127.0.0.1:{port}/postgres"
    finally:
        if server is not None:
            # SIGINT: end now, whoever is connected.
            stop(server, signal.SIGINT, limit_seconds=STOP_SECONDS)
        shutil.rmtree(folder)


@contextlib.contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """Make an empty database on a server and give its URL; drop it afterwards."""
    name = f"headgate_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        # The test may have ended the server itself.
        with (
            contextlib.suppress(psycopg.OperationalError),
            psycopg.connect(url, autocommit=True) as connection,
        ):
            connection.execute(drop.format(sql.Identifier(name)))


def _identity(folder: Path) -> dict[str, Any]:
    """Return as whom to run: PostgreSQL refuses root, so its own user then."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _initialise(programs: Path, folder: Path, data: Path, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password)
    secret.chmod(0o644)  # the folder is closed to everybody else
    made = subprocess.run(
        [
            programs / "initdb",
            *("--pgdata", data),
            *("--username", "headgate"),
            *("--pwfile", secret),
            *("--auth", "scram-sha-256"),
            *("--encoding", "UTF8"),
            *("--locale", "C"),
            "--no-sync",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        **_identity(folder),
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")


def _start(
    programs: Path,
    folder: Path,
    data: Path,
    settings: Sequence[str],
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server; a port that somebody takes in between is chosen anew."""
    log = folder / "log"
    for _ in range(5):
        port = _free_port()
        options = [*settings, "listen_addresses=127.0.0.1", f"port={port}"]
        arguments = [f"-c{option}" for option in options]
        with log.open("wb") as output:
            server = spawn(
                [programs / "postgres", "-D", data, *arguments],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=folder,
                **_identity(folder),
            )
        if _answers(server, port):
            return server, port
        stop(server, signal.SIGINT, limit_seconds=STOP_SECONDS)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server takes connections; return whether it does."""
    until = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < until:
        try:
            psycopg.connect(f"postgres://nobody@127.0.0.1:{port}/none").close()
        except psycopg.OperationalError as exc:
            # Asked for a password: it is up. "starting up", or nobody there: not yet.
            if "password" in str(exc):
                return True
        time.sleep(0.05)
    return False


def main(command: Sequence[str]) -> int:
    """Run a command beside a PostgreSQL; return its exit code."""
    if not command:
        sys.stderr.write("usage: scripts/with-postgres COMMAND…\n")
        return 2
    try:
        with postgres() as url:
            return _run(command, url)
    except FileNotFoundError as exc:
        sys.stderr.write(f"with-postgres: {exc}\n")
        return 127


def _run(command: Sequence[str], url: str) -> int:
    running = subprocess.Popen(command, env=os.environ | {VARIABLE: url})

    def pass_on(number: int, _frame: object) -> None:
        running.send_signal(number)

    # A terminal sends Ctrl-C to the command as well: it decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, pass_on)
    code = running.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
