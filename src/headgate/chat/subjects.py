"""The rooms of the project's things: of an order, a ticket, a project.

A room knows its thing as `subject_type` and `subject_id`, and a constraint of the
database keeps it at one room for each. A thing that is deleted leaves its room: what
was said there is not the thing's to delete.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any

from django.db import IntegrityError, models, router, transaction
from django.utils.text import capfirst

from headgate.chat import actions
from headgate.chat.django_thread import in_django_thread
from headgate.chat.models import Member, Room
from headgate.chat.people import Actor, actor_for
from headgate.protocol.codec import is_room_slug

__all__ = ["aroom_for", "room_for"]

_MAX_SLUG = 64
_MAX_TITLE = 200
_MAX_SUBJECT_ID = 64
_TRIES = 3  # at a slug by chance, when the others are taken


def room_for(
    obj: models.Model,
    *,
    members: Iterable[Any] | None = None,
    kind: str | None = None,
    title: str | None = None,
) -> Room:
    """Return the room of a thing of the project, made at first use.

    However many ask at once, there is one. Its slug is that of the model's name and
    the primary key, such as `order-7`, unless that is taken or can name no room.

    Args:
        obj: Any saved object of a model.
        members: Users who are to be members. Those who are none yet are added; nobody
            is removed.
        kind: `public`, `group` or `direct`; a group where members are given, and
            public otherwise. It counts when the room is made.
        title: What people see; the model's name and the key, such as `Order 7`, if it
            is left out. It counts when the room is made.

    Raises:
        TypeError: `obj` is no object of a model, or a member is nobody.
        ValueError: It is not saved, its key is longer than 64 characters, or the room
            is there and of another kind.
    """
    subject = _subject(obj)
    people = [] if members is None else [actor_for(member) for member in members]
    wanted = kind or (None if members is None else Room.Kind.GROUP.value)
    if wanted is not None and wanted not in Room.Kind.values:
        raise ValueError(f"{kind!r} is no kind of room: {', '.join(Room.Kind.values)}.")
    using = router.db_for_write(Room)
    room = _find(subject, using)
    if room is None:
        with transaction.atomic(using=using):  # with its members, or not at all
            room = _make(obj, subject, wanted, title, using)
            _add(room, people, using)
    if wanted not in {None, room.kind}:
        raise ValueError(
            f"The room {room.slug!r} is {room.kind}, not {wanted}: pass "
            f"kind={room.kind!r}, or change the room.",
        )
    _add(room, people, using)
    return room


async def aroom_for(obj: models.Model, **more: Any) -> Room:
    """Return the room of a thing, as `room_for` does, from async code."""
    return await in_django_thread(room_for, obj, **more)


def _subject(obj: Any) -> tuple[str, str]:
    """Return what the room knows its thing by."""
    if not isinstance(obj, models.Model):
        raise TypeError(f"{obj!r} is no object of a model: pass a saved one.")
    # A proxy's objects are those of the model behind it.
    meta: Any = obj._meta.concrete_model._meta  # type: ignore[union-attr] # noqa: SLF001 - public
    pk = str(obj.pk)
    if obj.pk is None or obj._state.adding:  # noqa: SLF001 - documented
        raise ValueError(f"{meta.object_name} is not saved: save it first.")
    if len(pk) > _MAX_SUBJECT_ID:
        raise ValueError(
            f"The key of this {meta.object_name} has {len(pk)} characters; rooms take "
            f"{_MAX_SUBJECT_ID}.",
        )
    return meta.label_lower, pk


def _find(subject: tuple[str, str], using: str) -> Room | None:
    kind, name = subject
    rooms = Room.objects.using(using)
    return rooms.filter(subject_type=kind, subject_id=name).first()


def _make(
    obj: models.Model,
    subject: tuple[str, str],
    kind: str | None,
    title: str | None,
    using: str,
) -> Room:
    """Make the room, or return the one that somebody made meanwhile."""
    for slug in _slugs(subject):
        try:
            with transaction.atomic(using=using):
                return Room.objects.using(using).create(
                    slug=slug,
                    title=(title or _title(obj))[:_MAX_TITLE],
                    kind=kind or Room.Kind.PUBLIC,
                    subject_type=subject[0],
                    subject_id=subject[1],
                )
        except IntegrityError:
            found = _find(subject, using)
            if found is not None:
                return found
    raise RuntimeError(f"No name is free for the room of {subject[0]} {subject[1]}.")


def _slugs(subject: tuple[str, str]) -> Iterator[str]:
    """Yield names for a room, the best one first."""
    plain = f"{subject[0].partition('.')[2]}-{subject[1]}"
    if is_room_slug(plain):
        yield plain
    clean = re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).strip("_.-") or "room"
    marks = [blake2b("\n".join(subject).encode(), digest_size=4).hexdigest()]
    marks += [secrets.token_hex(4) for _ in range(_TRIES)]
    for mark in marks:
        yield f"{clean[: _MAX_SLUG - len(mark) - 1]}-{mark}"


def _title(obj: models.Model) -> str:
    """Return the model's name and the key: `str(obj)` may be an e-mail address."""
    return f"{capfirst(obj._meta.verbose_name)} {obj.pk}"  # noqa: SLF001 - public


def _add(room: Room, people: Iterable[Actor], using: str) -> None:
    """Add those who are no members yet."""
    wanted = {actor.key: actor for actor in people}
    if not wanted:
        return
    rows = Member.objects.using(using).filter(room=room, author_key__in=list(wanted))
    known = set(rows.values_list("author_key", flat=True))
    for key, actor in wanted.items():
        if key not in known:
            actions.add_member(room, actor)
