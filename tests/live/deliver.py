"""Running a program in a world of its own, as often as is asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, settings

from tests.live.bounds import small_bounds
from tests.live.jumping_loop import JumpingLoop, StandstillError
from tests.live.listener import Broken
from tests.live.programs import Step
from tests.live.world import World

__all__ = ["deliver", "thorough"]

SOAK = "HEADGATE_SOAK" in os.environ

thorough = settings(
    deadline=None,
    max_examples=3_000 if SOAK else 300,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def deliver(program: Sequence[Step]) -> None:
    """Run a program from an empty log; raises `Broken`."""

    async def run() -> None:
        await World().run(program)

    with small_bounds(), asyncio.Runner(loop_factory=JumpingLoop) as runner:
        try:
            runner.run(run())
        except (StandstillError, Broken) as exc:
            raise Broken(f"{exc}, by {list(program)}") from exc
