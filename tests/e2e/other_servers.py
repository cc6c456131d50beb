"""ASGI servers beside ours, started as the documentation says, with `mysite`.

The command lines and the files that they read are taken from the documentation; only
the port is another one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.processes import spawn, stop

__all__ = ["KINDS", "Kind", "OtherServer", "Site", "make_site"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
PORT = "8000"  # in the documentation


@dataclass(frozen=True, slots=True)
class Kind:
    """A server, and what it does otherwise than the others.

    Attributes:
        name: For the test's name.
        heading: Of its command line in docs/reference/servers.md.
        more: Options beside those of the documentation.
        command: The whole command, where it is none of that page's.
        workers: How many processes it starts.
        ready: What each of them says when it takes connections.
        waits: Whether `send` waits for a slow reader.
        explains: Whether a refused handshake has a text, and a close a reason.
        any_code: Whether a close may have the codes of RFC 6455.
        stop_code: What clients see when it is told to stop; 1006 is no close at all.
    """

    name: str
    heading: str = ""
    more: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    ready: str = ""
    waits: bool = True
    explains: bool = True
    any_code: bool = True
    stop_code: int = 1012


_DAPHNE = {"waits": False, "explains": False, "any_code": False, "stop_code": 1006}

KINDS = (
    Kind("uvicorn", "uvicorn"),
    Kind("uvicorn-wsproto", "uvicorn", more=("--ws", "wsproto")),
    Kind(
        "gunicorn",
        "gunicorn",
        more=("--no-control-socket",),
        workers=2,
        ready="Application startup complete",
    ),
    Kind("daphne", "Daphne", **_DAPHNE),  # type: ignore[arg-type]
    Kind(
        "daphne-runserver",
        command=("django-admin", "runserver", "--noreload", f"127.0.0.1:{PORT}"),
        environment={"MYSITE_FIRST_APPS": "daphne"},
        **_DAPHNE,  # type: ignore[arg-type]
    ),
    Kind("hypercorn", "Hypercorn", stop_code=1011),
    Kind("granian", "Granian", workers=2, ready="Started worker", stop_code=1006),
)


@dataclass(frozen=True, slots=True)
class Site:
    """The project's database as it is before a server starts, and who is in it.

    Attributes:
        database: An SQLite file to copy.
        cookie: The header `Cookie` of somebody who has signed in.
    """

    database: Path
    cookie: str


_MAKE_SITE = """
import django

django.setup()

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections
from django.test import Client

call_command("migrate", verbosity=0)
client = Client()
client.force_login(User.objects.create_user("ada", first_name="Ada"))
print(client.cookies["sessionid"].value)
connections.close_all()
"""


def make_site(folder: Path) -> Site:
    """Migrate a database for `mysite` and sign somebody in."""
    database = folder / "template.sqlite3"
    done = subprocess.run(
        [sys.executable, "-c", _MAKE_SITE],
        env=_environment(database),
        capture_output=True,
        text=True,
        check=True,
    )
    return Site(database, f"sessionid={done.stdout.strip()}")


class OtherServer:
    """A running server.

    Attributes:
        kind: Which.
        url: Such as `http://127.0.0.1:40417`.
        ws_url: The same for WebSockets.
    """

    def __init__(self, kind: Kind, site: Site, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self._database = folder / "chat.sqlite3"
        shutil.copy(site.database, self._database)
        # Bound and not listening: nobody else gets this port before the server does.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> str:
        """What it has said."""
        return (self._folder / "output").read_text(encoding="utf-8")

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: With its output, when it ends or takes too long.
        """
        with (self._folder / "output").open("wb") as output:
            self._process = spawn(
                self._command(),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                env=_environment(self._database) | self.kind.environment,
            )
        until = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{self.kind.name} did not start:\n{self.output}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Tell it to stop and wait until it has.

        Raises:
            TimeoutError: When it and its workers had to be killed.
        """
        if self._process is None or self._process.poll() is not None:
            return
        pids = self._pids()
        try:
            stop(self._process, signal.SIGTERM, limit_seconds=STOP_SECONDS)
        except TimeoutError:
            for pid in pids[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise

    def close(self) -> None:
        """Stop it for good, and let go of its port."""
        try:
            self.stop()
        finally:
            self._reserved.close()

    def memory_bytes(self) -> int:
        """Return what all of its processes have in memory (Linux)."""
        return sum(map(_resident_bytes, self._pids()))

    def worker_of(self, client_port: int) -> int:
        """Return the id of the process that serves the client on a port."""
        noted = self._database.with_suffix(".workers").read_text(encoding="utf-8")
        served = dict(line.split() for line in noted.splitlines())
        return int(served[str(client_port)])

    def _is_ready(self) -> bool:
        # One that is told to stop while a worker starts may never end.
        if self.kind.ready and self.output.count(self.kind.ready) < self.kind.workers:
            return False
        try:
            with urllib.request.urlopen(self.url, timeout=START_SECONDS):
                return True
        except urllib.error.HTTPError as exc:
            exc.close()
            return True
        except OSError:
            return False

    def _command(self) -> list[str]:
        command = list(self.kind.command)
        if self.kind.heading:
            command = shlex.split(_command_line(self.kind.heading))
        for page in ("reference/servers.md", "how-to/gunicorn.md"):
            self._write_files((DOCS / page).read_text(encoding="utf-8"))
        command += self.kind.more
        return [each.replace(PORT, str(self.port)) for each in command]

    def _write_files(self, page: str) -> None:
        """Write the files of a page: blocks that begin with their name."""
        for name, text in re.findall(r"```\w+\n# (\S+)\n(.*?)```", page, re.DOTALL):
            if name in {"gunicorn.conf.py", "hypercorn.toml"}:
                own = text.replace(PORT, str(self.port))
                (self._folder / name).write_text(own, encoding="utf-8")

    def _pids(self) -> list[int]:
        """Return the process and all that it has started."""
        assert self._process is not None
        parents: dict[int, int] = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                text = status.read_text()
            except OSError:
                continue  # it has ended
            parents[int(status.parent.name)] = int(text.rpartition(")")[2].split()[1])
        found = [self._process.pid]
        for pid in found:  # grows as it is walked
            found += [child for child, parent in parents.items() if parent == pid]
        return found


def _command_line(heading: str) -> str:
    """Return the command line of a server, from the page."""
    page = (DOCS / "reference/servers.md").read_text(encoding="utf-8")
    found = re.search(rf"^### {heading}\n\n```sh\n(.+)\n```", page, re.MULTILINE)
    assert found is not None, f"docs/reference/servers.md has no line for {heading}"
    return found[1]


def _environment(database: Path) -> dict[str, str]:
    programs = str(Path(sys.executable).parent)
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "MYSITE_DATABASE": str(database),
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")],
        ).rstrip(os.pathsep),
        "PYTHONUNBUFFERED": "1",
    }


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0  # it is ending
