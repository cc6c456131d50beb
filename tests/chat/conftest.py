"""A database with rooms in it, and the engine that serves them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User

from headgate.chat.engine import Engine, close_engine, engine
from headgate.chat.models import Room


@pytest.fixture
def room(transactional_db: None) -> Room:
    """A public room."""
    return Room.objects.create(slug="general", title="General")


@pytest.fixture
def ada(transactional_db: None) -> User:
    """A user with a full name."""
    users = get_user_model()
    return users.objects.create_user("ada", first_name="Ada", last_name="Lovelace")


@pytest.fixture
def grace(transactional_db: None) -> User:
    """Another user."""
    return get_user_model().objects.create_user("grace", first_name="Grace")


@pytest.fixture
async def chat(transactional_db: None) -> AsyncIterator[Engine]:
    """The running loop's engine, closed at the end."""
    yield engine()
    await close_engine()
