"""`headgate tail` in pipes, against a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from headgate.protocol.codec import encode
from headgate.protocol.pushes import Author, Message
from headgate.server import tail
from headgate.server.tail_lines import _json_of
from tests.conftest import Serve
from tests.e2e.accounts import make_account, sign_in
from tests.processes import spawn, stop
from tests.server.terminal import talk, until
from tests.servers import HeadgateServer, run_headgate

LIMIT_SECONDS = 40.0


@pytest.fixture
def server(serve: Serve) -> HeadgateServer:
    return serve("--guests", "--demo")


def say(server: HeadgateServer, *lines: str, name: str = "Ada") -> None:
    given = "".join(f"{line}\n" for line in lines)
    done = run_headgate("tail", "general", "--url", server.url, "--name", name,
                        given=given)  # fmt: skip
    assert done.returncode == 0, done.stderr


class Watching:
    """A `headgate tail` that goes on, with its output in a pipe."""

    def __init__(self, stack: ExitStack, *arguments: object, **options: Any) -> None:
        self.process = spawn(
            [sys.executable, "-m", "headgate", "tail", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **({"stdin": subprocess.DEVNULL} | options),
        )
        stack.callback(self._end)
        self._read = {"out": b"", "err": b""}

    def _end(self) -> None:
        stop(self.process, signal.SIGKILL, limit_seconds=LIMIT_SECONDS)
        for pipe in (self.process.stdout, self.process.stderr, self.process.stdin):
            if pipe is not None and not pipe.closed:
                pipe.close()

    def until(self, kind: str, text: str) -> str:
        """Return what it has printed once it has printed a text."""
        pipe = self.process.stdout if kind == "out" else self.process.stderr
        assert pipe is not None
        self._read[kind] = until(pipe.fileno(), text.encode(), self._read[kind])
        return self._read[kind].decode()

    def leave(self, number: signal.Signals) -> int:
        return stop(self.process, number, limit_seconds=LIMIT_SECONDS)


@contextmanager
def watching(*arguments: object, **options: Any) -> Iterator[Watching]:
    with ExitStack() as stack:
        yield Watching(stack, *arguments, **options)


def test_what_comes_through_a_pipe_is_said(server: HeadgateServer) -> None:
    done = run_headgate(
        *("tail", "general", "--url", server.url, "--name", "Ada"),
        given="hi\n\n  \nto\x1b[31m\ryou\r\nno end",
    )

    assert done.returncode == 0, done.stderr
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    assert [line[1:] for line in lines] == [
        ["Ada", "hi"],
        ["Ada", "to\\x1b[31m\\ryou"],
        ["Ada", "no end"],
    ]
    assert all(len(line[0]) == len("2026-11-29T10:00:00Z") for line in lines)
    assert done.stderr.splitlines() == [
        "headgate tail: connecting",
        "headgate tail: online as Ada",
    ]


def test_all_lines_of_a_long_pipe_are_said_in_order(server: HeadgateServer) -> None:
    lines = [f"line {n}" for n in range(700)]
    done = run_headgate(
        *("tail", "general", "--url", server.url, "--history", 0),
        given="".join(f"{line}\n" for line in lines),
    )

    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[2] for line in done.stdout.splitlines()] == lines


def test_a_line_that_is_refused_is_told_and_the_others_are_said(
    server: HeadgateServer,
) -> None:
    done = run_headgate(
        *("tail", "general", "--url", server.url),
        given=f"before\n{'x' * 100_000}\nafter\n",
    )

    assert done.returncode == 1
    assert [line.split("  ")[2] for line in done.stdout.splitlines()] == [
        "before",
        "after",
    ]
    assert "not sent: “xxx" in done.stderr
    assert "at most 16384 are taken" in done.stderr


def test_json_is_one_object_per_push_and_nothing_else(server: HeadgateServer) -> None:
    say(server, "one", "two", "drei 👋 \x9b31m")
    with watching(
        "general", "--url", server.url, "--json", "--history", 2
    ) as json_tail:
        json_tail.until("out", "drei")
        say(server, "four")
        printed = json_tail.until("out", "four")
        assert json_tail.leave(signal.SIGTERM) == 0

    assert printed.isascii()
    pushes = [json.loads(line) for line in printed.splitlines()]
    messages = [each for each in pushes if each["push"] == "message"]
    assert [each["seq"] for each in messages] == [2, 3, 4]
    assert messages[1]["text"] == "drei 👋 \x9b31m"
    assert messages[1]["author"]["name"] == "Ada"


def test_it_goes_on_without_input_until_it_is_told_to_leave(
    server: HeadgateServer,
) -> None:
    say(server, "before")
    with watching("general", "--url", server.url) as tailing:
        tailing.until("out", "before\n")
        say(server, "live")
        printed = tailing.until("out", "live\n")
        assert tailing.process.poll() is None
        assert tailing.leave(signal.SIGINT) == 0
        assert tailing.process.stderr is not None
        assert b"Traceback" not in tailing.process.stderr.read()
    assert len(printed.splitlines()) == 2


def test_it_goes_on_while_its_pipe_is_open(server: HeadgateServer) -> None:
    with watching("general", "--url", server.url, stdin=subprocess.PIPE) as tailing:
        stdin = tailing.process.stdin
        assert stdin is not None
        stdin.write(b"first\n")
        stdin.flush()
        tailing.until("out", "first\n")
        say(server, "somebody else")
        tailing.until("out", "somebody else\n")
        stdin.write(b"last\n")
        stdin.close()
        tailing.until("out", "last\n")
        assert tailing.process.wait(LIMIT_SECONDS) == 0


@pytest.mark.parametrize("history", [1, 20])
def test_it_ends_when_nobody_reads_it_any_more(
    server: HeadgateServer, history: int
) -> None:
    """At once, although nothing is said in the room any more."""
    say(server, *(f"line {n}" for n in range(20)))
    with watching("general", "--url", server.url, "--history", history) as tailing:
        tailing.until("out", "\n")
        assert tailing.process.stdout is not None
        tailing.process.stdout.close()
        assert tailing.process.wait(LIMIT_SECONDS) == 0
        assert tailing.process.stderr is not None
        said = tailing.process.stderr.read()
    assert b"Traceback" not in said
    assert b"BrokenPipe" not in said


def test_it_says_what_becomes_of_the_connection(server: HeadgateServer) -> None:
    with watching("general", "--url", server.url, "--name", "Ada") as tailing:
        tailing.until("err", "online as Ada\n")
        server.kill()
        tailing.until("err", "no connection, next try in ")
        server.start()
        said = tailing.until("err", ")\nheadgate tail: online as Ada\n")
        say(server, "back again")
        tailing.until("out", "back again\n")
        assert tailing.leave(signal.SIGINT) == 0
    assert all(line.startswith("headgate tail: ") for line in said.splitlines())
    assert said.count("connecting") == 1, "each later try is told with the wait for it"


def test_a_server_that_does_not_want_us_is_the_end(serve: Serve) -> None:
    server = serve("--demo")
    done = run_headgate("tail", "general", "--url", server.url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "headgate tail: general: Sign in first."


def test_a_cookie_says_who_we_are(serve: Serve) -> None:
    server = serve("--demo")
    make_account(server, "ada")
    environment = os.environ | {tail.COOKIE: sign_in(server, "ada")}
    with watching("general", "--url", server.url, env=environment) as tailing:
        assert "online as ada" in tailing.until("err", "online")
        assert tailing.leave(signal.SIGINT) == 0


def test_a_cookie_that_does_not_hold_is_told(server: HeadgateServer) -> None:
    environment = os.environ | {tail.COOKIE: "sessionid=of-yesterday"}
    with watching("general", "--url", server.url, env=environment) as tailing:
        assert "online as Guest" in tailing.until(
            "err", "HEADGATE_COOKIE was not taken"
        )
        assert tailing.leave(signal.SIGINT) == 0


def test_a_cookie_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tail.COOKIE, "of-yesterday")
    done = run_headgate("tail", "general")
    assert (done.returncode, done.stdout) == (2, "")
    assert "HEADGATE_COOKIE is no cookie: sessionid=…" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no room"], "names no room"),
        (["general", "--url", "example.org"], "is no http(s):// or ws(s):// address"),
        (["general", "--history", "201"], "no number of messages from 0 to 200"),
        (["general", "--history", "-1"], "no number of messages"),
        ([], "ROOM"),
    ],
)
def test_options_that_are_wrong(arguments: list[str], said: str) -> None:
    done = run_headgate("tail", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_edits_and_deletions_are_told_as_such(server: HeadgateServer) -> None:
    with watching("general", "--url", server.url) as tailing:
        tailing.until("err", "online")
        talk(server.url, "general")
        printed = tailing.until("out", "deleted 1\n")
    said = [line.split("  ", 2)[1:] for line in printed.splitlines()]
    assert said == [
        ["Mallory", "frist\\n\\x1b]0;owned\\x07"],
        ["Mallory", "edited 1 first"],
        ["Mallory", "deleted 1"],
    ]


def test_the_json_of_a_push_is_that_of_the_wire() -> None:
    author = Author(id="u:1", kind="user", name="Ada")
    push = Message(room="a", seq=1, author=author, text="é", at="2026", data={"x": [1]})
    assert json.loads(_json_of(push)) == json.loads(encode(push))
