"""How the tests of the npm package run its programs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.processes import spawn, stop

CLIENT = Path(__file__).parents[2] / "client"

Npm = Callable[..., None]


@pytest.fixture
def npm(tmp_path: Path) -> Npm:
    """Runs `npm` in the package; without it a skip, in CI a failure."""
    program = shutil.which("npm")
    missing = [] if program else ["npm"]
    if not (CLIENT / "node_modules").is_dir():
        missing.append("its modules (run `npm ci` in client)")
    if missing:
        why = f"the tests of the npm package need {', '.join(missing)}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    said = tmp_path / "npm.out"

    def run(
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        limit_seconds: float = 800.0,
    ) -> None:
        """Run it; what does not end in time, or not well, fails the test."""
        with said.open("wb") as output:
            process = spawn(
                [program, *arguments],
                cwd=CLIENT,
                env=os.environ | {"NO_COLOR": "1"} | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # to be ended with all that it started
            )
            try:
                code = process.wait(limit_seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                code = -signal.SIGKILL
            finally:
                stop(process, signal.SIGKILL, limit_seconds=5)
        assert code == 0, said.read_text(encoding="utf-8")

    return run
