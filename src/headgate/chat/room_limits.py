"""A room's own limits: slow mode, and rates other than everywhere else.

They are in `Room.settings` and are no events of its log: whoever comes in is told how
they are, and whoever is there is told by a `room` push when they change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.chat.policies import MAX_SLOW_MODE_SECONDS, OF_ROOMS, policy_mistake

__all__ = ["LIMITS", "SLOW_MODE", "RoomLimits", "checked_limits", "checked_slow_mode"]

SLOW_MODE = "slow_mode_seconds"
LIMITS = "limits"


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """How fast one may write in a room; 0 seconds is no slow mode of its own."""

    slow_mode_seconds: float = 0.0
    limits: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Any) -> RoomLimits:
        """Read them from a room's settings; what does not hold there is left out."""
        if not isinstance(settings, dict):
            return cls()
        try:
            seconds = checked_slow_mode(settings.get(SLOW_MODE, 0))
        except ValueError:
            seconds = 0.0
        given = settings.get(LIMITS)
        rates = given if isinstance(given, dict) else {}
        good = {
            str(name): str(rate)
            for name, rate in rates.items()
            if policy_mistake(str(name), rate, OF_ROOMS) is None
        }
        return cls(seconds, good)


def checked_slow_mode(seconds: Any) -> float:
    """Return the seconds between two messages of one person; 0 is off.

    Raises:
        ValueError: It is neither 0 nor from 1 second to 6 hours.
    """
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not math.isfinite(seconds):
        raise ValueError(f"slow mode is {seconds!r}, which is no number of seconds.")
    if seconds != 0 and not 1 <= seconds <= MAX_SLOW_MODE_SECONDS:
        raise ValueError(
            f"slow mode is {seconds:g} s. It is off with 0, or from 1 second to "
            f"{MAX_SLOW_MODE_SECONDS / 3600:g} hours.",
        )
    return float(seconds)


def checked_limits(limits: Mapping[str, str]) -> dict[str, str]:
    """Return a room's own rates, such as {"send": "5/s"}.

    Raises:
        ValueError: A room has no rate of that policy, or it is none.
    """
    for name, rate in limits.items():
        mistake = policy_mistake(name, rate, OF_ROOMS)
        if mistake is not None:
            raise ValueError(mistake)
    return {name: str(rate) for name, rate in limits.items()}
