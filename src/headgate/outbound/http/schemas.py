"""What the API of a room's services takes and answers.

Field names are those of `headgate.outbound.models`, and times end in `_at`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

__all__ = [
    "MAX_DESTINATIONS",
    "MAX_HOOKS",
    "NAME_PATTERN",
    "DeliveriesChosen",
    "DeliveriesShown",
    "DeliveryShown",
    "DestinationChange",
    "DestinationMade",
    "DestinationShown",
    "DestinationWanted",
    "DestinationsShown",
    "HookMade",
    "HookShown",
    "HookWanted",
    "HooksShown",
    "HowMany",
    "OwedTest",
    "SecretMade",
]

MAX_DESTINATIONS = 10  # of one room
MAX_HOOKS = 10  # the same, of incoming webhooks
_MAX_URL = 2000
_MAX_CHOSEN = 50
# Narrower than `Rate`, so that whatever fits it is one.
_RATE = r"[1-9][0-9]{0,3}/(s|min|h|day)(:[1-9][0-9]{0,3})?$(?!\n)"
_DELIVERY = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)"

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,31}$(?!\n)"
Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Url = Annotated[str, Meta(min_length=1, max_length=_MAX_URL)]
RateText = Annotated[str, Meta(pattern=rf"^{_RATE}")]
RateOrNone = Annotated[str, Meta(pattern=rf"^$(?!\n)|^{_RATE}")]
DeliveryId = Annotated[str, Meta(pattern=_DELIVERY)]
EventName = Literal["message", "edited", "deleted", "membership"]
Events = Annotated[list[EventName], Meta(min_length=1, max_length=4)]
Concurrency = Annotated[int, Meta(ge=1, le=16)]
Seconds = Annotated[float, Meta(ge=1, le=30)]
BatchSize = Annotated[int, Meta(ge=1, le=100)]
BatchWait = Annotated[float, Meta(ge=0, le=60)]
UsefulSeconds = Annotated[float, Meta(ge=1, le=30 * 86_400)]
Ordering = Literal["none", "room"]
Late = Literal["keep", "drop", "digest"]
Importance = Literal["high", "normal", "low"]
DeliveryState = Literal["due", "done", "dead", "dropped"]


class DestinationWanted(Struct, kw_only=True):
    """A webhook that is to be told of the room.

    `rate` is how often it may be called, such as `10/s:20`; empty, as fast as it
    answers.
    """

    name: Name
    url: Url
    events: Events = field(default_factory=lambda: ["message"])
    rate: RateOrNone = ""
    concurrency: Concurrency = 4
    ordering: Ordering = "none"
    timeout_seconds: Seconds = 15.0
    batch_size: BatchSize = 1
    batch_wait_seconds: BatchWait = 0.0
    importance: Importance = "normal"
    useful_seconds: UsefulSeconds | None = None
    late: Late = "keep"


class DestinationChange(Struct, kw_only=True):
    """What is to be another way; what is left out stays as it is.

    `paused` true makes no calls for now. `enabled` true begins anew with one that was
    disabled because it failed for too long.
    """

    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    rate: RateOrNone | UnsetType = UNSET
    concurrency: Concurrency | UnsetType = UNSET
    ordering: Ordering | UnsetType = UNSET
    timeout_seconds: Seconds | UnsetType = UNSET
    batch_size: BatchSize | UnsetType = UNSET
    batch_wait_seconds: BatchWait | UnsetType = UNSET
    importance: Importance | UnsetType = UNSET
    useful_seconds: UsefulSeconds | UnsetType | None = UNSET
    late: Late | UnsetType = UNSET
    paused: bool | UnsetType = UNSET
    enabled: Literal[True] | UnsetType = UNSET


class DestinationShown(Struct, kw_only=True):
    """A destination as it stands.

    `state` is a word, and `standing` the same for people. `due` deliveries are still
    to be made, `dead` ones were given up. `service_ms` is how long a call took the
    service, and `waited_ms` how long it waited for limits, both on average.
    """

    name: str
    url: str
    events: list[str]
    rate: str
    concurrency: int
    ordering: Ordering
    timeout_seconds: float
    batch_size: int
    batch_wait_seconds: float
    importance: Importance
    useful_seconds: float | None
    late: Late
    paused: bool
    enabled: bool
    state: Literal["on", "waiting", "breaker", "paused", "disabled"]
    standing: str
    secrets: int
    due: int
    dead: int
    calls: int
    failures: int
    delivered: int
    service_ms: int
    waited_ms: int
    created_at: str


class DestinationMade(DestinationShown, kw_only=True):
    """A destination that was made; `secret` is shown this once."""

    secret: str


class DestinationsShown(Struct, kw_only=True):
    """The destinations of a room, by their names."""

    destinations: list[DestinationShown]


class SecretMade(Struct, kw_only=True):
    """A new secret, shown this once, and how many are live with it."""

    secret: str
    secrets: int


class OwedTest(Struct, kw_only=True):
    """The delivery of a test that is owed now."""

    delivery: str


class DeliveryShown(Struct, kw_only=True):
    """One call that is, or was, owed.

    `seq` is that of the event that it tells. `due_at` is when it is tried next.
    """

    id: str
    event: str
    seq: int | None
    state: DeliveryState
    attempts: int
    due_at: str | None
    last_status: int | None
    last_error: str
    created_at: str
    finished_at: str | None


class DeliveriesShown(Struct, kw_only=True, omit_defaults=True):
    """A page of deliveries, the newest first; `next` is the `before` of the next."""

    deliveries: list[DeliveryShown]
    next: str | None = None


class DeliveriesChosen(Struct, kw_only=True):
    """Which deliveries are meant, by their ids; all of them where it is left out."""

    ids: (
        Annotated[list[DeliveryId], Meta(min_length=1, max_length=_MAX_CHOSEN)]
        | UnsetType
    ) = UNSET


class HowMany(Struct, kw_only=True):
    """To how many it was done."""

    count: int


class HookWanted(Struct, kw_only=True):
    """An incoming webhook that is to be made: a URL that posts into the room.

    Where `signed` is false, whoever knows its URL may post.
    """

    name: Annotated[str, Meta(min_length=1, max_length=80)]
    signed: bool = True
    rate: RateText = "30/min:10"


class HookShown(Struct, kw_only=True):
    """An incoming webhook; its URL is not told where that is all one needs."""

    id: int
    name: str
    signed: bool
    rate: str
    enabled: bool
    url: str | None
    created_at: str


class HookMade(Struct, kw_only=True):
    """An incoming webhook that was made; `url` and `secret` are shown this once."""

    id: int
    name: str
    url: str
    secret: str | None
    rate: str


class HooksShown(Struct, kw_only=True):
    """The incoming webhooks of a room."""

    hooks: list[HookShown]
