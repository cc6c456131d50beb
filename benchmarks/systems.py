"""What is measured beside what: how each system is started, and what it cost.

A system may be more than one process; all of them share the server's core, and the CPU
time and the memory of all of them count.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import dialects
from benchmarks.dialects import Dialect
from benchmarks.processes import (
    WIDE_LIMITS,
    cpu_seconds,
    family,
    free_port,
    memory_bytes,
    running_program,
)

__all__ = ["HEADGATE", "SYSTEMS", "Server", "System", "headgate_server"]

PEERS = Path(__file__).parent / "peers"
NODE = PEERS / "node"
NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
SETUP = "run scripts/setup bench"


@dataclass(frozen=True)
class Server:
    """A system that runs: where it listens, and the processes that it consists of."""

    port: int
    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """Return the user and system time of all its processes until now."""
        return sum(cpu_seconds(each) for pid in self.pids for each in family(pid))

    def memory_bytes(self) -> int:
        """Return the resident memory of all its processes."""
        return sum(memory_bytes(each) for pid in self.pids for each in family(pid))


@dataclass(frozen=True)
class System:
    """One of those that are measured.

    Attributes:
        key: Its name on the command line and in results.
        name: Its name in tables.
        saves: What it has done with a message when it has told the sender so.
        start: Runs it until the block ends.
        missing: Says why it cannot be run here; None if it can.
        version: Says its version, and that of what it needs.
        slow: Whether one message to a thousand takes it a second rather than a
            hundredth: it is measured longer, and once.
    """

    key: str
    name: str
    saves: str
    dialect: Dialect
    start: Callable[[], AbstractContextManager[Server]]
    missing: Callable[[], str | None]
    version: Callable[[], str]
    slow: bool = field(default=False)


@contextlib.contextmanager
def _run(
    *command: str, port: int, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a program on the server's core; tell the end of what it complained of."""
    with tempfile.TemporaryFile() as complaints:
        try:
            with running_program(
                *command, port=port, env=env, stderr=complaints
            ) as pid:
                yield pid
        finally:
            complaints.seek(0)
            lines = complaints.read().decode(errors="replace").splitlines()
            if lines:
                print(f"{len(lines)} lines on stderr, the last:", file=sys.stderr)
                print("\n".join(lines[-3:]), file=sys.stderr)


@contextlib.contextmanager
def headgate_server(
    folder: Path, *, port: int | None = None, options: tuple[str, ...] = ()
) -> Iterator[Server]:
    """Run Headgate with limits that refuse nothing, on data that may be there."""
    port = port or free_port()
    command = (sys.executable, "-m", "headgate", "serve", "--guests", *WIDE_LIMITS)
    where = ("--port", str(port), "--data", str(folder / "data"))
    with _run(*command, *where, *options, port=port) as pid:
        yield Server(port, (pid,))


@contextlib.contextmanager
def _headgate() -> Iterator[Server]:
    with (
        tempfile.TemporaryDirectory() as folder,
        headgate_server(Path(folder)) as server,
    ):
        yield server


@contextlib.contextmanager
def _channels() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder, _channels_chat(folder) as server:
        yield server


@contextlib.contextmanager
def _channels_redis() -> Iterator[Server]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        redis = ("redis-server", "--port", str(port), "--dir", folder, "--save", "")
        quiet = ("--bind", "127.0.0.1", "--loglevel", "warning")
        with (
            _run(*redis, *quiet, port=port) as pid,
            _channels_chat(folder, redis=f"redis://127.0.0.1:{port}/0") as server,
        ):
            yield Server(server.port, (*server.pids, pid))


@contextlib.contextmanager
def _channels_chat(folder: str, *, redis: str = "") -> Iterator[Server]:
    port = free_port()
    module = (sys.executable, "-m", "benchmarks.peers.channels_chat")
    where = ("--port", str(port), "--data", f"{folder}/data")
    env = {**os.environ, "CHANNELS_CHAT_REDIS": redis}
    with _run(*module, *where, port=port, env=env) as pid:
        yield Server(port, (pid,))


@contextlib.contextmanager
def _asgi_loop() -> Iterator[Server]:
    port = free_port()
    module = (sys.executable, "-m", "benchmarks.peers.asgi_loop")
    with _run(*module, "--port", str(port), port=port) as pid:
        yield Server(port, (pid,))


def _node(program: str) -> Callable[[], AbstractContextManager[Server]]:
    @contextlib.contextmanager
    def start() -> Iterator[Server]:
        port = free_port()
        with _run("node", str(NODE / program), str(port), port=port) as pid:
            yield Server(port, (pid,))

    return start


