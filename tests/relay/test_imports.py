"""The relay is there without the extra `redis`."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("heavy", ["redis", "hiredis", "django", "uvicorn", "msgspec"])
def test_light_import(heavy: str) -> None:
    code = f"import sys, headgate.relay; print({heavy!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


WITHOUT_THE_EXTRA = """
import asyncio, sys
sys.modules["redis"] = sys.modules["hiredis"] = None
from headgate.relay import open_relay

class Deaf:
    received = doubtful = print

async def main():
    await open_relay(None, "test", Deaf).close()
    try:
        open_relay("redis://127.0.0.1/0", "test", Deaf)
    except ImportError:
        print("no redis")

asyncio.run(main())
"""


def test_without_the_extra_only_a_url_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "no redis\n"
