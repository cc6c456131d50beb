from __future__ import annotations

from headgate.live.frames import Mode, Shared
from headgate.live.meters import Meters
from headgate.live.run import Said
from tests.live.parts import message


def test_a_delivery_is_counted_for_each_who_got_it() -> None:
    meters = Meters()
    said = Said([Shared(message(1, seq)) for seq in (1, 2, 3)], Mode.V1)
    meters.delivered(said, 0)
    assert (meters.deliveries, meters.delivered_bytes) == (0, 0)
    meters.delivered(said, 1)
    meters.delivered(said, 4)

    assert meters.deliveries == 15
    assert meters.delivered_bytes == 5 * said.size_bytes


def test_waits_are_counted_and_the_longest_is_kept() -> None:
    meters = Meters()
    for seconds in (0.01, 0.03, 0.02):
        meters.waited(seconds)

    assert meters.tick_waits == 3
    assert abs(meters.tick_wait_seconds - 0.06) < 1e-9
    assert meters.tick_wait_longest_seconds == 0.03
