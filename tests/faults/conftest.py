"""What breaking things takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tests.postgres import postgres, postgres_programs

__all__ = ["left_out"]


def left_out(why: str) -> NoReturn:
    """Skip a test, unless nothing may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why}, and with CI=true nothing may be left out")
    pytest.skip(why)


@pytest.fixture
def own_postgres_url() -> Iterator[str]:
    """A PostgreSQL for this test alone, to be broken. Ask for it before `serve`."""
    if postgres_programs() is None:
        left_out("PostgreSQL is not installed")
    with postgres() as url:
        yield url
