from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from headgate.chat import actions
from headgate.chat.erasure import truncate_log
from headgate.chat.models import Room

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

CANARY = "canary-of-project-code " * 40


def kept(text: str) -> bool:
    """Return whether a text is anywhere in SQLite's files."""
    file = Path(connection.settings_dict["NAME"])
    files = [file, file.with_name(file.name + "-wal")]
    return any(text.encode() in each.read_bytes() for each in files if each.exists())


@pytest.fixture
def written_ahead() -> Iterator[None]:
    """Keep a log file, as a server has it; the suite's own file has none."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = WAL")
    yield
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = DELETE")


def test_text_deleted_by_project_code_is_gone_from_the_files(
    written_ahead: None,
    room: Room,
    ada: User,
) -> None:
    sent = actions.send_message(room, ada, CANARY)
    assert connection.vendor != "sqlite" or kept("canary-of-project-code")

    with transaction.atomic():
        actions.delete_message(room, sent.seq, by=ada)
        assert connection.vendor != "sqlite" or kept("canary-of-project-code")

    if connection.vendor == "sqlite":
        assert not kept("canary-of-project-code")
    assert truncate_log(connection)
