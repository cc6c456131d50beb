"""The page in a real browser, against real servers that are killed on the way.

The tests themselves are in `browser/`, run by Node; `browser/main.test.mjs` plays them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import HeadgateServer
from tests.web.node_stage import node_programs, run_in_node
from tests.web.seed import ACCOUNT

COMMON = ["--guests"]
# Whom the limits and slow modes are there for.
PACED = {"HEADGATE_THROTTLING_ENABLED": "yes"}
PACED_LIMITS = [
    "send=4/s:6",
    "send.all=off",
    "command=off",
    "connect=off",
    "connect.address=off",
    "history=off",
]


def seeded(folder: Path) -> str:
    """Make the data of a server, and return the sessions of its people as JSON."""
    return subprocess.run(
        [sys.executable, "-m", "tests.web.seed", str(folder)],
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    ).stdout


def servers_of(folder: Path) -> dict[str, HeadgateServer]:
    """Return the servers of the scenes by name, on copies of the same data."""
    servers = {}
    for name, environment in ("open", {}), ("fragile", {}), ("paced", PACED):
        data = folder / name
        shutil.copytree(folder / "data", data)
        limits = PACED_LIMITS if environment else []
        arguments = [*COMMON, *(word for rate in limits for word in ("--limit", rate))]
        servers[name] = HeadgateServer(data, arguments, environment=environment)
    return servers


@pytest.mark.alone
@pytest.mark.timeout(1500)
def test_in_the_browser(tmp_path: Path) -> None:
    node_programs()
    sessions = seeded(tmp_path / "data")
    said = tmp_path / "node.out"
    failed = run_in_node(
        ["--test", "--test-reporter=spec", "browser/main.test.mjs"],
        servers_of(tmp_path),
        said,
        PEOPLE=sessions,
        ACCOUNT=" ".join(ACCOUNT),
        PICTURES=str(tmp_path / "pictures"),
        ONLY=os.environ.get("HEADGATE_SCENE", ""),
    )
    assert not failed, said.read_text(encoding="utf-8")
