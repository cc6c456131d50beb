"""The benchmark of calls: it runs with few of them, and counts each once."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from tests.processes import spawn, stop

CALLS = 400


def test_every_call_is_counted_once(tmp_path: Path) -> None:
    where = tmp_path / "outbound.json"
    command = [sys.executable, "-m", "benchmarks.outbound", "--quick"]
    command += ["--only", "Headgate", "--calls", str(CALLS), "--json", str(where)]
    process = spawn(command)
    try:
        assert process.wait(50) == 0
    finally:  # it ends its servers when it is interrupted
        stop(process, signal.SIGINT, limit_seconds=20)
    figures = json.loads(where.read_text(encoding="utf-8"))["figures"]
    assert [each["system"] for each in figures] == [
        "Headgate, SQLite",
        "Headgate, PostgreSQL",
    ]
    for each in figures:
        assert (each["calls"], each["again"]) == (CALLS, 0)
        assert each["per_second"] > 0
        assert each["per_cpu_second"] > 0
