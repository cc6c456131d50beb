"""What is kept in memory follows the log: the same as a later look at it gives."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from django.contrib.auth.models import User

from headgate.chat.actions import (
    delete_message,
    edit_message,
    send_message,
)
from headgate.chat.history import _events
from headgate.chat.models import Room
from headgate.live.revised import revised
from headgate.protocol.pushes import LogEvent
from tests.live.parts import deletion, edit, message

Step = Callable[[Room, User], object]


def send(room: Room, ada: User) -> None:
    send_message(room, ada, "first")


def send_all(room: Room, ada: User) -> None:
    """Send a message that has everything that a message may have."""
    send_message(
        room,
        ada,
        "*second*",
        client_id="c1",
        kind="x-card",
        format="markdown",
        data={"colour": "red"},
        reply_to=1,
        priority="high",
        expires_in_ms=60_000,
    )


def edit_it(room: Room, ada: User, target: int, *, rich: bool) -> None:
    more = {"format": "markdown", "data": {"shape": "round"}} if rich else {}
    edit_message(room, target, f"edited, {rich}", by=ada, **more)


def delete(room: Room, ada: User, target: int) -> None:
    delete_message(room, target, by=ada)


EDIT_1, EDIT_2 = partial(edit_it, target=1), partial(edit_it, target=2)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "steps",
    [
        [partial(EDIT_1, rich=False)],
        [partial(EDIT_1, rich=True)],
        [partial(EDIT_2, rich=False)],
        [partial(EDIT_2, rich=True), partial(EDIT_2, rich=False)],
        [partial(delete, target=1)],
        [partial(delete, target=2)],
        [partial(EDIT_2, rich=True), partial(delete, target=2)],
        [partial(EDIT_2, rich=True), partial(EDIT_1, rich=True)],
        [
            partial(EDIT_1, rich=True),
            partial(EDIT_2, rich=True),
            partial(EDIT_1, rich=False),
            partial(delete, target=1),
            send,
            partial(delete, target=2),
        ],
    ],
)
def test_the_log_gives_the_same_later(steps: list[Step]) -> None:
    ada = User.objects.create_user("ada", is_staff=True)
    room = Room.objects.create(slug="general")
    for step in (send, send_all, send):
        step(room, ada)
    kept: list[LogEvent] = []
    for step in (lambda *_: None, *steps):
        step(room, ada)
        for event in _events(room.pk, len(kept), 1000, 1000):
            kept = [revised(each, event) or each for each in kept]
            kept.append(event)

    assert kept == _events(room.pk, 0, 1000, 1000)


@pytest.mark.parametrize("change", [edit(1, 9, 4, "new"), deletion(1, 9, 4)])
def test_other_events_stay_as_they_are(change: LogEvent) -> None:
    for event in (message(1, 3), message(1, 5), edit(1, 8, 3, "other")):
        assert revised(event, change) is None
    assert revised(deletion(1, 8, 4), change) is None


@pytest.mark.parametrize("event", [message(1, 9), message(1, 4)])
def test_what_is_no_change_changes_nothing(event: LogEvent) -> None:
    assert revised(message(1, 4), event) is None
