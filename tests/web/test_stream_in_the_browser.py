"""The event stream in a real browser, by the example of the documentation.

The tests themselves are `stream.test.mjs`, run by Node.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.processes import spawn, stop
from tests.servers import HeadgateServer
from tests.web.test_browser import (  # noqa: F401 - fixtures are found by name
    HERE,
    control_of,
    programs,
    server,
)

HOW_TO = HERE.parents[1] / "docs" / "how-to" / "event-stream.md"


def example() -> str:
    """Return the example of the documentation for browsers."""
    page = HOW_TO.read_text(encoding="utf-8")
    found = re.search(r"```js\n(let last.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.timeout(200)
def test_in_the_browser(
    programs: dict[str, str],  # noqa: F811
    server: HeadgateServer,  # noqa: F811
    tmp_path: Path,
) -> None:
    said, script = tmp_path / "node.out", tmp_path / "example.js"
    script.write_text(example(), encoding="utf-8")
    with control_of(server) as control, said.open("wb") as output:
        environment = os.environ | {
            "CHROMIUM": programs["chromium"],
            "SERVER": server.url,
            "CONTROL": f"http://127.0.0.1:{control.server_port}",
            "EXAMPLE": str(script),
        }
        tests = spawn(
            [programs["node"], "--test", "--test-reporter=spec", "stream.test.mjs"],
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
    assert server.stderr.count("origin_refused") == 2
