"""`headgate serve` as whoever starts it meets it: real processes, real exit codes."""

from __future__ import annotations

import json
import re
import secrets
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPConnection
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as aconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from headgate.chat.policies import CAPS, STANDARD
from headgate.server import setup
from headgate.server.cli import main
from headgate.server.exits import CannotStart
from headgate.server.options import ServeOptions
from tests.conftest import Serve
from tests.processes import stop
from tests.servers import HeadgateServer, run_headgate
from tests.steady import SteadyClock

V1 = [Subprotocol("headgate.v1")]
LIMIT_SECONDS = 30.0  # for an answer
SOON_SECONDS = 8.0  # for an end, which waits 10 s for whoever holds it up


def get(server: HeadgateServer, path: str, **headers: str) -> tuple[int, str]:
    """Return status and body of a page."""
    with closing(
        HTTPConnection(urlsplit(server.url).netloc, timeout=LIMIT_SECONDS)
    ) as http:
        http.request("GET", path, headers=headers)
        answer = http.getresponse()
        return answer.status, answer.read().decode()


def welcome(server: HeadgateServer, *rooms: str) -> dict[str, Any]:
    """Return the welcome of a guest who comes into rooms."""
    with connect(f"{server.ws_url}/ws/chat/", subprotocols=V1) as socket_:
        resume = dict.fromkeys(rooms, 0)
        socket_.send(json.dumps({"cmd": "hello", "resume": resume}))
        said: dict[str, Any] = json.loads(socket_.recv(timeout=LIMIT_SECONDS))
        return said


def say(server: HeadgateServer, room: str, text: str) -> int:
    """Send a message in plain mode and return its seq."""
    with connect(f"{server.ws_url}/ws/chat/{room}/") as socket_:
        socket_.send(json.dumps({"message": text}))
        return int(json.loads(socket_.recv(timeout=LIMIT_SECONDS))["seq"])


async def read_all(one: ClientConnection) -> list[dict[str, Any]]:
    """Return all that comes until the server closes."""
    said = []
    with suppress(ConnectionClosed):
        while True:
            said.append(json.loads(await one.recv()))
    return said


# --- starting ---


def test_a_misspelt_setting_is_told_of(serve: Serve) -> None:
    server = serve("--workers", "2", environment={"HEADGATE_GUEST": "yes"})
    told = (
        "headgate: the environment variable HEADGATE_GUEST sets nothing. "
        "Is HEADGATE_GUESTS meant?\n"
    )
    assert server.stderr.count(told) == 1


def test_one_line_on_stdout(serve: Serve) -> None:
    server = serve("--guests", "--demo")
    say(server, "general", "hi")
    server.stop()
    assert re.fullmatch(
        r"Headgate listening on http://127\.0\.0\.1:\d+\n",
        server.stdout,
    )
    assert server.stderr == ""


def test_port_0_picks_a_free_one(serve: Serve) -> None:
    first, second = serve(), serve()
    assert urlsplit(first.url).port not in {0, urlsplit(second.url).port}
    assert get(first, "/healthz") == get(second, "/healthz") == (200, "ok\n")


def test_health(serve: Serve) -> None:
    server = serve()
    assert get(server, "/healthz") == (200, "ok\n")
    assert get(server, "/readyz") == (200, "ok\n")
    # Whoever watches calls it by any name, such as an address.
    assert get(server, "/healthz", Host="10.1.2.3:99") == (200, "ok\n")


def test_ipv6(serve: Serve) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    server = serve("--host", "::1", "--guests", "--demo")
    assert re.fullmatch(r"http://\[::1\]:\d+", server.url)
    assert get(server, "/healthz") == (200, "ok\n")
    assert say(server, "general", "hi") == 1


def test_host_name(serve: Serve) -> None:
    server = serve("--host", "localhost")
    assert server.url.startswith("http://localhost:")
    assert get(server, "/readyz") == (200, "ok\n")


