"""Services are called by `headgate serve` and by `headgate worker`, for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.outbound.receiver import Receiver
from tests.processes import spawn, stop
from tests.server.services import LOCAL, make_destination, on_data, post, until, where
from tests.servers import run_headgate
from tests.small_project import SmallProject

OWED = "print(Delivery.objects.filter(state='due').count())"
WAITS = "headgate: there are services to be told"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


class Workers:
    """Runs `headgate worker`; all are ended with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    def __call__(self, *arguments: str) -> subprocess.Popen[bytes]:
        number = len(self._running)
        out = (self._folder / f"worker{number}.out").open("wb")
        err = (self._folder / f"worker{number}.err").open("wb")
        with out, err:
            made = spawn(
                [sys.executable, "-m", "headgate", "worker", *arguments],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env=os.environ | LOCAL,
            )
        self._running.append(made)
        until(lambda: "\n" in self.said(number) or made.poll() is not None)
        return made

    def said(self, number: int = 0, of: str = "out") -> str:
        return (self._folder / f"worker{number}.{of}").read_text(encoding="utf-8")

    def end(self) -> None:
        for number, each in enumerate(self._running):
            if each.poll() is None:
                stop(each, signal.SIGKILL, limit_seconds=20)
            sys.stderr.write(self.said(number, "err"))


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    made = Workers(tmp_path)
    yield made
    made.end()


# --- beside the chat ---


def test_on_sqlite_a_server_calls_services_by_itself(
    serve: Serve, receiver: Receiver
) -> None:
    server = serve("--guests", environment=LOCAL)
    make_destination(server, "crm", receiver.url("200"))

    post(server, "hi")

    (came,) = receiver.wait_for(1)
    assert json.loads(came.body)["data"]["text"] == "hi"
    assert WAITS not in server.stderr


def test_without_a_worker_it_waits_and_that_is_said(
    serve: Serve, receiver: Receiver, workers: Workers
) -> None:
    server = serve("--guests", "--no-worker", environment=LOCAL)
    assert WAITS not in server.stderr  # as there are no services
    make_destination(server, "crm", receiver.url("200"))
    server.restart()
    assert WAITS in server.stderr
    assert "Start `headgate worker`" in server.stderr

    post(server, "hi")
    time.sleep(1.0)  # more than a worker takes to look
    assert receiver.received == []

    worker = workers(*where(server))
    receiver.wait_for(1)
    until(lambda: on_data(server, OWED) == "0\n")
    assert workers.said().startswith("Headgate worker calls 1 service, as ")
    server.restart()
    assert WAITS not in server.stderr  # one was seen lately
    assert stop(worker, signal.SIGTERM, limit_seconds=20) == 0


def test_a_service_that_hangs_is_left_at_the_end_and_called_again(
    serve: Serve, receiver: Receiver
) -> None:
    server = serve("--guests", "--drain-seconds", "3", environment=LOCAL)
    there = receiver.answers("hook", "hang", "200")
    make_destination(server, "crm", there, timeout_seconds=30)
    post(server, "hi")
    receiver.wait_for(1)

    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 20  # the call may take 30 s
    assert on_data(server, OWED) == "1\n"

    server.start()
    first, second = receiver.wait_for(2)
    assert first.id == second.id


def test_what_is_on_its_way_is_finished_before_the_end(
    serve: Serve, receiver: Receiver
) -> None:
    server = serve("--guests", environment=LOCAL)
    make_destination(server, "crm", receiver.url("slow?seconds=1"))
    post(server, "hi")
    receiver.wait_for(1)

    assert server.stop() == 0

    assert on_data(server, OWED) == "0\n"
    assert "outbound_cut_off" not in server.stderr


