"""The TypeScript client against a real server: `client/test/server*.test.ts`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.npm.conftest import Npm

HEADGATE = Path(sys.executable).with_name("headgate")


@pytest.mark.timeout(900)
def test_it_talks_to_a_server(npm: Npm, serve: Serve, tmp_path: Path) -> None:
    free = serve("--guests", "--demo")
    on = {"HEADGATE_THROTTLING_ENABLED": "yes"}
    limited = serve("--guests", "--demo", environment=on)
    report = tmp_path / "report.json"
    npm(
        *("exec", "--offline", "--", "vitest", "run", "test/server"),
        *("--reporter=default", "--reporter=json", f"--outputFile.json={report}"),
        environment={
            "HEADGATE_URL": free.url,
            "HEADGATE_LIMITED_URL": limited.url,
            "HEADGATE_SERVE": str(HEADGATE),
        },
        limit_seconds=800,
    )
    told = json.loads(report.read_text(encoding="utf-8"))
    # Without a server these tests leave themselves out: here none may.
    assert told["numPassedTests"] > 0
    assert told["numPassedTests"] == told["numTotalTests"]
