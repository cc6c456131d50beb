"""What refusals lead to, on a clock of the test's."""

from __future__ import annotations

from headgate.chat.conf import Conf
from headgate.chat.ladder import Ladder, Step

SETTINGS = Conf(REFUSALS_BEFORE_PAUSE=3, PAUSE_SECONDS=10.0, REFUSALS_BEFORE_CLOSE=8)


def steps(ladder: Ladder, times: list[float]) -> list[Step]:
    return [ladder.refused(now) for now in times]


def test_few_refusals_are_just_refused() -> None:
    assert steps(Ladder(SETTINGS), [100.0, 100.1, 100.2]) == [Step.REFUSE] * 3


def test_past_the_first_threshold_there_is_a_pause() -> None:
    ladder = Ladder(SETTINGS)

    assert steps(ladder, [100.0, 101.0, 102.0, 103.0])[-1] is Step.PAUSE
    assert ladder.paused_until == 113.0


def test_refusals_that_are_far_apart_are_no_flood() -> None:
    assert Step.PAUSE not in steps(Ladder(SETTINGS), [100.0 + 4 * n for n in range(8)])


def test_after_a_pause_one_begins_anew() -> None:
    ladder = Ladder(SETTINGS)
    steps(ladder, [100.0] * 4)

    assert steps(ladder, [110.1, 110.2, 110.3]) == [Step.REFUSE] * 3
    assert ladder.refused(110.4) is Step.PAUSE


def test_past_the_second_threshold_it_is_closed() -> None:
    ladder = Ladder(SETTINGS)
    found = steps(ladder, [100.0] * 4 + [110.1] * 4 + [120.5])

    assert found.count(Step.PAUSE) == 2
    assert found[-1] is Step.CLOSE


def test_a_minute_of_calm_is_forgiven() -> None:
    ladder = Ladder(SETTINGS)
    steps(ladder, [100.0] * 4 + [110.1] * 4)

    assert ladder.refused(200.0) is Step.REFUSE


def test_the_ten_seconds_are_the_last_ones() -> None:
    """Not those of a clock that begins anew somewhere in the middle of a flood."""
    ladder = Ladder(SETTINGS)

    assert steps(ladder, [100.0, 109.5, 109.6, 110.5, 110.6])[-1] is Step.PAUSE
