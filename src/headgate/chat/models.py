"""What is kept: rooms, their members, and each room's log of events.

An `Event` is one durable change and has the next seq of its room. A message's own
row always carries its current text, so that messages can be listed without
replaying the edits and deletions that came later in the log.
"""

from __future__ import annotations

import secrets
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from headgate.protocol.fields import ROOM_PATTERN, RULES

__all__ = [
    "AccessChange",
    "Event",
    "GrowingMessage",
    "LimitOverride",
    "Member",
    "Message",
    "Room",
]


def new_epoch() -> str:
    """Return a name for one life of a room's log; another after a restored backup."""
    return secrets.token_hex(4)


class Room(models.Model):
    """A room; its slug is the `chat_id` of the URL."""

    class Kind(models.TextChoices):
        """Who may come in."""

        PUBLIC = "public", _("public")
        GROUP = "group", _("group")
        DIRECT = "direct", _("direct")

    slug = models.CharField(
        max_length=64,
        unique=True,
        validators=[RegexValidator(ROOM_PATTERN, RULES["room"])],
    )
    title = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.PUBLIC)
    head = models.PositiveBigIntegerField(default=0, editable=False)
    epoch = models.CharField(max_length=16, default=new_epoch, editable=False)
    # The thing of the project that the room belongs to, such as ("shop.order", "7").
    subject_type = models.CharField(max_length=100, blank=True)
    subject_id = models.CharField(max_length=64, blank=True)
    data = models.JSONField(default=dict, blank=True)
    settings = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("room")
        verbose_name_plural = _("rooms")
        constraints = [  # noqa: RUF012 - Django's idiom
            models.UniqueConstraint(
                fields=["subject_type", "subject_id"],
                name="headgate_room_subject_once",
                condition=~Q(subject_type=""),
            ),
        ]

    def __str__(self) -> str:
        return self.title or self.slug

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save all but the head and the epoch, which belong to the log.

        A room object is a copy; writing its old head back would number events twice.
        """
        if not self._state.adding and kwargs.get("update_fields") is None:
            kwargs["update_fields"] = [
                field.name
                for field in self._meta.concrete_fields
                if field.name not in {"id", "head", "epoch"}
            ]
        super().save(*args, **kwargs)


class Member(models.Model):
    """A person's standing in a room: role, read mark, mute, ban.

    Group and direct rooms are for members only. In a public room a row gives no
    right to come in, since all may; it keeps a role, a read mark, a mute or a ban.
    """

    class Role(models.TextChoices):
        """What somebody may do beyond writing."""

        OWNER = "owner", _("owner")
        MODERATOR = "moderator", _("moderator")
        MEMBER = "member", _("member")

    room = models.ForeignKey(
        Room,
        on_delete=models.CASCADE,
        related_name="members",
        db_index=False,  # headgate_member_once begins with it
    )
    author_key = models.CharField(max_length=64)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
    )
    name = models.CharField(max_length=150, blank=True)
    role = models.CharField(max_length=9, choices=Role.choices, default=Role.MEMBER)
    read_seq = models.PositiveBigIntegerField(default=0)
    muted_until = models.DateTimeField(null=True, blank=True)
    banned = models.BooleanField(default=False)
    visible_from_seq = models.PositiveBigIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints = [  # noqa: RUF012 - Django's idiom
            models.UniqueConstraint(
                fields=["room", "author_key"],
                name="headgate_member_once",
            ),
        ]
        indexes = [  # noqa: RUF012 - Django's idiom
            models.Index(
                fields=["room"],
                name="headgate_member_held",
                condition=Q(banned=True) | Q(muted_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.author_key


class Event(models.Model):
    """One durable change in a room's log. Written by `headgate.chat.append` only."""

    class Kind(models.TextChoices):
        """What changed; the name of the push that tells it."""

        MESSAGE = "message", _("message")
        EDITED = "edited", _("edit")
        DELETED = "deleted", _("deletion")
        MEMBERSHIP = "membership", _("membership")

    room = models.ForeignKey(
        Room,
        on_delete=models.CASCADE,
        related_name="events",
        db_index=False,  # headgate_event_seq begins with it; one more costs each write
    )
    seq = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    author_key = models.CharField(max_length=64)
    author_name = models.CharField(max_length=150)
    client_id = models.CharField(max_length=64, null=True)  # noqa: DJ001 - unique
    # What client_id was first used for: a keyed digest, so that the text, once
    # deleted, cannot be guessed from it. Of the end of a message that grew, where
    # something else was saved than its author gave: how long that was.
    digest = models.BinaryField(max_length=16, null=True)
    text = models.TextField(blank=True)
    # What most events do not have: kind, format, data, reply_to, priority,
    # expires_in_ms, open, state of a message; state of an edit that ends one; member,
    # change, role, until of a membership.
    details = models.JSONField(null=True)
    target = models.PositiveBigIntegerField(null=True)
    at = models.DateTimeField()
    edited_seq = models.PositiveBigIntegerField(null=True)
    deleted_seq = models.PositiveBigIntegerField(null=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [  # noqa: RUF012 - Django's idiom
            models.UniqueConstraint(fields=["room", "seq"], name="headgate_event_seq"),
            # The id comes first: those of our clients begin with the time, so what is
            # written together in many rooms stands together. With the room first a
            # message costs a page of its own to write.
            models.UniqueConstraint(
                fields=["client_id", "room", "author_key"],
                name="headgate_event_client_id",
                condition=Q(client_id__isnull=False),
            ),
        ]
        indexes = [  # noqa: RUF012 - Django's idiom
            models.Index(
                fields=["room", "target"],
                name="headgate_event_target",
                condition=Q(target__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.seq}"

    def save(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse: a row made past the log would have no place in it."""
        raise TypeError(
            "Events are not saved one by one: call headgate.send_message() to write, "
            "headgate.chat.actions.edit_message() or delete_message() to change.",
        )

    def delete(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Refuse: a missing seq would be a hole for every reader."""
        raise TypeError(
            "Events stay in the log: call headgate.chat.actions.delete_message(), "
            "which blanks the text and tells everybody.",
        )


class MessageManager(models.Manager["Message"]):
    """The events that are messages."""

    def get_queryset(self) -> models.QuerySet[Message]:
        """Return messages only, deleted ones included."""
        return super().get_queryset().filter(kind=Event.Kind.MESSAGE)


class Message(Event):
    """A message as it is now."""

    objects = MessageManager()  # type: ignore[misc] # a proxy narrows its manager

    class Meta:
        proxy = True
        verbose_name = _("message")
        verbose_name_plural = _("messages")


class GrowingMessage(models.Model):
    """A message that still grows, and when its author was heard of last.

    Written by `headgate.chat.append`, and gone with the event that ends the message.
    """

    room = models.ForeignKey(
        Room,
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,  # headgate_growing_once begins with it
    )
    seq = models.PositiveBigIntegerField()
    author_key = models.CharField(max_length=64)
    alive_at = models.DateTimeField()

    class Meta:
        verbose_name = _("growing message")
        verbose_name_plural = _("growing messages")
        constraints = [  # noqa: RUF012 - Django's idiom
            models.UniqueConstraint(
                fields=["room", "seq"],
                name="headgate_growing_once",
            ),
        ]
        indexes = [  # noqa: RUF012 - Django's idiom
            models.Index(fields=["alive_at"], name="headgate_growing_alive"),
        ]

    def __str__(self) -> str:
        return f"{self.seq}"


class AccessChange(models.Model):
    """A notice that somebody's access may have ended, for every process to read.

    Written by `headgate.chat.access`, in the transaction that changes it, and
    deleted when every process has long seen it: a notice, not a record.
    """

    class What(models.TextChoices):
        """What has to be looked at again."""

        ACCESS = "access", _("access")  # rights: of one person, in one room, or all
        LOGOUT = "logout", _("logout")  # the connections of one session
        USER = "user", _("user")  # whether an account still is what it was
        ROOM = "room", _("room")  # a room's slow mode and rates
        LIMITS = "limits", _("limits")  # the rates of single people

        @classmethod
        def of_people(cls) -> frozenset[str]:
            """Return those by which somebody's access may have ended."""
            return frozenset({cls.ACCESS, cls.LOGOUT, cls.USER})

    what = models.CharField(max_length=6, choices=What.choices)
    author_key = models.CharField(max_length=64, blank=True)
    room = models.ForeignKey(
        Room,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,  # there are few rows, and none is looked for by its room
    )
    session = models.CharField(max_length=32, blank=True)
    at = models.DateTimeField()

    class Meta:
        verbose_name = _("access change")
        verbose_name_plural = _("access changes")
        default_permissions = ()
        indexes = [  # noqa: RUF012 - Django's idiom
            models.Index(fields=["at"], name="headgate_access_at"),
            models.Index(
                fields=["session"],
                name="headgate_access_session",
                condition=~Q(session=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.what} {self.pk}"


class LimitOverride(models.Model):
    """A limit of one person that is other than everybody's."""

    author_key = models.CharField(max_length=64, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("user"),
    )
    policy = models.CharField(_("policy"), max_length=64)
    rate = models.CharField(_("rate"), max_length=40)
    note = models.CharField(_("note"), max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("limit of a person")
        verbose_name_plural = _("limits of people")
        constraints = [  # noqa: RUF012 - Django's idiom
            models.UniqueConstraint(
                fields=["user", "policy"],
                name="headgate_limit_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy} {self.rate}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it under the user's key."""
        self.author_key = f"u:{self.user_id}"
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Check the policy and its rate."""
        # Not at the top: the policies need the settings, and models are imported first.
        from headgate.chat.policies import STANDARD, policy_mistake

        mistake = policy_mistake(self.policy, self.rate, STANDARD)
        if mistake is not None:
            raise ValidationError({"rate": mistake})
