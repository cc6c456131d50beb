"""What a call's body says, to the byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headgate.outbound.bodies import body_of, type_of
from headgate.outbound.calls import Call, Target, Told
from headgate.protocol.codec import encode
from headgate.protocol.pushes import Author, Deleted, Edited, LogEvent, Membership
from tests.outbound.calling import message

TARGET = Target(id=1, name="hook", kind="webhook", url="https://a.test/")
ADA = Author("u:5", "user", "Ada")
AT = "2026-11-30T03:00:00.000Z"


def said(*told: Told, **how: Any) -> dict[str, Any]:
    body = body_of(Call(id="c", attempt=1, target=TARGET, told=told, **how))
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.parametrize(
    ("event", "push"),
    [
        ("message", message(text="hi, ä\n")),
        ("edited", Edited(room="a", seq=8, target=7, author=ADA, text="x", at=AT)),
        ("deleted", Deleted(room="a", seq=9, target=7, author=ADA, at=AT)),
        (
            "membership",
            Membership(room="a", seq=1, member=ADA, change="added", author=ADA, at=AT),
        ),
    ],
)
def test_an_event_is_told_as_on_the_wire(event: str, push: LogEvent) -> None:
    told = Told(id="d", event=event, at=1.5, room_id=1, push=push)
    wire = json.loads(encode(push))
    assert wire.pop("push") == event
    assert said(told) == {
        "type": f"room.{event}",
        "timestamp": "1970-01-01T00:00:01.500Z",
        "data": wire,
    }


def test_a_notice_keeps_its_name() -> None:
    told = Told(id="d", event="service.degraded", at=0, payload={"name": "x"})
    assert type_of(told) == "service.degraded"
    assert said(told) == {
        "type": "service.degraded",
        "timestamp": "1970-01-01T00:00:00.000Z",
        "data": {"name": "x"},
    }


def test_who_collects_gets_one_batch_even_of_one() -> None:
    told = [
        Told(id=f"d-{seq}", event="message", at=seq, room_id=1, push=message(seq))
        for seq in (1, 2)
    ]
    found = said(*told, collects=True)
    assert (found["type"], found["timestamp"]) == ("batch", "1970-01-01T00:00:02.000Z")
    first, second = found["data"]["events"]
    assert (first["id"], second["id"]) == ("d-1", "d-2")
    assert {name: first[name] for name in ("type", "timestamp", "data")} == said(
        told[0]
    )
    assert [each["id"] for each in said(told[0], collects=True)["data"]["events"]] == [
        "d-1"
    ]


def test_a_digest_counts_rooms() -> None:
    pushes = [message(5, "a"), message(9, "a"), message(7, "a"), message(2, "b")]
    told = [
        Told(id=str(push.seq), event="message", at=3, room_id=1, push=push)
        for push in pushes
    ]
    notice = Told(id="n", event="service.degraded", at=4, payload={})
    found = said(*told, notice, digest=True, collects=True)
    assert found == {
        "type": "digest",
        "timestamp": "1970-01-01T00:00:04.000Z",
        "data": {
            "count": 5,
            "rooms": {
                "a": {"count": 3, "first_seq": 5, "last_seq": 9},
                "b": {"count": 1, "first_seq": 2, "last_seq": 2},
            },
        },
    }
    assert b"hi" not in body_of(
        Call(id="c", attempt=1, target=TARGET, told=tuple(told), digest=True)
    )