# --- ending ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_orderly(
    serve: Serve, steady: SteadyClock, number: signal.Signals
) -> None:
    server = serve()
    started = time.monotonic()
    assert server.stop(number) == 0
    assert steady.since(started) < SOON_SECONDS
    assert server.stderr == ""
    with pytest.raises(OSError, match="refused"):
        get(server, "/healthz")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("subprotocols", [None, V1], ids=["plain", "v1"])
async def test_signal_closes_connections_with_1012(
    serve: Serve,
    steady: SteadyClock,
    number: signal.Signals,
    subprotocols: list[Subprotocol] | None,
) -> None:
    server = serve("--guests", "--demo")
    address = f"{server.ws_url}/ws/chat/general/"
    async with aconnect(address, subprotocols=subprotocols) as one:
        hello = {"cmd": "hello"} if subprotocols else {"message": "hi"}
        await one.send(json.dumps(hello))
        await one.recv()
        started = time.monotonic()
        server._started.send_signal(number)
        await read_all(one)
    assert one.close_code == 1012
    # No second signal, which would have it hurry.
    assert server._started.wait(LIMIT_SECONDS) == 0
    assert steady.since(started) < SOON_SECONDS
    assert server.stderr == ""


async def test_what_was_taken_is_saved_before_the_end(
    serve: Serve,
    database_url: str | None,
) -> None:
    """Every acknowledgement that was read before the close stands in the log."""
    server = serve("--guests", "--demo", database_url=database_url)
    async with aconnect(f"{server.ws_url}/ws/chat/general/") as one:
        for n in range(200):
            await one.send(json.dumps({"message": f"message {n}"}))
        server._started.send_signal(signal.SIGTERM)
        said = await read_all(one)
    saved = "Message received and saved."
    seqs = [reply["seq"] for reply in said if reply["message"] == saved]
    assert server.stop() == 0
    assert seqs == list(range(1, len(seqs) + 1))
    server.restart()
    head = welcome(server, "general")["rooms"]["general"]["head"]
    assert len(seqs) <= head <= 200


def test_second_start_on_the_same_data(
    serve: Serve,
    database_url: str | None,
) -> None:
    server = serve("--guests", "--demo", database_url=database_url)
    address, epoch = server.url, welcome(server, "help")["rooms"]["help"]["epoch"]
    assert say(server, "help", "before") == 1
    server.restart()
    assert server.url == address
    room = welcome(server, "help")["rooms"]["help"]
    assert (room["head"], room["epoch"]) == (1, epoch)
    assert say(server, "help", "after") == 2


def test_killed_server_starts_again(serve: Serve, database_url: str | None) -> None:
    server = serve("--guests", "--demo", database_url=database_url)
    assert say(server, "help", "before") == 1
    server.kill()
    assert server.returncode == -signal.SIGKILL
    server.restart()
    assert say(server, "help", "after") == 2


