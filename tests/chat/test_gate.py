from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from headgate.chat.gate import Gate
from headgate.chat.models import Room
from headgate.chat.people import actor_for
from headgate.chat.permissions import rights_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.limits]


@pytest.mark.parametrize("connected", [True, False])
def test_what_is_told_is_what_is_charged(
    room: Room,
    ada: User,
    connected: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    room.settings = {"slow_mode_seconds": 30, "limits": {"send": "5/s"}}
    rights = rights_in(actor_for(ada), room)
    gate = Gate(actor_for(ada), "192.0.2.1", connected=connected)

    general, narrow = gate.told([rights])

    operations = ("command", *(["append"] if connected else []), "send", "typing")
    charged = [each for name in operations for each in gate.charges(name)]
    charged += gate.charges("history")
    assert general == list(dict.fromkeys(charged))
    names = [each.policy.name for each in general]
    grows = ["append"] if connected else []
    assert names == ["command", *grows, "send", "send.all", "typing", "history"]
    in_room = gate.charges("send", rights, command=False)
    assert narrow == [(rights, each) for each in in_room if each not in general]
    assert [each.policy.name for _, each in narrow] == ["send", "slow_mode"]
