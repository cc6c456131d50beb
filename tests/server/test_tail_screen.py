"""`headgate tail` on a terminal."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from tests.conftest import Serve
from tests.server.terminal import on_terminal, talk
from tests.servers import HeadgateServer, run_headgate

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pty")


@pytest.fixture
def server(serve: Serve) -> HeadgateServer:
    return serve("--guests", "--demo")


def test_somebody_reads_and_writes(server: HeadgateServer) -> None:
    run_headgate("tail", "general", "--url", server.url, "--name", "Bob", given="hi\n")
    with on_terminal("tail", "general", "--url", server.url, "--name", "Zoë") as screen:
        screen.until("online as Zoë")
        seen = screen.until("Bob  hi")
        assert time.strftime("%A, %d %B %Y", time.gmtime()) in seen
        screen.type("grüße 👋x\x7f")
        screen.until("> grüße 👋▏")
        assert not screen.shows_what_is_typed()
        screen.type("\r")
        screen.until("Zoë  grüße 👋")
        screen.type("/quit\r")
        assert screen.wait() == 0
        assert screen.shows_what_is_typed()
    assert screen.raw.endswith(b"\x1b[2K")  # status and prompt are wiped away
    assert b"\x1b[?25h" in screen.raw  # the cursor is back


def test_strangers_do_not_reach_the_terminal(server: HeadgateServer) -> None:
    with on_terminal("tail", "general", "--url", server.url) as screen:
        screen.until("online as")
        talk(server.url, "general")
        screen.until("deleted “first”")
        seen = screen.raw
        screen.process.send_signal(signal.SIGINT)
        assert screen.wait() == 0
    assert b"\x1b]" not in seen
    assert b"\x07" not in seen
    assert b"\\x1b]0;owned\\x07" in seen
    assert "edited “frist \\x1b]0;owned\\x07”: ".encode() in seen


def test_whoever_leaves_finds_the_terminal_as_it_was(server: HeadgateServer) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with on_terminal("tail", "general", "--url", server.url) as screen:
            screen.until("online as")
            assert not screen.shows_what_is_typed()
            screen.process.send_signal(number)
            assert screen.wait() == 0
            assert screen.shows_what_is_typed()
            assert b"Traceback" not in screen.raw


@pytest.mark.limits
def test_what_waits_is_told(serve: Serve) -> None:
    server = serve(
        *("--guests", "--demo", "--limit", "send=1/h:1"),
        environment={"HEADGATE_THROTTLING_ENABLED": "yes"},
    )
    with on_terminal("tail", "general", "--url", server.url, columns=120) as screen:
        screen.until("online as")
        screen.type("one\rtwo\rthree\r")
        screen.until("“two” waits 1 h")
        screen.until("the limit of this room · 1 queued")
        screen.type("/quit\r")
        assert screen.wait() == 0
    assert b"not acknowledged when you left: 2 of your messages" in screen.raw


def test_a_connection_that_is_lost_is_told_and_made_anew(
    server: HeadgateServer,
) -> None:
    with on_terminal("tail", "general", "--url", server.url, "--name", "Zoë") as screen:
        screen.until("online as Zoë")
        server.kill()
        screen.until("no connection, next try in")
        screen.type("while away\r")
        screen.until("1 queued")
        server.start()
        screen.until("Zoë  while away")
        screen.type("\x04")
        assert screen.wait() == 0


def test_somebody_else_is_writing(server: HeadgateServer) -> None:
    with (
        on_terminal("tail", "general", "--url", server.url, "--name", "Zoë") as screen,
        on_terminal("tail", "general", "--url", server.url, "--name", "Bob") as other,
    ):
        screen.until("online as Zoë")
        screen.type("hi\r")
        screen.until("Zoë  hi")  # both have joined when they have seen it
        other.until("Zoë  hi")
        other.type("h")
        screen.until("Bob is writing")
        other.type("ello\r")
        screen.until("Bob  hello")


def test_a_room_that_is_not_for_us_is_told_on_a_terminal_too(serve: Serve) -> None:
    server = serve("--demo")
    with on_terminal("tail", "general", "--url", server.url) as screen:
        assert screen.wait() == 1
        assert screen.shows_what_is_typed()
    assert b"headgate tail: general: Sign in first." in screen.raw


def test_it_goes_on_after_it_was_stopped(server: HeadgateServer) -> None:
    """A shell sets its own modes meanwhile; keys come one by one again."""
    with on_terminal("tail", "general", "--url", server.url) as screen:
        screen.until("online as")
        screen.process.send_signal(signal.SIGSTOP)
        screen.cook()
        assert screen.shows_what_is_typed()
        screen.process.send_signal(signal.SIGCONT)
        screen.type("abc")
        screen.until("> abc▏")
        assert not screen.shows_what_is_typed()
