"""What a replay found, for programs and for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from headgate.server.replay.tally import MAX_PROBLEMS

if TYPE_CHECKING:
    from rich.table import Table

    from headgate.server.replay.settle import Verdict
    from headgate.server.replay.tally import Tally

__all__ = ["Report"]

_WORDS = {
    "sent": "messages written to a socket",
    "acknowledged": "messages that the server took",
    "refused": "refusals, retried ones included",
    "delivered": "arrivals at a watcher, each once",
    "lost": "acknowledged, and missing somewhere",
    "duplicated": "came again",
    "out_of_order": "came after a later one",
    "reconnects": "connections opened anew",
    "wall_seconds": "from the first message to the last arrival",
    "behind_ms_max": "the most that this program itself was late",
    "held_ms_max": "the longest wait for the same author's one before",
}


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one run; docs/how-to/replay.md says what each means exactly."""

    messages: int
    sent: int
    acknowledged: int
    refused: int
    delivered: int
    lost: int
    duplicated: int
    out_of_order: int
    reconnects: int
    wall_seconds: float
    latency_ms: dict[str, float | None]
    ack_ms: dict[str, float | None]
    behind_ms_max: float
    held_ms_max: float
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, tally: Tally, verdict: Verdict, wall_seconds: float) -> Report:
        """Return the report of a run that is over."""
        messages = len(tally.traffic)
        problems = tally.told() + verdict.examples
        if tally.answered < messages:
            unanswered = messages - tally.answered
            problems.insert(0, f"{unanswered} messages were never acknowledged.")
        return cls(
            messages=messages,
            sent=tally.sent,
            acknowledged=len(tally.acked),
            refused=tally.refused,
            delivered=tally.delivered,
            lost=verdict.lost,
            duplicated=verdict.duplicated,
            out_of_order=verdict.out_of_order,
            reconnects=tally.reconnects,
            wall_seconds=round(wall_seconds, 3),
            latency_ms=tally.latency.summary(),
            ack_ms=tally.acks.summary(),
            behind_ms_max=round(tally.behind_seconds * 1000, 3),
            held_ms_max=round(tally.held_seconds * 1000, 3),
            problems=problems[:MAX_PROBLEMS],
        )

    @property
    def is_clean(self) -> bool:
        """Whether every message was acknowledged and seen once, in order."""
        faults = self.lost + self.duplicated + self.out_of_order
        return faults == 0 and self.acknowledged == self.messages

    def as_json(self) -> dict[str, Any]:
        """Return the figures under the names that programs rely on."""
        figures = asdict(self)
        del figures["messages"]
        return figures

    def as_table(self) -> Table:
        """Return the figures as a person reads them."""
        from rich.table import Table

        table = Table(title="Replay", show_header=False, title_justify="left")
        table.add_column(style="bold")
        table.add_column(justify="right")
        table.add_column(style="dim")
        figures = asdict(self)
        for name, meaning in _WORDS.items():
            bad = name in {"lost", "duplicated", "out_of_order"} and figures[name]
            shown = f"{figures[name]:,}"
            table.add_row(name, f"[red]{shown}[/red]" if bad else shown, meaning)
        for name, meaning in (
            ("latency_ms", "from the socket to each watcher"),
            ("ack_ms", "from the socket to the reply"),
        ):
            for share, value in figures[name].items():
                shown = "–" if value is None else f"{value:,.1f}"  # noqa: RUF001
                table.add_row(f"{name} {share}", shown, meaning)
        return table