BEGUN = """
import sys
from headgate.server.cli import main
print("begun", flush=True)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("stop_after_seconds", [0.05, 0.3, 0.5, 0.7])
def test_ctrl_c_at_any_time_shows_no_traceback(
    tmp_path: Path,
    stop_after_seconds: float,
) -> None:
    """Before the server serves, the code is that of an interrupted program."""
    starting = subprocess.Popen(
        # The signal may come before `main`, where Python itself would tell it.
        [
            sys.executable,
            "-c",
            BEGUN,
            *("serve", "--port", "0", "--data", str(tmp_path / "data")),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert starting.stdout is not None
    assert starting.stderr is not None
    with starting.stdout, starting.stderr:
        assert starting.stdout.readline() == b"begun\n"
        time.sleep(stop_after_seconds)
        assert stop(starting, signal.SIGINT, limit_seconds=20) in {0, 130}
        assert starting.stderr.read() == b""


# --- what cannot start says why, and with which code ---


def fails(code: int, *arguments: object) -> str:
    """Start a server that cannot start; return its one line on stderr."""
    done = run_headgate("serve", "--port", 0, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("headgate: ")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_port_in_use(serve: Serve, tmp_path: Path) -> None:
    port = urlsplit(serve().url).port
    data = tmp_path / "never-made"
    said = fails(3, "--data", data, "--port", port)
    assert f"Port {port} on 127.0.0.1 is taken." in said
    assert "--port" in said
    assert not data.exists()


def test_port_bound_by_somebody_who_listens_later(tmp_path: Path) -> None:
    """Binding succeeds then, as for two servers that start at once; listening not."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "headgate", "serve", "--port", str(port)]
        late = subprocess.Popen(
            [*command, "--data", str(tmp_path / "data")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # Its key is made after its port is bound.
        while not (tmp_path / "data" / "secret_key").exists():
            assert late.poll() is None
            time.sleep(0.001)
        other.listen()
        out, err = late.communicate(timeout=60)
    assert (late.returncode, out) == (3, b"")
    assert err.startswith(f"headgate: Port {port} on 127.0.0.1 is taken.".encode())


def test_address_of_somebody_else(tmp_path: Path) -> None:
    # TEST-NET-1 (RFC 5737) is nobody's.
    said = fails(3, "--data", tmp_path / "data", "--host", "192.0.2.1")
    assert "Cannot listen on 192.0.2.1" in said


def test_host_that_is_none(tmp_path: Path) -> None:
    said = fails(3, "--data", tmp_path / "data", "--host", "nowhere.invalid")
    assert "Cannot listen on nowhere.invalid" in said


@pytest.mark.parametrize("below", ["", "data"])
def test_data_folder_that_cannot_be(tmp_path: Path, below: str) -> None:
    """A file where a folder should be stops root as well."""
    (tmp_path / "file").write_text("")
    said = fails(4, "--data", tmp_path / "file" / below)
    assert str(tmp_path / "file") in said
    assert "--data" in said


@pytest.mark.parametrize("content", [b"", b"\n", "Schlüssel".encode()])
def test_secret_key_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret_key").write_bytes(content)
    assert "secret_key" in fails(4, "--data", tmp_path)
    assert (tmp_path / "secret_key").read_bytes() == content


def test_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "chat.sqlite3").write_bytes(b"no database" * 100)
    said = fails(5, "--data", tmp_path)
    assert str(tmp_path / "chat.sqlite3") in said
    assert "file is not a database. Check the file and its folder" in said
    assert "password" not in said


def test_file_in_no_folder(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/nowhere/chat.sqlite3"
    said = fails(5, "--data", tmp_path / "data", "--database", url)
    assert "unable to open database file. Check the file and its folder" in said
    assert "password" not in said


def test_database_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"postgres://ada:secret-word@127.0.0.1:{port}/chat"
    said = fails(5, "--data", tmp_path / "data", "--database", url)
    assert "Cannot use the database at 127.0.0.1" in said
    assert "secret-word" not in said


def test_database_that_lets_nobody_in(tmp_path: Path, postgres_url: str) -> None:
    url = urlsplit(postgres_url)
    wrong = f"postgres://headgate:guessed@{url.hostname}:{url.port}/postgres"
    said = fails(5, "--data", tmp_path / "data", "--database", wrong)
    assert "password authentication failed" in said
    missing = url._replace(path="/no_such_database").geturl()
    said = fails(5, "--data", tmp_path / "data", "--database", missing)
    assert 'database "no_such_database" does not exist' in said


# --- options ---


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--database", "nonsense"], "is no database URL"),
        (["--database", ""], "is no database URL"),
        (["--database", "postgres://host:port/chat"], "is no database URL"),
        (["--database", "postgres://host"], "names no database"),
        (["--database", "mysql://host/chat"], "names no database that Headgate knows"),
        (["--database", "sqlite://"], "names no file"),
        (["--database", "sqlite://:memory:"], "names no file"),
        (["--database", "sqlite://folder/chat.sqlite3"], "names no file"),
        (["--redis", "localhost:6379"], "is no URL of a Redis"),
        (["--workers", "0"], "no number of processes from 1 to 64"),
        (["--workers", "65"], "no number of processes from 1 to 64"),
        (["--workers", "two"], "no number of processes from 1 to 64"),
        (["--drain-seconds", "0"], "no number of seconds from 1 to 3600"),
        (["--drain-seconds", "3601"], "no number of seconds from 1 to 3600"),
        (["--drain-seconds", "nan"], "no number of seconds from 1 to 3600"),
        (["--drain-seconds", "soon"], "no number of seconds from 1 to 3600"),
        (["--trusted-proxies", "-1"], "is no number of proxies"),
        (["--trusted-proxies", "many"], "is no number of proxies"),
        (["--port", "65536"], "no port from 0 to 65535"),
        (["--port", "-1"], "no port from 0 to 65535"),
        (["--port", "http"], "no port from 0 to 65535"),
        (["--origin", "chat.example.com"], "is no origin"),
        (["--origin", "https://chat.example.com/room"], "more than scheme"),
        (["--origin", "https://ada@chat.example.com"], "more than scheme"),
        (["--limit", "send"], "is no limit"),
        (["--limit", "sned=1/s"], "There are connect, connect.address,"),
        (["--limit", "send=fast"], "'fast' is no rate"),
        (["--limit", "send=1/fortnight"], "has the period 'fortnight'"),
        (["--limit", "send=0/s"], "lets nothing through"),
        (["--limit", "send="], "is no rate"),
        (["--limit", "connect.open=2/s"], "is no number of connections"),
        (["--speed", "20"], "unrecognized arguments"),
    ],
)
def test_unusable_option(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments])
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert said in " ".join(told.err.split())
    assert arguments[0] in told.err


