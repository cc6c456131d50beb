"""What the tests of conversations begin with: a log, a group."""

from __future__ import annotations

from django.contrib.auth.models import User

from headgate.chat import actions
from headgate.chat.models import Room
from headgate.chat.people import SYSTEM

__all__ = ["group", "write"]


def write(count: int, room: str = "general", text: str = "m{}") -> None:
    for n in range(1, count + 1):
        actions.send_message(room, SYSTEM, text.format(n), kind="system")


def group(*members: User) -> Room:
    made = Room.objects.create(slug="group", kind=Room.Kind.GROUP)
    for member in members:
        actions.add_member(made, member)
    return made
