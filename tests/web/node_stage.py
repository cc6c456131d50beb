"""Tests that Node runs in a browser, against real servers that they kill and start.

The tests ask for it over HTTP: `POST /start/NAME`, `/stop/NAME` or `/kill/NAME` of the
control answers with the server's URL. A server that nobody asks for is never started.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.processes import spawn, stop
from tests.servers import HeadgateServer

__all__ = ["HERE", "node_programs", "run_in_node"]

HERE = Path(__file__).parent


def node_programs() -> dict[str, str]:
    """Return the programs that it takes; without them skip, in CI fail."""
    found = {name: shutil.which(name) for name in ("node", "chromium")}
    missing = [name for name, path in found.items() if path is None]
    missing += [
        f"{module} (run `npm ci` in tests/web)"
        for module in ("playwright-core", "axe-core")
        if not (HERE / "node_modules" / module).is_dir()
    ]
    if missing:
        why = f"the browser tests need {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return {name: path for name, path in found.items() if path is not None}


def run_in_node(
    arguments: list[str],
    servers: Mapping[str, HeadgateServer],
    said: Path,
    **environment: str,
) -> int:
    """Run Node in this folder until it ends, and return its exit code.

    What it prints goes to `said`; it finds the control at `CONTROL`, and Chromium at
    `CHROMIUM`. All servers are ended with it.
    """
    programs = node_programs()
    with _control(servers) as control, said.open("wb") as output:
        process = spawn(
            [programs["node"], *arguments],
            cwd=HERE,
            env=os.environ
            | {
                "CHROMIUM": programs["chromium"],
                "CONTROL": f"http://127.0.0.1:{control.server_port}",
            }
            | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            while process.poll() is None:
                control.handle_request()
        finally:
            code = stop(process, signal.SIGTERM, limit_seconds=10)
    return code


@contextmanager
def _control(servers: Mapping[str, HeadgateServer]) -> Iterator[HTTPServer]:
    class Control(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            _, action, name = self.path.split("/")
            server = servers[name]
            if action == "start":
                if not server.running:
                    server.start()
            elif action == "stop":
                server.stop()
            else:
                server.kill()
            body = json.dumps({"url": server.url}).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    try:
        with HTTPServer(("127.0.0.1", 0), Control) as control:
            control.timeout = 0.1  # seconds between looks at whether Node has ended
            yield control
    finally:
        for server in servers.values():
            if server.running:
                server.kill()