def test_unusable_option_makes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = run_headgate("serve", "--data", data, "--workers", 0)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no number of processes" in done.stderr
    assert not data.exists()


def test_password_of_a_bad_url_is_not_shown(tmp_path: Path) -> None:
    url = "postgres://ada:secret-word@host:port/chat"
    done = run_headgate("serve", "--data", tmp_path, "--database", url)
    assert done.returncode == 2
    assert "secret-word" not in done.stderr


@pytest.mark.parametrize(
    ("more", "extra", "gone"),
    [
        (
            {"database": {"ENGINE": "django.db.backends.postgresql", "NAME": "chat"}},
            "postgres",
            {"psycopg", "psycopg2"},
        ),
        ({"redis": "redis://127.0.0.1:1"}, "redis", {"hiredis"}),
        ({"redis": "redis://127.0.0.1:1"}, "redis", {"redis"}),
    ],
)
def test_what_is_not_installed_is_said_before_it_is_needed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: dict[str, Any],
    extra: str,
    gone: set[str],
) -> None:
    def found(name: str) -> ModuleSpec | None:
        return None if name in gone else find_spec(name)

    monkeypatch.setattr(setup, "find_spec", found)
    options = ServeOptions(data=tmp_path / "data", **more)
    with pytest.raises(
        CannotStart, match=rf"pip install 'headgate\[{extra}\]'"
    ) as told:
        setup.set_up(options)
    assert told.value.code == 2


def test_limits_are_taken(serve: Serve) -> None:
    limits = [f"--limit={name}=1/s:10" for name in STANDARD]
    caps = [f"--limit={name}=off" for name in CAPS]
    assert serve(*limits, *caps, "--limit", "send=off").stderr == ""


def test_relative_sqlite_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = ["user", "ada", "--data", "data", "--database", "sqlite:///here.sqlite3"]
    assert run_headgate(*made, given=f"{secrets.token_hex()}\n").returncode == 0
    assert (tmp_path / "here.sqlite3").exists()
    assert not (tmp_path / "data" / "chat.sqlite3").exists()


