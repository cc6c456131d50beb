from __future__ import annotations

from typing import Any

import pytest

from headgate.live.meters import Meters
from headgate.live.signals import MOST_WAITING, Signal, Signals
from headgate.protocol.pushes import TypingSignal
from tests.live.parts import GUS, connect


def typing(who: str, *, begins: bool = True, **only: Any) -> Signal:
    push = TypingSignal(room="room-1", author=GUS, typing=begins)
    return Signal(("typing", who), push, **only)


@pytest.mark.parametrize(
    ("only", "mine", "others"),
    [
        ({}, True, True),
        ({"only": "u:1"}, True, False),
        ({"but": "u:1"}, False, True),
        ({"only": "u:1", "but": "u:1"}, False, False),
        ({"only": "u:3"}, False, False),
    ],
)
def test_whom_it_concerns(only: dict[str, str], mine: bool, others: bool) -> None:  # noqa: FBT001
    signal = typing("u:1", **only)

    assert signal.concerns(connect(owner="u:1")[0]) is mine
    assert signal.concerns(connect(owner="u:2")[0]) is others


@pytest.mark.parametrize("only", [{}, {"only": "u:1"}])
def test_one_connection_may_be_left_out(only: dict[str, str]) -> None:
    here, there = connect(owner="u:1")[0], connect(owner="u:1")[0]
    signal = typing("u:1", but_connection=here, **only)

    assert not signal.concerns(here)
    assert signal.concerns(there)


def test_only_the_latest_of_a_key_waits() -> None:
    meters = Meters()
    signals = Signals(meters)
    assert not signals.waiting
    first, other, last = typing("u:1"), typing("u:2"), typing("u:1", begins=False)
    for signal in (first, other, last):
        signals.put(signal)

    assert signals.waiting
    assert list(signals.take_all()) == [other, last]
    assert not signals.waiting
    assert list(signals.take_all()) == []
    assert meters.signals_dropped == {"joined": 1}


def test_past_the_bound_the_oldest_is_left_out() -> None:
    meters = Meters()
    signals = Signals(meters)
    all_of_them = [typing(f"u:{number}") for number in range(MOST_WAITING + 2)]
    for signal in all_of_them:
        signals.put(signal)
    signals.put(all_of_them[-1])

    assert list(signals.take_all()) == all_of_them[2:]
    assert meters.signals_dropped == {"room": 2, "joined": 1}
