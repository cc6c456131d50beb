"""A room, and destinations that want its events."""

from __future__ import annotations

import pytest

from headgate.chat.models import Room
from headgate.outbound import registry
from tests.chat.conftest import ada, chat, grace  # noqa: F401 - fixtures
from tests.outbound.owed_calls import Ledger


@pytest.fixture
def room(transactional_db: None) -> Room:
    """A public room."""
    return Room.objects.create(slug="general", title="General")


@pytest.fixture
def ledger() -> Ledger:
    """The ledger, by a clock of the test."""
    return Ledger()


@pytest.fixture(autouse=True)
def _no_declarations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what one test declares from the next."""
    monkeypatch.setattr(registry, "_declared", {})
    monkeypatch.setattr(registry, "_followed", set())
    registry._forget()
