"""A table of the project as messages: which column means what, and its rows.

Nothing is written here. `importing` writes what this reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models import F, prefetch_related_objects

from headgate.chat.people import Actor, actor_for, new_guest
from headgate.chat.profiles import profiles_of
from headgate.chat.source_values import (
    IMPORTED,
    MAX_SLUG,
    client_id_of,
    digest,
    made_slug,
    moment_of,
    own_slug,
    short,
    text_of,
)

__all__ = ["UNKNOWN", "BadTable", "SourceRoom", "SourceRow", "SourceTable"]

# Who wrote what has no author: in the table, or any more.
UNKNOWN = Actor("d:", "Unknown")

_KEYS_AT_ONCE = 2000
_MAX_TITLE = 200  # characters, as of `Room.title`
_MAX_SUBJECT_TYPE = 100  # the same of `Room.subject_type`
_MAX_SUBJECT_ID = 64  # the same of `Room.subject_id`


class BadTable(Exception):  # noqa: N818 - told to a person
    """This cannot be imported; the text says why and what can be done."""


@dataclass(frozen=True, slots=True)
class SourceRoom:
    """What a row says of its room; `value` is the column's own value.

    `subject` tells rooms of one origin apart for good, even where `slug`, which was
    made to be one, is the same.
    """

    subject: tuple[str, str]
    slug: str
    title: str
    value: Any

    @property
    def other_slug(self) -> str:
        """The slug where another room has the first choice."""
        mark = digest("\n".join(self.subject))[:8]
        return f"{self.slug[: MAX_SLUG - len(mark) - 1]}-{mark}"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row as a message, or with `problem` why it can be none.

    `room` is None where the table has no column for it; `at` is None where it has no
    time, or this row none.
    """

    pk: Any
    client_id: str
    text: str
    author: Actor
    at: datetime | None
    room: SourceRoom | None
    problem: str | None


