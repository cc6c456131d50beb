"""A limiter of each test's own, on a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headgate.contrib import shared
from headgate.limits import Limiter, MemoryStore
from tests.contrib.clocks import Clock


@pytest.fixture(autouse=True)
def _unlimited() -> None:
    """Leave limits on: these tests are about them."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> Iterator[Limiter]:
    """The limiter of the process, for this test."""
    given = Limiter(MemoryStore(clock=clock))
    shared.use_limiter(given)
    yield given
    shared.use_limiter(None)


@pytest.fixture
def real_limiter() -> Iterator[Limiter]:
    """The same on the real clock, for what waits."""
    given = Limiter(MemoryStore())
    shared.use_limiter(given)
    yield given
    shared.use_limiter(None)
