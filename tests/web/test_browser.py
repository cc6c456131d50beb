"""The page in a real browser, against a real server that is killed on the way.

The tests themselves are `browser.test.mjs`, run by Node. This file starts the server
and, when they ask for it over HTTP, kills it and starts it again.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.processes import spawn, stop
from tests.servers import HeadgateServer, run_headgate

HERE = Path(__file__).parent
ACCOUNT = ("ada", "correct horse 9")


@pytest.fixture
def programs() -> dict[str, str]:
    """The programs that it takes; without them a skip, in CI a failure."""
    found = {name: shutil.which(name) for name in ("node", "chromium")}
    missing = [name for name, path in found.items() if path is None]
    if not (HERE / "node_modules" / "playwright-core").is_dir():
        missing.append("playwright-core (run `npm ci` in tests/web)")
    if missing:
        why = f"the browser test of the page needs {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return {name: path for name, path in found.items() if path is not None}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HeadgateServer]:
    data = tmp_path / "data"
    name, password = ACCOUNT
    made = run_headgate("user", name, "--data", data, given=f"{password}\n")
    assert made.returncode == 0, made.stderr
    server = HeadgateServer(data, ["--guests", "--demo"])
    server.start()
    yield server
    if server.running:
        server.kill()


def control_of(server: HeadgateServer) -> HTTPServer:
    """Return what kills and starts the server, on `POST /kill` and `POST /start`."""
    actions: dict[str, Callable[[], None]] = {
        "/kill": server.kill,
        "/start": server.start,
    }

    class Control(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            actions[self.path]()
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    control = HTTPServer(("127.0.0.1", 0), Control)
    control.timeout = 0.1  # seconds between looks at whether the tests have ended
    return control


@pytest.mark.timeout(240)
def test_in_the_browser(
    programs: dict[str, str], server: HeadgateServer, tmp_path: Path
) -> None:
    said = tmp_path / "node.out"
    with control_of(server) as control, said.open("wb") as output:
        environment = os.environ | {
            "CHROMIUM": programs["chromium"],
            "SERVER": server.url,
            "CONTROL": f"http://127.0.0.1:{control.server_port}",
        }
        tests = spawn(
            [programs["node"], "--test", "--test-reporter=spec", "browser.test.mjs"],
            cwd=HERE,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while tests.poll() is None:
                control.handle_request()
        finally:
            failed = stop(tests, signal.SIGTERM, limit_seconds=10)
    assert not failed, said.read_text(encoding="utf-8")
