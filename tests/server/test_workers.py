"""Several processes: what the supervisor does when workers do not."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from headgate.server import workers
from headgate.server.exits import EXIT_FAULTS, EXIT_USAGE, CannotStart
from headgate.server.options import ServeOptions
from headgate.server.settings import build_settings
from headgate.server.worker import VARIABLE, worker_here
from headgate.server.workers import Supervisor
from tests.conftest import Serve
from tests.e2e.crowd import is_running, workers_of
from tests.redis_server import RedisServer
from tests.server.conftest import ServeProject
from tests.server.test_project import APP, BY_APP, BY_MANAGE, get, make_room
from tests.servers import run_headgate
from tests.small_project import SmallProject

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="several processes need a Unix"
)

LIMIT_SECONDS = 30.0

# A worker that serves nobody, for how the supervisor sees one: it fails while there is
# a file `fail`, and otherwise listens until it is told to end.
STAND_IN = """
import os, pathlib, socket, sys
folder = pathlib.Path(sys.argv[1])
_, _, control = os.environ["HEADGATE_WORKER"].split(":")
if (folder / "fail").exists():
    (folder / f"failed-{os.getpid()}").touch()
    sys.exit(7)
supervisor = socket.socket(fileno=int(control))
supervisor.send(b"L")
supervisor.recv(1)
"""


class Watched:
    """A supervisor of stand-ins, in this process.

    Attributes:
        running: Its work, with the exit code.
    """

    def __init__(self, folder: Path, listening: socket.socket, count: int) -> None:
        self.folder = folder
        self.begun = asyncio.Event()
        self.supervisor = Supervisor(
            listening, count=count, drain_seconds=5.0, on_listening=self.begun.set
        )
        self.running = asyncio.ensure_future(self.supervisor.run())

    @property
    def pids(self) -> set[int]:
        """The workers that listen, as the supervisor knows them."""
        current = self.supervisor._current.values()
        return {each.pid for each in current if each.listening and is_running(each.pid)}

    @property
    def failures(self) -> int:
        """How many workers have failed to start."""
        return len(list(self.folder.glob("failed-*")))

    def fail(self, *, fails: bool) -> None:
        """Have workers fail from now on, or no more."""
        if fails:
            (self.folder / "fail").touch()
        else:
            (self.folder / "fail").unlink()

    def lose(self, *, lost: bool) -> None:
        """Have the interpreter be gone from now on, or there again."""
        if lost:
            (self.folder / "python").unlink()
        else:
            (self.folder / "python").symlink_to(sys.executable)


Watch = Callable[[int], AbstractAsyncContextManager[Watched]]


@pytest.fixture(autouse=True)
def _stand_ins(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "watch" not in request.fixturenames:
        return
    interpreter = tmp_path / "python"
    interpreter.symlink_to(sys.executable)
    command = [str(interpreter), "-I", "-S", "-c", STAND_IN, str(tmp_path)]
    monkeypatch.setattr(workers, "command_line", lambda: command)
    monkeypatch.setattr(workers, "MIN_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(workers, "MAX_BACKOFF_SECONDS", 0.02)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def watch(tmp_path: Path, listening: socket.socket) -> Watch:
    @asynccontextmanager
    async def watched(count: int) -> AsyncIterator[Watched]:
        made = Watched(tmp_path, listening, count)
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                yield made
        finally:
            made.supervisor._stop()
            await made.running

    return watched


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[str]:
    """What was logged of an event, after its name."""
    said = [each.getMessage().partition(" ") for each in caplog.records]
    return [fields for name, _, fields in said if name == event]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - processes have no event
            await asyncio.sleep(0.01)


async def test_all_listen_before_it_says_so_and_all_end_with_it(watch: Watch) -> None:
    async with watch(3) as watched:
        await watched.begun.wait()
        pids = watched.pids
        assert len(pids) == 3
        watched.supervisor._stop()
        assert await watched.running == 0
        assert not any(map(is_running, pids))


async def test_workers_that_never_listened_end_it(
    watch: Watch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with watch(2) as watched:
        watched.fail(fails=True)  # before the first of them is there
        code = await watched.running
    assert code == 7
    assert not watched.begun.is_set()
    assert (
        "ended with exit code 7 before it took connections" in capsys.readouterr().err
    )


async def test_a_worker_that_fails_again_and_again_is_tried_again(watch: Watch) -> None:
    """As long as another serves."""
    async with watch(2) as watched:
        await watched.begun.wait()
        victim, other = sorted(watched.pids)
        watched.fail(fails=True)
        os.kill(victim, 9)
        await until(lambda: watched.failures > workers.MAX_FAILED_STARTS + 2)
        assert not watched.running.done()
        assert watched.pids == {other}
        watched.fail(fails=False)
        await until(lambda: len(watched.pids) == 2)


async def test_when_none_serves_and_none_starts_it_gives_up(
    watch: Watch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with watch(2) as watched:
        await watched.begun.wait()
        watched.fail(fails=True)
        for pid in watched.pids:
            os.kill(pid, 9)
        assert await watched.running == 7
    assert watched.failures >= workers.MAX_FAILED_STARTS
    assert "No worker is left" in capsys.readouterr().err


async def test_the_waits_between_failures_grow_and_start_over(
    watch: Watch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workers, "MAX_BACKOFF_SECONDS", 0.04)
    async with watch(1) as watched:
        await watched.begun.wait()
        waits = watched.supervisor._backoff_seconds
        for wait_seconds in (0.01, 0.02, 0.04, 0.04):
            (pid,) = watched.pids
            os.kill(pid, 9)
            await until(lambda pid=pid: watched.pids and watched.pids != {pid})
            assert waits[1] == wait_seconds
        monkeypatch.setattr(workers, "STEADY_SECONDS", 0.0)
        (pid,) = watched.pids
        os.kill(pid, 9)
        await until(lambda: watched.pids and watched.pids != {pid})
        assert waits[1] == 0.01


async def test_a_rolling_restart_replaces_each(watch: Watch) -> None:
    async with watch(3) as watched:
        await watched.begun.wait()
        before, least = watched.pids, 3
        watched.supervisor._restart.set()

        def all_new() -> bool:
            nonlocal least
            least = min(least, len(watched.pids))
            return not watched.pids & before

        await until(all_new)
        assert least == 3  # a new one listens before the old one ends
        assert len(watched.pids) == 3
        await until(lambda: not any(map(is_running, before)))


async def test_a_rolling_restart_that_fails_leaves_the_old_ones(watch: Watch) -> None:
    async with watch(2) as watched:
        await watched.begun.wait()
        before = watched.pids
        watched.fail(fails=True)
        watched.supervisor._restart.set()
        await until(lambda: watched.failures == 1)
        watched.fail(fails=False)
        # The next one is made when the failure was seen.
        await until(lambda: len(watched.supervisor._running) == 2)
        assert watched.pids == before
        watched.supervisor._restart.set()
        await until(lambda: len(watched.pids) == 2 and not watched.pids & before)


# --- what cannot even be started ---


async def test_a_worker_that_cannot_be_started_is_tried_again(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    """As long as another serves."""
    async with watch(2) as watched:
        await watched.begun.wait()
        victim, other = sorted(watched.pids)
        watched.lose(lost=True)
        os.kill(victim, 9)
        refused = workers.MAX_FAILED_STARTS + 2
        await until(lambda: len(logged(caplog, "worker_not_started")) > refused)
        assert not watched.running.done()
        assert watched.pids == {other}
        assert set(watched.supervisor._backoff_seconds.values()) == {0.02}
        watched.lose(lost=False)
        await until(lambda: len(watched.pids) == 2)
    said = logged(caplog, "worker_not_started")[0]
    assert said.startswith("worker=")
    assert " error=[Errno 2] No such file" in said


async def test_when_none_serves_and_none_can_be_started_it_gives_up(
    watch: Watch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with watch(2) as watched:
        await watched.begun.wait()
        watched.lose(lost=True)
        for pid in watched.pids:
            os.kill(pid, 9)
        assert await watched.running == EXIT_FAULTS
    assert len(logged(caplog, "worker_not_started")) >= workers.MAX_FAILED_STARTS
    assert "No worker is left" in capsys.readouterr().err


async def test_a_rolling_restart_that_cannot_start_one_leaves_the_old_ones(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    async with watch(2) as watched:
        await watched.begun.wait()
        before = watched.pids
        watched.lose(lost=True)
        watched.supervisor._restart.set()
        await until(lambda: logged(caplog, "rolling_restart_failed"))
        assert watched.pids == before
        watched.lose(lost=False)
        watched.supervisor._restart.set()
        await until(lambda: len(watched.pids) == 2 and not watched.pids & before)
    (said,) = logged(caplog, "rolling_restart_failed")
    assert said.startswith("worker=1 error=[Errno 2] No such file")


async def test_a_rolling_restart_puts_one_where_none_can_be_started(
    watch: Watch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And there are no more than there are to be."""
    async with watch(2) as watched:
        await watched.begun.wait()
        victim, other = sorted(watched.pids)
        watched.lose(lost=True)
        monkeypatch.setattr(workers, "MIN_BACKOFF_SECONDS", LIMIT_SECONDS * 2)
        monkeypatch.setattr(workers, "MAX_BACKOFF_SECONDS", LIMIT_SECONDS * 2)
        os.kill(victim, 9)
        await until(lambda: logged(caplog, "worker_not_started"))
        watched.lose(lost=False)
        watched.supervisor._restart.set()
        await until(lambda: len(watched.pids - {victim, other}) == 2)
        await until(lambda: len(watched.supervisor._running) == 2)


