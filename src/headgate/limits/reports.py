"""What each process reports of its refusals, and how others see all of them.

A report lives where the limits live: in a folder of files for limits in memory
(`headgate.limits.report_files`), in Redis for limits in Redis
(`headgate.limits.redis_reports`). There too a key is reset for all processes.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from headgate.limits.refusals import KEPT_MINUTES, Refused

__all__ = [
    "FRESH_SECONDS",
    "KEPT_SECONDS",
    "Report",
    "Reports",
    "ReportsUnusable",
    "Reset",
    "merged",
]

FRESH_SECONDS = KEPT_MINUTES * 60.0  # older reports say nothing of now
KEPT_SECONDS = 3600.0  # how long a reset waits for a process that refuses again


class ReportsUnusable(Exception):  # noqa: N818 - told to a person
    """Why reports can be neither read nor written, and what to do."""


# What reading JSON of another shape raises.
_MISTAKES = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Report:
    """Whom one process has refused in the last minutes, the last one first.

    `at` is when it was written, a Unix time in seconds.
    """

    host: str
    process: int
    at: float
    refused: tuple[Refused, ...]

    def to_json(self) -> str:
        """Return it as it is stored."""
        return json.dumps(
            {
                "host": self.host,
                "process": self.process,
                "at": self.at,
                "refused": [each.as_dict() for each in self.refused],
            },
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            return cls(
                str(found["host"]),
                int(found["process"]),
                float(found["at"]),
                tuple(Refused(**each) for each in found["refused"]),
            )
        except _MISTAKES as exc:
            raise ValueError(f"This is no report of refusals: {exc!r}.") from exc


@dataclass(frozen=True, slots=True)
class Reset:
    """That a key, or all keys of a person, are to be forgotten; see `is_meant`.

    `name` is another one for each.
    """

    name: str
    key: str
    at: float

    @classmethod
    def of(cls, key: str, at: float) -> Reset:
        """Return a new one."""
        return cls(secrets.token_hex(8), key, at)

    def to_json(self) -> str:
        """Return it as it is stored."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Reset:
        """Read what `to_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            return cls(str(found["name"]), str(found["key"]), float(found["at"]))
        except _MISTAKES as exc:
            raise ValueError(f"This is no reset: {exc!r}.") from exc


class Reports(Protocol):
    """Where reports and resets are. Each function raises `ReportsUnusable`."""

    def write(self, report: Report) -> None:
        """Put a process's report in the place of its last one."""

    def read(self) -> list[Report]:
        """Return the reports of all processes that are not too old."""

    def reset(self, key: str) -> None:
        """Forget what is counted of a key here, and have each process forget it."""

    def resets(self, since: float) -> Sequence[Reset]:
        """Return the resets of the last hour that were asked for since then."""

    def close(self) -> None:
        """Let go of what is open."""


def merged(reports: Iterable[Report], now: float) -> list[Refused]:
    """Return each policy and key once, over all processes, the last one first."""
    found: dict[tuple[str, str, bool], Refused] = {}
    for report in reports:
        for each in report.refused:
            if each.last_at <= now - FRESH_SECONDS:
                continue
            place = (each.policy, each.key, each.dry_run)
            other = found.get(place)
            found[place] = each if other is None else _together(each, other)
    return sorted(found.values(), key=lambda each: each.last_at, reverse=True)


def _together(one: Refused, other: Refused) -> Refused:
    return Refused(
        one.policy,
        one.key,
        one.count + other.count,
        max(one.last_at, other.last_at),
        _later(one.free_at, other.free_at),
        one.dry_run,
    )


def _later(one: float | None, other: float | None) -> float | None:
    """Return the later of two times, of which None is never."""
    latest = max(
        math.inf if one is None else one,
        math.inf if other is None else other,
    )
    return None if math.isinf(latest) else latest