@contextlib.contextmanager
def _nchan() -> Iterator[Server]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        given = (PEERS / "nchan" / "nginx.conf").read_text(encoding="utf-8")
        given = given.replace("PORT", str(port)).replace("FOLDER", folder)
        conf = Path(folder) / "nginx.conf"
        conf.write_text(given.replace("MODULE", str(NCHAN_MODULE)), encoding="utf-8")
        nginx = (_program("nginx") or "nginx", "-p", folder, "-c", str(conf))
        with _run(*nginx, port=port) as pid:
            yield Server(port, (pid,))


@contextlib.contextmanager
def _nats() -> Iterator[Server]:
    port = free_port()
    nats = (_program("nats-server") or "nats-server", "-a", "127.0.0.1")
    # It says what it does on stderr, and each connection is none of our business.
    with (
        tempfile.TemporaryDirectory() as folder,
        _run(*nats, "-p", str(port), "-l", f"{folder}/log", port=port) as pid,
    ):
        yield Server(port, (pid,))


def _program(name: str) -> str | None:
    """Return where a program is; Debian keeps some where only root looks."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def _needs(*programs: str, packages: tuple[str, ...] = ()) -> Callable[[], str | None]:
    def missing() -> str | None:
        for name in programs:
            if _program(name) is None:
                return f"{name} is not installed; {SETUP}"
        for name in packages:
            try:
                version(name)
            except PackageNotFoundError:
                return f"the Python package {name} is not installed; {SETUP}"
        return None

    return missing


def _node_missing(package: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        if not (NODE / "node_modules" / package).is_dir():
            return f"the npm package {package} is not installed; {SETUP}"
        return _needs("node")()

    return missing


def _nchan_missing() -> str | None:
    if not NCHAN_MODULE.exists():
        return f"nginx's module Nchan is not installed; {SETUP}"
    return _needs("nginx")()


def _versions(*packages: str) -> Callable[[], str]:
    return lambda: ", ".join(f"{name} {version(name)}" for name in packages)


def _said(*command: str) -> str:
    """Return the first line of what a program says about its version."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=30
    )
    return (done.stdout or done.stderr).strip().splitlines()[0]


def _node_version(package: str) -> Callable[[], str]:
    def found() -> str:
        read = "console.log(require(process.argv[1]).version)"
        path = str(NODE / "node_modules" / package / "package.json")
        said = _said("node", "-e", read, path)
        return f"{package} {said}, Node {_said('node', '--version').lstrip('v')}"

    return found


def _nchan_version() -> str:
    nginx = _said(_program("nginx") or "nginx", "-v").rpartition("/")[2]
    package = "unknown version"
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        form = ("dpkg-query", "-W", "-f", "${Version}")
        package = _said(*form, "libnginx-mod-nchan")
    return f"Nchan {package}, nginx {nginx}"


NOTHING = "nothing"
HEADGATE = System(
    key="headgate",
    name="Headgate",
    saves="each message, fsynced",
    dialect=dialects.HEADGATE,
    start=_headgate,
    missing=_needs(packages=("headgate", "uvicorn")),
    version=_versions("headgate", "uvicorn", "uvloop"),
)
SYSTEMS = (
    HEADGATE,
    System(
        key="channels",
        name="Channels chat, memory layer",
        saves="each message, with the ORM",
        dialect=dialects.CHANNELS,
        start=_channels,
        missing=_needs(packages=("channels",)),
        version=_versions("channels", "Django", "uvicorn"),
        slow=True,
    ),
    System(
        key="channels-redis",
        name="Channels chat, Redis layer",
        saves="each message, with the ORM",
        dialect=dialects.CHANNELS,
        start=_channels_redis,
        missing=_needs("redis-server", packages=("channels-redis",)),
        version=_versions("channels", "channels-redis", "Django", "uvicorn"),
        slow=True,
    ),
    System(
        key="asgi-loop",
        name="bare ASGI loop",
        saves=NOTHING,
        dialect=dialects.PLAIN,
        start=_asgi_loop,
        missing=_needs(packages=("uvicorn",)),
        version=_versions("uvicorn", "uvloop", "websockets"),
    ),
    System(
        key="socket.io",
        name="Socket.IO",
        saves=NOTHING,
        dialect=dialects.SOCKET_IO,
        start=_node("socket_io.mjs"),
        missing=_node_missing("socket.io"),
        version=_node_version("socket.io"),
    ),
    System(
        key="ws",
        name="ws",
        saves=NOTHING,
        dialect=dialects.PLAIN,
        start=_node("ws.mjs"),
        missing=_node_missing("ws"),
        version=_node_version("ws"),
    ),
    System(
        key="nchan",
        name="Nchan",
        saves=NOTHING,
        dialect=dialects.NCHAN,
        start=_nchan,
        missing=_nchan_missing,
        version=_nchan_version,
    ),
    System(
        key="nats",
        name="NATS",
        saves=NOTHING,
        dialect=dialects.NATS,
        start=_nats,
        missing=_needs("nats-server"),
        version=lambda: _said(
            _program("nats-server") or "nats-server", "--version"
        ).replace(": v", " "),
    ),
)