def test_of_several_workers_one_calls_services(
    serve: Serve, receiver: Receiver
) -> None:
    server = serve("--guests", "--workers", "2", environment=LOCAL)
    make_destination(server, "crm", receiver.url("200"))

    for number in range(4):
        post(server, f"message {number}")

    receiver.wait_for(4)
    until(lambda: on_data(server, OWED) == "0\n")
    assert len(receiver.received) == 4


# --- in a process of its own ---


def test_on_postgresql_workers_share_what_is_owed(
    serve: Serve, receiver: Receiver, workers: Workers, postgres_url: str
) -> None:
    server = serve("--guests", database_url=postgres_url, environment=LOCAL)
    make_destination(server, "crm", receiver.url("200"), concurrency=4)
    for number in range(40):
        post(server, f"message {number}")
    assert receiver.received == []

    for _ in range(2):
        workers(*where(server))

    receiver.wait_for(40)
    until(lambda: on_data(server, OWED) == "0\n")
    assert len({each.id for each in receiver.received}) == 40
    assert len(receiver.received) == 40
    assert receiver.most_in_flight["/200"] <= 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_ends_when_it_is_told(
    serve: Serve, receiver: Receiver, workers: Workers, number: signal.Signals
) -> None:
    server = serve("--guests", "--no-worker", environment=LOCAL)
    make_destination(server, "crm", receiver.url("slow?seconds=1"))
    worker = workers(*where(server))
    post(server, "hi")
    receiver.wait_for(1)

    assert stop(worker, number, limit_seconds=20) == 0

    assert on_data(server, OWED) == "0\n"
    assert workers.said(of="err") == ""


def test_a_second_signal_waits_for_no_call(
    serve: Serve, receiver: Receiver, workers: Workers
) -> None:
    server = serve("--guests", "--no-worker", environment=LOCAL)
    make_destination(server, "crm", receiver.url("hang"), timeout_seconds=60)
    worker = workers(*where(server))
    post(server, "hi")
    receiver.wait_for(1)

    worker.send_signal(signal.SIGTERM)
    time.sleep(2.0)  # or the two come as one
    assert stop(worker, signal.SIGTERM, limit_seconds=30) == 0
    assert on_data(server, OWED) == "1\n"


# --- where it cannot be ---


def test_without_data_there_is_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    for verb in (["worker"], ["deliveries", "list"]):
        done = run_headgate(*verb)
        assert done.returncode == 4
        assert "Name the data with --data" in done.stderr
        done = run_headgate(*verb, "--data", "nowhere")
        assert done.returncode == 4
        assert "There is no server's data in nowhere" in done.stderr


@pytest.mark.parametrize("verb", [["worker"], ["deliveries", "list"], ["limits"]])
def test_a_database_alone_makes_no_new_secret_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    done = run_headgate(*verb, "--database", "sqlite:///chat.sqlite3")
    assert done.returncode == 4
    assert "There is no server's data in headgate-data" in done.stderr
    assert "copy its file secret_key" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_copy_of_the_secret_key_is_enough(serve: Serve, tmp_path: Path) -> None:
    server = serve("--guests")
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "secret_key").write_bytes((server.data / "secret_key").read_bytes())
    file = f"sqlite:////{next(server.data.glob('*.sqlite3'))}"
    done = run_headgate("deliveries", "list", "--data", copy, "--database", file)
    assert (done.returncode, done.stdout) == (0, "There are no such deliveries.\n")


def test_a_project_needs_the_app(project: SmallProject) -> None:
    for verb in (["worker"], ["deliveries", "list"], ["serve", "--worker"]):
        done = project.manage("headgate", *verb)
        assert done.returncode == 6, done.stderr
        assert "'headgate.outbound'" in done.stderr
        assert "INSTALLED_APPS" in done.stderr


def test_in_a_project_redis_is_a_setting(project: SmallProject) -> None:
    done = project.manage("headgate", "worker", "--redis", "redis://127.0.0.1")
    assert done.returncode == 2
    assert "set HEADGATE = {'REDIS': …}" in done.stderr
