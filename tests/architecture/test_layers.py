"""Who may import whom."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def test_imports_point_down_only() -> None:
    done = subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


# What must be there without being paid for: no Django, no server, no codec.
@pytest.mark.parametrize("module", ["headgate", "headgate.limits", "headgate.relay"])
@pytest.mark.parametrize("heavy", ["django", "channels", "msgspec", "uvicorn", "rich"])
def test_light_import(module: str, heavy: str) -> None:
    code = f"import sys, {module}; print({heavy!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_the_limiter_needs_nothing_but_python() -> None:
    # -S: without site-packages, so that nothing installed can be of help.
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); "
    code += "import headgate, headgate.limits; print(headgate.limits.__all__)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Rate" in done.stdout


def test_client_needs_no_django() -> None:
    code = "import sys, headgate.client; print('django' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
