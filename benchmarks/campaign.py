"""What the benchmarks of delivery share: options, systems in turn, a report to keep.

Every round gives each system its turn, so that what else the machine does falls on all
of them; a system that cannot be run is left out, and the report says why.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import shlex
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.processes import machine
from benchmarks.systems import SYSTEMS, System

__all__ = ["RESULTS", "Campaign", "median_of", "options_of", "percentile"]

RESULTS = Path(__file__).parent / "results"
Turn = TypeVar("Turn")


def options_of(
    doc: str | None,
    arguments: Sequence[str] | None,
    numbers: Mapping[str, tuple[float, float]],
) -> argparse.Namespace:
    """Read a benchmark's options.

    Args:
        doc: The benchmark's docstring, for `--help`.
        arguments: Those of the command line; None for the process's own.
        numbers: Name of an option to its default, and its default with `--quick`.

    `--json` is where the report goes: with `--quick` nowhere unless it is given.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, (usual, quick) in numbers.items():
        parser.add_argument(
            f"--{name}", type=type(usual), help=f"{usual:g}, or {quick:g} if quick"
        )
    parser.add_argument("--quick", action="store_true", help="see that it runs")
    parser.add_argument(
        "--only",
        action="append",
        choices=[system.key for system in SYSTEMS],
        help="a system to measure; may be given several times",
    )
    parser.add_argument("--json", type=Path, help="where to write the report")
    options = parser.parse_args(arguments)
    for name, (usual, quick) in numbers.items():
        attribute = name.replace("-", "_")
        if getattr(options, attribute) is None:
            setattr(options, attribute, quick if options.quick else usual)
    options.command = shlex.join(sys.argv[1:] if arguments is None else arguments)
    gc.disable()  # a load's own pauses are no system's
    return options


@dataclass
class Campaign:
    """One run of a benchmark over the systems that are here.

    Attributes:
        name: The benchmark's, and its report's.
        figures: What was measured, a dict for each row.
        left_out: From a system's name to why it has no figure, or no more.
    """

    name: str
    options: argparse.Namespace
    figures: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    _versions: dict[str, str] = field(default_factory=dict)

    def systems(self, among: Iterable[System] = SYSTEMS) -> list[System]:
        """Return those that are asked for and can be run; note the others."""
        found = []
        for system in among:
            if self.options.only and system.key not in self.options.only:
                continue
            why = system.missing()
            if why is None:
                found.append(system)
                self._versions[system.name] = system.version()
            else:
                self.left_out[system.name] = why
                print(f"left out: {system.name}: {why}", file=sys.stderr)
        return found

    def attempt(self, system: System, turn: Callable[[], Turn]) -> Turn | None:
        """Give a system its turn; one that fails is left out from then on."""
        if system.name in self.left_out:
            return None
        print(f"{self.name}: {system.name}", file=sys.stderr)
        try:
            return turn()
        except (OSError, RuntimeError) as error:
            self.left_out[system.name] = f"failed: {error}"
            print(f"left out: {system.name}: {error!r}", file=sys.stderr)
            return None

    def finish(self) -> int:
        """Keep the report; return the exit code: 1 where nothing was measured."""
        command = f"python -m benchmarks.{self.name} {self.options.command}"
        report = {
            "command": command.strip(),
            "machine": machine(),
            "versions": self._versions,
            "left_out": self.left_out,
            "figures": self.figures,
        }
        where = self.options.json
        if where is None and not self.options.quick:
            where = RESULTS / f"{self.name}.json"
        if where is not None:
            where.parent.mkdir(parents=True, exist_ok=True)
            where.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        for name, why in self.left_out.items():
            print(f"left out: {name}: {why}")
        print(report["machine"])
        return 0 if self.figures else 1


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_of(turns: Sequence[Any], name: str) -> float:
    """Return the median of an attribute over the turns."""
    return float(statistics.median(getattr(turn, name) for turn in turns))
