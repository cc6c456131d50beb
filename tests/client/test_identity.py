from __future__ import annotations

import pytest

from headgate.client import IdentityChanged
from headgate.client.descriptor import Descriptor
from headgate.client.identity import Identity
from headgate.protocol import pushes
from tests.client.model_site import ADA, BOB

GUEST = pushes.Author(id="g:1", kind="guest", name="Guest")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def welcome(user: pushes.Author, **more: str) -> pushes.Welcome:
    return pushes.Welcome(
        user=user, rooms={}, limits=[], heartbeat_ms=1, max_message_bytes=1, **more
    )


def found(user_id: str | None = None, guest: str | None = None) -> Descriptor:
    return Descriptor(
        ticket="t-1",
        ticket_lives_seconds=30.0,
        rooms=(),
        guest=guest,
        user_id=user_id,
    )


def test_a_ticket_is_used_once_and_while_it_is_good() -> None:
    clock = Clock()
    identity = Identity(None, clock)
    assert identity.take_ticket() is None
    identity.welcomed(welcome(ADA, ticket="t-1"))
    clock.now = 569.0
    taken = identity.take_ticket()
    assert taken is not None
    assert taken.value == "t-1"
    assert "t-1" not in repr(taken)
    assert identity.take_ticket() is None

    identity.put_back(taken)
    clock.now = 571.0  # the last of ten minutes are for the way
    assert identity.take_ticket() is None


def test_a_later_ticket_counts() -> None:
    identity = Identity(None, Clock())
    identity.keep("t-1", 10.0)
    taken = identity.take_ticket()
    assert taken is not None
    identity.keep("t-2", 10.0)
    identity.put_back(taken)
    identity.keep(None, 10.0)
    identity.keep("no ticket\n", 10.0)
    again = identity.take_ticket()
    assert again is not None
    assert again.value == "t-2"

    identity.keep("t-3", 10.0)
    identity.forget_ticket()
    assert identity.take_ticket() is None


def test_another_person_is_no_more_of_the_same() -> None:
    identity = Identity(None, Clock())
    identity.welcomed(welcome(ADA))
    identity.welcomed(welcome(ADA))
    with pytest.raises(IdentityChanged):
        identity.welcomed(welcome(BOB))
    with pytest.raises(IdentityChanged):
        identity.ticket_for(found(BOB.id))
    identity.ticket_for(found(ADA.id))
    assert identity.take_ticket() is not None


def test_whom_a_descriptor_is_for() -> None:
    identity = Identity(None, Clock())
    assert identity.is_of(found())
    identity.welcomed(welcome(ADA))
    assert identity.is_of(found())
    assert identity.is_of(found(ADA.id))
    assert not identity.is_of(found(BOB.id))
    assert not identity.is_of(found(guest="token"))
    assert not identity.may_change

    visiting = Identity(None, Clock())
    visiting.welcomed(welcome(GUEST, guest="token"))
    assert visiting.is_of(found(guest="token"))
    assert not visiting.is_of(found())
    assert visiting.may_change
    visiting.become(found())
    assert (visiting.user, visiting.guest) == (None, None)

    chosen = Identity("token", Clock())
    chosen.welcomed(welcome(GUEST, guest="token"))
    assert not chosen.may_change


def test_a_guest_that_http_has_met() -> None:
    identity = Identity(None, Clock())
    identity.met_guest("token")
    identity.met_guest("other")
    assert identity.guest == "token"

    user = Identity(None, Clock())
    user.welcomed(welcome(ADA))
    user.met_guest("token")
    assert user.guest is None
