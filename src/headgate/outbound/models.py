"""What is kept: destinations, the deliveries that are owed to them, and each attempt.

A delivery refers to its event, and does not copy it: what was deleted in the meantime
is not told to anybody. All that decides whether a destination may be called now stands
in its row, so that under that row's lock it is exact across processes.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from headgate.chat.models import Room
from headgate.outbound.uuid7 import uuid7

__all__ = ["AbsentMark", "Attempt", "Bot", "Delivery", "Destination", "IncomingWebhook"]


class Destination(models.Model):
    """An external service, and the rate at which it may be called."""

    class Kind(models.TextChoices):
        """How it is called."""

        WEBHOOK = "webhook", _("webhook")
        HANDLER = "handler", _("function of the project")

    class Ordering(models.TextChoices):
        """Whether one call waits for another."""

        NONE = "none", _("none")
        ROOM = "room", _("one after the other in each room")

    class Late(models.TextChoices):
        """What becomes of a delivery that is no longer of use."""

        KEEP = "keep", _("send it all the same")
        DROP = "drop", _("drop it")
        DIGEST = "digest", _("send one digest of all that are late")

    class Importance(models.IntegerChoices):
        """Who goes first."""

        HIGH = 0, _("high")
        NORMAL = 1, _("normal")
        LOW = 2, _("low")

    name = models.SlugField(_("name"), max_length=64, unique=True)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.WEBHOOK)
    # Of a webhook.
    url = models.CharField(_("URL"), max_length=2000, blank=True)
    # The live secrets, `whsec_…`, the newest first; each call is signed with all.
    secrets = models.JSONField(default=list, blank=True)
    # Of a handler: `bot:helper`, or the dotted name of a function.
    handler = models.CharField(max_length=200, blank=True)

    # What it wants: names of events, patterns of rooms' slugs. Without a pattern it is
    # told of no room; `*` are all of them.
    events = models.JSONField(default=list, blank=True)
    rooms = models.JSONField(default=list, blank=True)
    # The room whose owner made it; it is told of that one alone.
    room = models.ForeignKey(
        Room, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )

    # How it may be called. `rate` is as in a policy, `10/s:20`; empty: without one.
    rate = models.CharField(max_length=40, blank=True)
    concurrency = models.PositiveIntegerField(default=8)
    ordering = models.CharField(
        max_length=4, choices=Ordering.choices, default=Ordering.NONE
    )
    timeout_seconds = models.FloatField(default=15.0)
    max_attempts = models.PositiveIntegerField(default=12)
    # How many events may go as one call, and how long the first of them may wait.
    batch_size = models.PositiveIntegerField(default=1)
    batch_wait_seconds = models.FloatField(default=0.0)
    # What all calls together may cost, as a rate in the units that calls report.
    cost_budget = models.CharField(max_length=40, blank=True)
    # Of its deliveries, where they do not say otherwise.
    importance = models.PositiveSmallIntegerField(
        choices=Importance.choices, default=Importance.NORMAL
    )
    useful_seconds = models.FloatField(null=True, blank=True)
    late = models.CharField(max_length=6, choices=Late.choices, default=Late.KEEP)

    # Whether it is called: `paused` by somebody; not `enabled` with a reason.
    enabled = models.BooleanField(default=True)
    paused = models.BooleanField(default=False)
    disabled_reason = models.CharField(max_length=200, blank=True)

    # The gates. Times are seconds since 1970, as a float; 0.0 is long ago.
    not_before = models.FloatField(default=0.0, editable=False)  # by 429 and 503
    rate_tat = models.FloatField(default=0.0, editable=False)  # GCRA's one number
    cost_tat = models.FloatField(default=0.0, editable=False)  # the same, of costs
    retry_tokens = models.FloatField(default=10.0, editable=False)
    retry_at = models.FloatField(default=0.0, editable=False)  # when these were counted
    breaker_until = models.FloatField(default=0.0, editable=False)  # open until then
    breaker_opened = models.PositiveIntegerField(default=0, editable=False)  # in a row
    probe_until = models.FloatField(default=0.0, editable=False)  # lease of the probe
    window_at = models.FloatField(default=0.0, editable=False)
    window_calls = models.PositiveIntegerField(default=0, editable=False)
    window_failures = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.FloatField(null=True, editable=False)

    # What it has cost so far.
    calls = models.PositiveBigIntegerField(default=0, editable=False)
    failures = models.PositiveBigIntegerField(default=0, editable=False)
    delivered = models.PositiveBigIntegerField(default=0, editable=False)
    service_seconds = models.FloatField(default=0.0, editable=False)
    # From when calls were due until they went: mostly for limits.
    waited_seconds = models.FloatField(default=0.0, editable=False)
    cost = models.PositiveBigIntegerField(default=0, editable=False)

    created_by = models.CharField(max_length=64, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("destination")
        verbose_name_plural = _("destinations")

    def __str__(self) -> str:
        return self.name

    def save(self, **options: Any) -> None:
        """Save what people decide; the rest is the ledger's, under the row's lock.

        Whoever saves a row that was read a while ago would turn its gates back.

        Raises:
            ValidationError: Of a new row, with what is wrong by the names of columns.
        """
        if self._state.adding:
            # Not at the top: the rules know the notices, and these the models.
            from headgate.outbound.destination_rules import check_new

            check_new(self)
        elif options.get("update_fields") is None:
            fields = self._meta.concrete_fields
            options["update_fields"] = [
                field.name
                for field in fields
                if field.editable and not field.primary_key
            ]
        super().save(**options)


class Delivery(models.Model):
    """One call that is owed. Written by `headgate.outbound.ledger` only."""

    class State(models.TextChoices):
        """What has become of it."""

        DUE = "due", _("due")
        DONE = "done", _("delivered")
        DEAD = "dead", _("given up")
        DROPPED = "dropped", _("dropped")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    destination = models.ForeignKey(
        Destination,
        on_delete=models.CASCADE,
        related_name="deliveries",
        db_index=False,  # headgate_delivery_due begins with it
    )
    event = models.CharField(max_length=40)
    # The event of the log that it tells; none where it has a payload of its own.
    room = models.ForeignKey(
        Room, on_delete=models.CASCADE, null=True, related_name="+", db_index=False
    )
    seq = models.PositiveBigIntegerField(null=True)
    payload = models.JSONField(null=True)
    # Those with one order key of a destination go one after the other.
    order_key = models.CharField(max_length=64, blank=True)

    state = models.CharField(max_length=7, choices=State.choices, default=State.DUE)
    importance = models.PositiveSmallIntegerField(default=1)
    # When it may be tried next. While it is leased: when the lease ends, and it is
    # due again. Seconds since 1970.
    due_at = models.FloatField()
    # Changes with each lease, so that whoever lost theirs changes nothing any more.
    lease = models.CharField(max_length=32, blank=True)
    expires_at = models.FloatField(null=True)
    # Those that go as one call, and always together: its id is the call's.
    batch = models.UUIDField(null=True)
    # Whether these are late, and told as their number alone.
    is_digest = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0)
    last_status = models.PositiveIntegerField(null=True)
    last_error = models.CharField(max_length=300, blank=True)
    created_at = models.FloatField()
    finished_at = models.FloatField(null=True)

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        indexes = [  # noqa: RUF012 - Django's idiom
            models.Index(
                fields=["destination", "importance", "due_at"],
                name="headgate_delivery_due",
                condition=Q(state="due"),
            ),
            models.Index(
                fields=["destination", "order_key", "seq", "id"],
                name="headgate_delivery_order",
                condition=Q(state="due") & ~Q(order_key=""),
            ),
            models.Index(
                fields=["destination"],
                name="headgate_delivery_leased",
                condition=Q(state="due") & ~Q(lease=""),
            ),
            models.Index(
                fields=["batch"],
                name="headgate_delivery_batch",
                condition=Q(state="due") & Q(batch__isnull=False),
            ),
            # What is late goes, or is told as a number, before anything else.
            models.Index(
                fields=["destination", "expires_at"],
                name="headgate_delivery_late",
                condition=Q(state="due")
                & Q(expires_at__isnull=False)
                & Q(batch__isnull=True),
            ),
            # For people, who look at one destination. What is due is not in it: that
            # would make each commit dearer, and SQLite would take it for the others.
            models.Index(
                fields=["destination", "state", "id"],
                name="headgate_delivery_past",
                condition=Q(finished_at__isnull=False),
            ),
            models.Index(
                fields=["state", "finished_at"],
                name="headgate_delivery_end",
                condition=Q(finished_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.id}"


class Attempt(models.Model):
    """One try of a delivery, as it went."""

    delivery = models.ForeignKey(
        Delivery, on_delete=models.CASCADE, related_name="tries"
    )
    number = models.PositiveIntegerField()
    at = models.FloatField()
    status = models.PositiveIntegerField(null=True)
    outcome = models.CharField(max_length=10)
    service_seconds = models.FloatField()
    error = models.CharField(max_length=300, blank=True)
    retry_after_seconds = models.FloatField(null=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")

    def __str__(self) -> str:
        return f"{self.number}: {self.outcome}"


class Bot(models.Model):
    """A bot that has a token, and so may connect from elsewhere, in any language."""

    name = models.SlugField(_("name"), max_length=60, unique=True)
    title = models.CharField(_("shown as"), max_length=150, blank=True)
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("bot")
        verbose_name_plural = _("bots")

    def __str__(self) -> str:
        return self.title or self.name


class IncomingWebhook(models.Model):
    """A URL that posts into a room, for services that call us."""

    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(_("posts as"), max_length=150)
    # Names it in the URL, and is no secret; with `secrets` each post must be signed.
    key = models.CharField(max_length=40, unique=True, editable=False)
    secrets = models.JSONField(default=list, blank=True)
    rate = models.CharField(max_length=40, default="30/min:10")
    enabled = models.BooleanField(default=True)
    created_by = models.CharField(max_length=64, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = _("incoming webhook")
        verbose_name_plural = _("incoming webhooks")

    def __str__(self) -> str:
        return self.name


class AbsentMark(models.Model):
    """Up to where in a room somebody was told by a handler that they miss something."""

    handler = models.CharField(max_length=40)
    person = models.CharField(max_length=64)
    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="+")
    seq = models.PositiveBigIntegerField()

    class Meta:
        verbose_name = _("mark of an absent person")
        verbose_name_plural = _("marks of absent people")
        default_permissions = ()
        constraints = [  # noqa: RUF012 - Django's idiom
            models.UniqueConstraint(
                fields=["handler", "person", "room"],
                name="headgate_absent_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person} {self.seq}"
