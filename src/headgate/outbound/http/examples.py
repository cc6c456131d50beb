"""The examples in the description of a room's services; structs have the fields."""

from __future__ import annotations

from msgspec import structs

from headgate.outbound.http.schemas import (
    DeliveriesShown,
    DeliveryShown,
    DestinationMade,
    DestinationShown,
    DestinationsShown,
    HookMade,
    HookShown,
    HooksShown,
    HowMany,
    OwedTest,
    SecretMade,
)

__all__ = [
    "CHOSEN",
    "DELIVERIES",
    "DESTINATION",
    "DESTINATIONS",
    "HOOKS",
    "HOOK_MADE",
    "HOOK_WANTED",
    "MADE",
    "ONE",
    "PAUSE",
    "PAUSED",
    "SECRET",
    "SOME",
    "TEST",
    "WANTED",
]

_AT = "2026-02-03T10:20:30.456Z"
_ID = "019c2350-7d2c-7b51-a3b4-5d6e7f809102"
_SECRET = "whsec_"  # noqa: S105 - the beginning of one; here a whole one would be found

WANTED = {"name": "crm", "url": "https://crm.example/hooks/chat", "rate": "10/s:20"}
PAUSE = {"paused": True}
CHOSEN = {"ids": [_ID]}
DESTINATION = DestinationShown(
    name="crm",
    url="https://crm.example/hooks/chat",
    events=["message"],
    rate="10/s:20",
    concurrency=4,
    ordering="none",
    timeout_seconds=15.0,
    batch_size=1,
    batch_wait_seconds=0.0,
    importance="normal",
    useful_seconds=None,
    late="keep",
    paused=False,
    enabled=True,
    state="on",
    standing="on",
    secrets=1,
    due=3,
    dead=0,
    calls=120,
    failures=2,
    delivered=118,
    service_ms=41,
    waited_ms=7,
    created_at=_AT,
)
DESTINATIONS = DestinationsShown(destinations=[DESTINATION])
PAUSED = structs.replace(DESTINATION, paused=True, state="paused", standing="paused")
MADE = DestinationMade(**structs.asdict(DESTINATION), secret=f"{_SECRET}…")
SECRET = SecretMade(secret=f"{_SECRET}…", secrets=2)
TEST = OwedTest(delivery=_ID)
ONE = HowMany(count=1)
SOME = HowMany(count=7)
DELIVERIES = DeliveriesShown(
    deliveries=[
        DeliveryShown(
            id=_ID,
            event="message",
            seq=41,
            state="dead",
            attempts=12,
            due_at=None,
            last_status=500,
            last_error="The service answered 500.",
            created_at=_AT,
            finished_at=_AT,
        )
    ]
)
HOOK_WANTED = {"name": "Build server"}
_URL = "https://chat.example/hooks/kN3…/"
HOOK_MADE = HookMade(
    id=3, name="Build server", url=_URL, secret=f"{_SECRET}…", rate="30/min:10"
)
HOOKS = HooksShown(
    hooks=[
        HookShown(
            id=3,
            name="Build server",
            signed=True,
            rate="30/min:10",
            enabled=True,
            url=_URL,
            created_at=_AT,
        )
    ]
)
