"""A real stream's chat, played through a fresh server, and its report.

Starts a server on an empty data folder, plays `benchmarks/data/live-chat.csv` at 20
times its speed to 200 watchers, and lets `headgate replay` read the log back. Ends
with exit code 1 unless every acknowledged message is there exactly once, each
watcher saw all of them in order, and nothing was refused.

    python -m benchmarks.replay [--speed 20] [--watchers 200] [--report FILE]
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import (
    WIDE_LIMITS,
    cpu_seconds,
    free_port,
    machine,
    memory_bytes,
    running,
)

TRAFFIC = Path(__file__).parent / "data" / "live-chat.csv"


def main() -> int:
    """Play, print the report, keep it where asked, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speed", default="20")
    parser.add_argument("--watchers", default="200")
    parser.add_argument("--report", type=Path, help="where to write it as JSON")
    options = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        serve = ["headgate", "serve", "--guests", *WIDE_LIMITS, "--port", str(port)]
        with running(*serve, "--data", f"{folder}/data", port=port) as pid:
            before = cpu_seconds(pid)
            played = subprocess.run(
                [
                    *(sys.executable, "-m", "headgate", "replay", str(TRAFFIC)),
                    *("--url", f"http://127.0.0.1:{port}", "--room", "stream"),
                    *("--speed", options.speed, "--watchers", options.watchers),
                    "--json",
                ],
                stdout=subprocess.PIPE,
                check=False,
                text=True,
            )
            used = cpu_seconds(pid) - before
            memory = memory_bytes(pid)
    if not played.stdout:
        return played.returncode or 1
    report = json.loads(played.stdout)
    report |= {
        "speed": float(options.speed),
        "watchers": int(options.watchers),
        "server_cpu_seconds": round(used, 2),
        "server_memory_bytes": memory,
        "deliveries_per_cpu_second": round(report["delivered"] / used),
        "command": shlex.join(["python", "-m", "benchmarks.replay", *sys.argv[1:]]),
        "machine": machine(),
    }
    print(json.dumps(report, indent=2))
    if options.report is not None:
        options.report.parent.mkdir(parents=True, exist_ok=True)
        options.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 1 if report["refused"] else played.returncode


if __name__ == "__main__":
    sys.exit(main())
