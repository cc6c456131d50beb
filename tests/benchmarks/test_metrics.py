"""What the storm reads at a server's `/metrics`, where there is such a thing."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from benchmarks.metrics import log_reads

EXPOSED = b"""# HELP headgate_log_reads_total Reads of the log.
# TYPE headgate_log_reads_total counter
headgate_log_reads_total{kind="page"} 40.0
headgate_log_reads_total{kind="head"} 2.0
headgate_log_reads_created{kind="page"} 1.7e+09
headgate_events_total 900.0
"""


class Handler(BaseHTTPRequestHandler):
    said: bytes | None = EXPOSED

    def do_GET(self) -> None:
        self.send_response(200 if self.said is not None else 404)
        self.send_header("Content-Length", str(len(self.said or b"")))
        self.end_headers()
        self.wfile.write(self.said or b"")

    def log_message(self, *_arguments: object) -> None:
        return


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    handler = type("Says", (Handler,), {"said": request.param})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("port", "expected"),
    [(EXPOSED, 42.0), (b"headgate_events_total 900.0\n", None), (None, None)],
    indirect=["port"],
)
def test_reads_are_added_up(port: int, expected: float | None) -> None:
    assert log_reads(port) == expected
