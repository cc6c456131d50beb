"""Whatever happens, each client gets a run of the log without a hole or a double."""

from __future__ import annotations

from hypothesis import example, given

from tests.live.deliver import deliver, thorough
from tests.live.programs import Step, programs

JOIN = ("join", 0, 1, "now", None, 0)
FROM_2 = ("join", 0, 1, 2, None, 0)
WRITE_1 = ("write", 1, 1, 1, "normal", None)
WRITE_5 = ("write", 1, 5, 9, "normal", None)


@thorough
@given(programs())
@example([JOIN, ("turn", 6), JOIN, ("turn", 6), WRITE_1])
@example([JOIN, ("turn", 6), WRITE_5, ("hint", 0, "tell"), FROM_2, FROM_2])
def test_every_stream_is_a_run_of_the_log(program: list[Step]) -> None:
    deliver(program)
