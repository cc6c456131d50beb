"""What is in a server's data before a browser comes: people, and rooms with a past.

    python -m tests.web.seed DATA [--story]

prints the session cookies of the people as JSON, by their names. With `--story` there
is the conversation of the documentation's pictures, and nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from headgate.server.options import ServeOptions
from headgate.server.setup import make_demo_rooms, set_up
from tests.web.story import tell_story

__all__ = ["ACCOUNT", "LONG_MESSAGES"]

# Who signs in by the form. Others come with a session: a hash of a password takes long.
ACCOUNT = ("zoe", "correct horse 9")

PEOPLE = ["Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Noa"]
MODERATORS = ["Mo", "Mia"]
LONG_MESSAGES = 1_200


def main(data: Path, *, story: bool) -> None:
    """Fill the data folder and print the sessions."""
    set_up(ServeOptions(data=data))
    make_demo_rooms()
    people = {name: _person(name) for name in PEOPLE + MODERATORS}
    if story:
        tell_story(people)
    else:
        _account()
        _fill_long_room(people)
        _close_a_room(people["Ada"])
    json.dump({name: _session_of(user) for name, user in people.items()}, sys.stdout)


def _person(name: str) -> Any:
    from django.contrib.auth import get_user_model

    user = get_user_model()(username=name.lower(), first_name=name)
    user.is_superuser = name in MODERATORS
    user.set_unusable_password()
    user.save()
    return user


def _account() -> None:
    from django.contrib.auth import get_user_model

    name, password = ACCOUNT
    get_user_model().objects.create_user(name, password=password, first_name="Zoe")


def _session_of(user: Any) -> str:
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def _fill_long_room(people: dict[str, Any]) -> None:
    from django.db import transaction

    from headgate.chat.actions import send_message
    from headgate.chat.models import Room

    Room.objects.create(slug="long", title="Long")
    names = sorted(people)
    with transaction.atomic():
        for n in range(1, LONG_MESSAGES + 1):
            lines = "\n".join(["and more"] * (n % 4))
            author = people[names[n // 3 % len(names)]]
            send_message("long", author, f"message {n}\n{lines}".strip())


def _close_a_room(member: Any) -> None:
    from headgate.chat.actions import add_member
    from headgate.chat.models import Room

    Room.objects.create(slug="board", title="Board", kind=Room.Kind.GROUP)
    add_member("board", member)


if __name__ == "__main__":
    main(Path(sys.argv[1]), story="--story" in sys.argv[2:])