class SourceTable:
    """A model of the project, with the columns that make messages of its rows.

    Args:
        model: Such as "app.Messages".
        text: The field of the text.
        room: The field of the room: a foreign key, or anything that `str` names.
        room_slug: The field of the room's model that has the slug.
        author: A foreign key to the user model, or a field with a name.
        at: A field with a date and time, or a date.

    Raises:
        BadTable: There is no such model, or a field is missing or of another kind.
    """

    def __init__(
        self,
        model: str,
        *,
        text: str,
        room: str | None = None,
        room_slug: str | None = None,
        author: str | None = None,
        at: str | None = None,
    ) -> None:
        self.model: Any = _model(model)
        self.label: str = self.model._meta.label_lower  # noqa: SLF001 - public
        self._pk: Any = self.model._meta.pk  # noqa: SLF001 - public
        if type(self._pk).__name__ == "CompositePrimaryKey":
            raise BadTable(f"{model} has a composite primary key, which is not taken.")
        self._text = _column(self.model, text, "--text-field")
        self._room: Any = room and _column(self.model, room, "--room-field")
        self._author: Any = author and _column(self.model, author, "--author-field")
        self._at: Any = at and _column(self.model, at, "--at-field")
        self._room_slug = room_slug
        self._check_text()
        self._check_room_slug()
        self._check_author()
        self._check_at()

    @property
    def has_rooms(self) -> bool:
        """Whether a column says of each row which room it belongs to."""
        return bool(self._room)

    @property
    def knows_users(self) -> bool:
        """Whether the authors are users of the project."""
        return bool(self._author and self._author.is_relation)

    def keys(self) -> Iterator[Any]:
        """Yield all primary keys, in the order of time.

        Rows of the same time come in the order of their keys, those without any last.
        """
        order: list[Any] = ["pk"]
        if self._at:
            order.insert(0, F(self._at.name).asc(nulls_last=True))
        keys = self._rows.order_by(*order).values_list("pk", flat=True)
        yield from keys.iterator(chunk_size=_KEYS_AT_ONCE)

    def key(self, kept: Any) -> Any:
        """Return a primary key of which `str` was kept."""
        return self._pk.to_python(kept)

    def rows(self, keys: Sequence[Any]) -> list[SourceRow]:
        """Return the rows of these keys, in their order; some may be gone by now."""
        columns = [self._text, self._room, self._author, self._at]
        names = [column.name for column in columns if column]
        found = self._rows.filter(pk__in=keys).only("pk", *names)
        rows = {row.pk: row for row in found}
        related = [c.name for c in (self._room, self._author) if c and c.is_relation]
        ordered = [rows[key] for key in keys if key in rows]
        prefetch_related_objects(ordered, *related)
        if self.knows_users:
            # All at once, instead of one after the other below.
            users = (_related(row, self._author) for row in ordered)
            profiles_of({f"u:{user.pk}" for user in users if user is not None})
        return [self._row(row) for row in ordered]

    def users_in(self, room: SourceRoom | None) -> Iterator[Actor]:
        """Yield the users who wrote in a room; without one, in the whole table."""
        rows = self._rows.exclude(**{self._author.attname: None})
        if room is not None:
            rows = rows.filter(**{self._room.attname: room.value})
        keys = rows.order_by().values(self._author.attname)
        target = self._author.target_field.name
        users = get_user_model()._base_manager.filter(**{f"{target}__in": keys})  # noqa: SLF001 - public
        for user in users.order_by("pk").iterator(chunk_size=_KEYS_AT_ONCE):
            yield actor_for(user)

    @property
    def _rows(self) -> models.QuerySet[Any]:
        # The project's own manager: what it hides is not to come to light here.
        rows: models.QuerySet[Any] = self.model._default_manager.all()  # noqa: SLF001 - public
        return rows

    # --- the columns ---

    def _check_text(self) -> None:
        if self._text.is_relation:
            raise BadTable(f"--text-field {self._text.name} is no text but a relation.")

    def _check_room_slug(self) -> None:
        if self._room_slug is None:
            return
        if not self._room or not self._room.is_relation:
            raise BadTable(
                "--room-slug-field names a field of the room's model, so --room-field "
                "has to be a foreign key.",
            )
        _column(self._room.related_model, self._room_slug, "--room-slug-field")

    def _check_author(self) -> None:
        field = self._author
        if not field:
            return
        users: Any = get_user_model()
        if field.is_relation and not issubclass(users, field.related_model):
            raise BadTable(
                f"--author-field {field.name} leads to "
                f"{field.related_model._meta.label}, and not to the user model, "  # noqa: SLF001 - public
                f"{users._meta.label}. Name a field that does, or one with a name.",  # noqa: SLF001 - public
            )
        if not field.is_relation and not isinstance(
            field, models.CharField | models.TextField
        ):
            raise BadTable(
                f"--author-field {field.name} is of the type {type(field).__name__}. "
                "Name a foreign key to the user model, or a field with a name.",
            )

    def _check_at(self) -> None:
        if self._at and not isinstance(self._at, models.DateField):
            raise BadTable(
                f"--at-field {self._at.name} is of the type "
                f"{type(self._at).__name__}, and no date and time.",
            )

    # --- one row ---

    def _row(self, row: Any) -> SourceRow:
        client_id = client_id_of(self.label, row.pk)
        text, problem = text_of(getattr(row, self._text.attname), client_id)
        at = None
        if self._at:
            try:
                at = moment_of(getattr(row, self._at.attname))
            except (OverflowError, ValueError):
                problem = problem or "its time is too far from now"
        room = self._room_of(row) if self._room else None
        if self._room and room is None:
            problem = problem or "it has no room"
        return SourceRow(
            row.pk, client_id, text, self._author_of(row), at, room, problem
        )

    def _author_of(self, row: Any) -> Actor:
        if not self._author:
            return UNKNOWN
        if self._author.is_relation:
            user = _related(row, self._author)
            return UNKNOWN if user is None else actor_for(user)
        name = str(getattr(row, self._author.attname) or "").strip()
        if not name:
            return UNKNOWN
        # A key that no guest has: those of guests are 16 hexadecimal digits alone.
        return Actor(f"g:import-{digest(name)}", new_guest(name).name)

    def _room_of(self, row: Any) -> SourceRoom | None:
        value = getattr(row, self._room.attname)
        if self._room.is_relation:
            thing = _related(row, self._room)
            if thing is None:
                return None
            # As `room_for` knows it: a proxy's objects are those of its model.
            kind = thing._meta.concrete_model._meta.label_lower  # noqa: SLF001 - public
            name = str(thing.pk)
            shown = str(thing)
            slug = made_slug(shown)
            if self._room_slug:
                slug = own_slug(str(getattr(thing, self._room_slug)))
        else:
            kind = f"{IMPORTED}{self.label}.{self._room.name}"
            shown = name = "" if value is None else str(value)
            slug = own_slug(name)
            if not name.strip():
                return None
        return SourceRoom(
            (kind[:_MAX_SUBJECT_TYPE], short(name, _MAX_SUBJECT_ID)),
            slug,
            shown.replace("\x00", "")[:_MAX_TITLE],
            value,
        )


def _model(label: str) -> Any:
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        pass
    name = label.partition(".")[0]
    found = [m._meta.label for m in apps.get_models() if m._meta.app_label == name]  # noqa: SLF001 - public
    known = sorted(found) or sorted({m._meta.app_label for m in apps.get_models()})  # noqa: SLF001 - public
    kind = "models" if found else "apps"
    raise BadTable(
        f"There is no model {label!r}. Write app_label.Model; the {kind} are: "
        f"{', '.join(known)}.",
    )


def _column(model: Any, name: str, option: str) -> Any:
    """Return the field of a column; raises `BadTable` with the names there are."""
    columns = {field.name: field for field in model._meta.concrete_fields}  # noqa: SLF001 - public
    try:
        field = model._meta.get_field(name)  # noqa: SLF001 - public
    except FieldDoesNotExist:
        field = None
    if field is None or field not in columns.values():
        raise BadTable(
            f"{option}: {model._meta.label} has no column {name!r}; it has "  # noqa: SLF001 - public
            f"{', '.join(columns)}.",
        )
    return field


def _related(row: Any, field: Any) -> Any:
    """Return what a foreign key leads to, or None where it leads nowhere."""
    try:
        return getattr(row, field.name)
    except field.related_model.DoesNotExist:
        return None