@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_defaults_can_be_said(serve: Serve, workers: list[str]) -> None:
    assert get(serve(*workers, "--trusted-proxies", "0"), "/healthz")[0] == 200


# --- the data folder ---


def test_secret_key_is_made_once_and_kept(serve: Serve) -> None:
    server = serve()
    key = server.data / "secret_key"
    first = key.read_text()
    assert len(first.strip()) >= 50
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    server.restart()
    assert key.read_text() == first


def test_nothing_else_is_left_in_the_data_folder(serve: Serve) -> None:
    server = serve("--demo")
    server.stop()
    names = {path.name for path in server.data.iterdir()}
    assert names == {"chat.sqlite3", "secret_key", "served.json"}


def test_folder_of_somebody_else_keeps_its_mode(tmp_path: Path, serve: Serve) -> None:
    data = tmp_path / "data1"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    assert serve().data == data
    assert stat.S_IMODE(data.stat().st_mode) == 0o755


def test_two_first_starts_at_once(serve: Serve, database_url: str | None) -> None:
    """Neither trips over the other's key or tables."""
    first = serve("--guests", database_url=database_url)
    first.stop()
    for path in first.data.iterdir():
        path.unlink()
    if first.database_url is not None:
        empty(first.database_url)
    with ThreadPoolExecutor(2) as together:
        starts = [
            together.submit(serve, "--guests", "--demo", share=first) for _ in range(2)
        ]
        one, two = (start.result() for start in starts)
    assert one.url != two.url
    assert say(one, "general", "hi") == 1
    assert say(two, "general", "hi") == 2


def empty(database_url: str) -> None:
    """Take everything out of a PostgreSQL database."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


# --- rooms and people ---


def test_demo_rooms(serve: Serve) -> None:
    server = serve("--guests", "--demo")
    rooms = welcome(server, "general", "help", "random")["rooms"]
    assert {slug: room["head"] for slug, room in rooms.items()} == {
        "general": 0,
        "help": 0,
        "random": 0,
    }
    server.restart()
    assert welcome(server, "general")["rooms"]["general"]["head"] == 0


def test_guests_make_rooms_by_joining(serve: Serve) -> None:
    server = serve("--guests")
    assert say(server, "new-room", "hi") == 1


def test_without_guests_nobody_comes_in_unnamed(serve: Serve) -> None:
    server = serve("--demo")
    with connect(f"{server.ws_url}/ws/chat/general/") as one:
        said = json.loads(one.recv(timeout=LIMIT_SECONDS))
        assert said["error"] == "unauthenticated"
        with pytest.raises(ConnectionClosed) as closed:
            one.recv(timeout=LIMIT_SECONDS)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4501


def test_user(tmp_path: Path, database_url: str | None, serve: Serve) -> None:
    server = serve(database_url=database_url)
    where: list[object] = ["--data", server.data]
    if server.database_url is not None:
        where += ["--database", server.database_url]
    password = secrets.token_urlsafe()
    made = run_headgate("user", "ada", *where, given=f"{password}\n")
    assert (made.returncode, made.stdout) == (0, "ada can sign in.\n")
    again = run_headgate("user", "ada", *where, given=f"{password}\n")
    assert again.returncode == 2
    assert "already exists" in again.stderr


def test_user_that_is_not_made(tmp_path: Path) -> None:
    for name, password, said in [
        ("ada", "short", "too short"),
        ("ada", "password1", "too common"),
        ("ada lovelace", "a long enough one", "valid username"),
        ("", "a long enough one", "cannot be blank"),
    ]:
        done = run_headgate("user", name, "--data", tmp_path, given=f"{password}\n")
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr


# --- the command itself ---


def test_version() -> None:
    assert run_headgate("--version").stdout.strip() == version("headgate")


@pytest.mark.parametrize("arguments", [[], ["fly"], ["serve", "now"]])
def test_wrong_command(arguments: list[str]) -> None:
    done = run_headgate(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: headgate")