@pytest.mark.parametrize("number", [1, 2])
async def test_where_the_first_of_all_cannot_be_started_it_says_so_and_ends(
    watch: Watch,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    start = asyncio.create_subprocess_exec
    made: list[asyncio.subprocess.Process] = []

    async def refused_at_last(*args: Any, **options: Any) -> Any:
        if len(made) == number - 1:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        made.append(await start(*args, **options))
        return made[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refused_at_last)
    async with watch(2) as watched:
        assert await watched.running == EXIT_FAULTS
        assert not watched.begun.is_set()
    for process in made:
        assert await process.wait()  # what was started has ended with it
    assert capsys.readouterr().err == (
        f"headgate: Worker {number} could not be started: "
        "[Errno 11] Resource temporarily unavailable.\n"
    )


@pytest.mark.parametrize("by", ["thread", "reader"])
async def test_a_worker_that_nobody_can_watch_ends(
    watch: Watch,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
) -> None:
    """Its process is there when the thread or the reader for it is refused."""
    start = asyncio.create_subprocess_exec
    made: list[asyncio.subprocess.Process] = []

    def no_reader(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def watched_by_nobody(*args: Any, **options: Any) -> Any:
        made.append(await start(*args, **options))
        if by == "thread":
            raise RuntimeError("can't start new thread")
        patched.setattr(asyncio.get_running_loop(), "add_reader", no_reader)
        return made[-1]

    async with watch(2) as watched:
        await watched.begun.wait()
        before = watched.pids
        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "create_subprocess_exec", watched_by_nobody)
            watched.supervisor._restart.set()
            await until(lambda: logged(caplog, "rolling_restart_failed"))
        (process,) = made
        await process.wait()  # it hears that nobody is there
        assert watched.pids == before


# --- the real thing ---


def test_workers_say_nothing_more_where_a_redis_joins_them(
    serve: Serve, redis_server: RedisServer
) -> None:
    server = serve("--guests", "--workers", "2", "--redis", redis_server.url)
    assert len(workers_of(server.pid)) == 2
    assert server.stop() == 0
    assert server.stderr == ""
    assert server.stdout.count("\n") == 1


def test_without_a_redis_it_says_what_holds_for_each_alone(serve: Serve) -> None:
    server = serve("--guests", "--workers", "3")
    assert server.stop() == 0
    assert server.stderr.startswith("headgate: 3 processes serve, and no Redis")
    assert server.stderr.count("\n") == 1
    assert "up to 3 times as much" in server.stderr


def test_limits_are_shown_as_they_are_for_several(serve: Serve) -> None:
    server = serve("--guests", "--workers", "2", "--limit", "send=7/s")
    served = json.loads((server.data / "served.json").read_text())
    assert served["PROCESSES"] == 2
    shown = run_headgate("limits", "--data", server.data, "--json")
    assert shown.returncode == 0
    rates = {row["name"]: row["rate"] for row in json.loads(shown.stdout)["policies"]}
    assert rates["send"].startswith("7/s")


@pytest.mark.limits
def test_who_is_refused_is_seen_of_all_workers(serve: Serve) -> None:
    server = serve(
        *("--guests", "--demo", "--workers", "2", "--limit", "send=1/h"),
        environment={"HEADGATE_THROTTLING_ENABLED": "yes"},
    )
    url = f"{server.ws_url}/ws/chat/general/"
    for _ in range(6):  # whichever worker takes them
        with connect(url) as one:
            for _ in range(2):
                one.send(json.dumps({"message": "hi"}))
                one.recv(timeout=LIMIT_SECONDS)
    shown = run_headgate("limits", "--data", server.data, "--who", "--json")
    assert shown.returncode == 0, shown.stderr
    assert "send" in shown.stdout


def test_a_port_that_is_taken(serve: Serve, tmp_path: Path) -> None:
    port = urlsplit(serve().url).port
    data = tmp_path / "never-made"
    done = run_headgate("serve", "--data", data, "--port", port, "--workers", 2)
    assert (done.returncode, done.stdout) == (3, "")
    assert "is taken" in done.stderr
    assert not data.exists()


@pytest.mark.parametrize("command", [BY_APP, BY_MANAGE], ids=["app", "manage"])
def test_a_project_is_served_by_several(
    project: SmallProject, serve_project: ServeProject, command: tuple[object, ...]
) -> None:
    make_room(project)
    project.add(
        "mysite/asgi.py",
        "\nfrom headgate.chat.conf import conf\n"
        "inner = application\n"
        "async def application(scope, receive, send):\n"
        "    if scope['type'] == 'http' and scope['path'] == '/processes':\n"
        "        body = str(conf().PROCESSES).encode()\n"
        "        await send({'type': 'http.response.start', 'status': 200})\n"
        "        await send({'type': 'http.response.body', 'body': body})\n"
        "    else:\n"
        "        await inner(scope, receive, send)\n",
    )
    server = serve_project(project, [*command, "--workers", "2"])
    assert len(workers_of(server.pid)) == 2
    with connect(f"{server.ws_url}/ws/chat/orders/") as one:
        one.send(json.dumps({"message": "Order 7 has left the house."}))
        assert json.loads(one.recv(timeout=LIMIT_SECONDS))["seq"] == 1
    assert get(server, "/processes") == (200, "2")
    assert server.stop() == 0


def test_a_project_whose_workers_fail_says_why(project: SmallProject) -> None:
    """A lifespan is run by workers alone."""
    project.add(
        "mysite/asgi.py",
        "\ninner = application\n"
        "async def application(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        await receive()\n"
        "        await send({'type': 'lifespan.startup.failed', 'message': 'no'})\n"
        "    else:\n"
        "        await inner(scope, receive, send)\n",
    )
    done = project.headgate("serve", "--app", APP, "--port", "0", "--workers", "2")
    assert (done.returncode, done.stdout) == (6, "")
    assert "its lifespan failed" in done.stderr
    assert "Worker 1 ended with exit code 6" in done.stderr


# --- parts ---


def test_only_a_command_line_can_be_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["program.py"])
    with pytest.raises(CannotStart, match="command line") as raised:
        workers.command_line()
    assert raised.value.code == EXIT_USAGE


def test_what_a_worker_starts_is_no_worker() -> None:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(socket.create_server(("127.0.0.1", 0))) as listening:
        environment = {VARIABLE: f"3:{listening.detach()}:{theirs.detach()}"}
        worker = worker_here(environment)
        assert worker is not None
        assert worker.number == 3
        with worker.listening, worker.control:
            for each in (worker.listening, worker.control):
                assert not each.get_inheritable()
    assert environment == {}
    assert worker_here(environment) is None


@pytest.mark.parametrize(
    ("environment", "workers_", "told"),
    [("", 1, None), ("", 4, 4), ("2", 4, 4), ("8", 4, 8)],
)
def test_the_settings_know_how_many_processes_serve(
    monkeypatch: pytest.MonkeyPatch, environment: str, workers_: int, told: int | None
) -> None:
    monkeypatch.setenv("HEADGATE_PROCESSES", environment)
    found = build_settings(ServeOptions(workers=workers_), "key")["HEADGATE"]
    assert found.get("PROCESSES") == told
