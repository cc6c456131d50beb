"""The example project, as it would be served: nginx with TLS, gunicorn with two
uvicorn workers, a Celery worker, Redis, and a database.

    with Shop(folder) as shop:
        shop.manage("shell", "-c", "…")
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.processes import spawn, stop

__all__ = ["Shop"]

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "examples/embed"
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class Shop:
    """The running project; `url` is where browsers find it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tls_port, self.upstream_port, self.redis_port = _free_ports(3)
        self.url = f"https://localhost:{self.tls_port}/sub/"
        self.origin = f"https://localhost:{self.tls_port}"
        self._processes: list[tuple[subprocess.Popen[bytes], signal.Signals]] = []
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "PYTHONPATH": str(PROJECT),
            "SHOP_DATA": str(folder),
            "SHOP_SECRET_KEY": "only for this test",
            "SHOP_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}",
            "SHOP_ORIGINS": f"{self.origin},https://app.example",
        }

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as started:
            started.callback(self._stop)
            self._start()
            started.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()
        if kind is not None:
            for log in sorted(self.folder.glob("*.log")):
                sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')}")

    # --- using it ---

    @property
    def trust(self) -> ssl.SSLContext:
        """What a client needs to believe the shop's own certificate."""
        return ssl.create_default_context(cafile=self.folder / "tls.crt")

    def manage(self, *arguments: str) -> str:
        """Run `manage.py`, and return what it printed."""
        ended = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def workers(self) -> set[int]:
        """Return the process ids of gunicorn's workers."""
        gunicorn = next(
            process
            for process, _signal in self._processes
            if "gunicorn" in str(process.args)
        )
        children = Path(f"/proc/{gunicorn.pid}/task/{gunicorn.pid}/children")
        return {int(pid) for pid in children.read_text().split()}

    # --- starting and stopping ---

    def _start(self) -> None:
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
                *("-keyout", "tls.key", "-out", "tls.crt", "-days", "2"),
                *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            ],
            cwd=self.folder,
            capture_output=True,
            check=True,
        )
        self.manage("migrate", "--verbosity", "0")
        self.manage("collectstatic", "--noinput", "--verbosity", "0")
        self._spawn(
            "redis",
            [
                *("redis-server", "--port", str(self.redis_port), "--save", ""),
                *("--bind", "127.0.0.1", "--dir", str(self.folder)),
            ],
        )
        self._until(lambda: _listens(self.redis_port), "Redis")
        self._spawn(
            "gunicorn",
            [
                *(sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"),
                *("--bind", f"127.0.0.1:{self.upstream_port}"),
            ],
        )
        self._spawn(
            "celery",
            [
                *(sys.executable, "-m", "celery", "-A", "shop", "worker"),
                *("--pool", "solo", "--loglevel", "warning", "--without-mingle"),
                "--without-gossip",
            ],
        )
        self._spawn("nginx", [_nginx(), "-c", str(self._nginx_conf())], signal.SIGQUIT)
        self._until(self._answers, "the shop")

    def _nginx_conf(self) -> Path:
        text = (PROJECT / "nginx.conf").read_text(encoding="utf-8")
        for word, value in {
            "FOLDER": self.folder,
            "TLS_PORT": self.tls_port,
            "UPSTREAM_PORT": self.upstream_port,
        }.items():
            text = text.replace(word, str(value))
        if os.geteuid() == 0:
            text = f"user root;\n{text}"  # to reach the folder of the test
        path = self.folder / "nginx.conf"
        path.write_text(text, encoding="utf-8")
        return path

    def _spawn(
        self,
        name: str,
        command: Sequence[str],
        ends_on: signal.Signals = signal.SIGTERM,
    ) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = spawn(
                command,
                cwd=PROJECT,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._processes.append((process, ends_on))

    def _until(self, ready: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            for process, _signal in self._processes:
                assert process.poll() is None, f"{process.args} has ended"
            assert time.monotonic() < deadline, f"{what} did not start"
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(
                f"{self.url}sign-in/", timeout=5, context=self.trust
            ):
                return True
        except (OSError, urllib.error.URLError):
            return False

    def _stop(self) -> None:
        while self._processes:
            process, ends_on = self._processes.pop()
            stop(process, ends_on, limit_seconds=STOP_SECONDS)


def _nginx() -> str:
    """Return nginx, which Debian keeps where only root looks."""
    return shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[Any]:
    """Return ports that were free a moment ago."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
