"""The verdict: what was lost, doubled and out of order.

Pure arithmetic over what was acknowledged, what each watcher saw and what the log
holds, so that it can be tested with any fault at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.server.replay.judge import OTHER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headgate.server.replay.judge import Event
    from headgate.server.replay.sight import RowSight, SeqSight

__all__ = ["Verdict", "settle_log", "settle_rows", "settle_seqs"]


@dataclass(slots=True)
class Verdict:
    """Faults, summed over watchers and the log."""

    lost: int = 0
    duplicated: int = 0
    out_of_order: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        """Add another verdict's faults to these."""
        self.lost += other.lost
        self.duplicated += other.duplicated
        self.out_of_order += other.out_of_order
        self.examples += other.examples


def settle_seqs(
    acked: Mapping[int, int],
    first_seen: dict[int, int],
    sights: Sequence[SeqSight],
    head: int,
) -> Verdict:
    """Judge what watchers of a log saw, up to its `head`.

    Lost at a watcher: every seq that never came, and every acknowledged message that
    did not stand at its seq with its text. Duplicated: an event that came again, and
    a message that has a second seq. Out of order: an event after a higher one.
    """
    verdict = Verdict()
    wrong = [row for row, seq in acked.items() if first_seen.get(seq, OTHER) != row]
    doubled = _second_places(acked, first_seen)
    for number, sight in enumerate(sights, start=1):
        who = f"Watcher {number}"
        unseen = sight.unseen(head)
        if unseen:
            missing = sorted(sight.holes | sight.owed) or [sight.expected]
            verdict.examples.append(f"{who} never got seq {missing[0]}.")
        at_odds = {first_seen.get(seq, OTHER) for seq in sight.odd} - {OTHER}
        absent = 0
        for row in {*wrong, *(at_odds & acked.keys())}:
            seq = acked[row]
            if sight.missed(seq):
                absent += seq > head  # up to there it is among the unseen
            else:
                absent += sight.row_at(seq, first_seen) != row
        if absent:
            verdict.examples.append(f"{who} lacks {absent} acknowledged messages.")
        verdict.lost += unseen + absent
        again = sight.again + sum(not sight.missed(seq) for seq in doubled)
        verdict.duplicated += again
        verdict.out_of_order += sight.late + sight.absurd
        if again:
            verdict.examples.append(f"{who} got {again} events again.")
        if sight.late or sight.absurd:
            late = sight.late + sight.absurd
            verdict.examples.append(f"{who} got {late} events out of order.")
    return verdict


def _second_places(
    acked: Mapping[int, int], first_seen: Mapping[int, int]
) -> list[int]:
    """Return the seqs at which a row stands that has another seq by right."""
    right = {row: seq for row, seq in acked.items() if first_seen.get(seq) == row}
    doubled = []
    for seq, row in sorted(first_seen.items()):
        if row != OTHER and right.setdefault(row, seq) != seq:
            doubled.append(seq)
    return doubled


def settle_log(
    acked: Mapping[int, int], log: Sequence[Event], authors: Sequence[int]
) -> Verdict:
    """Judge the log that was read back.

    Lost: an acknowledged message that is not at its seq with its text. Duplicated: a
    message that stands there again. Out of order: a seq that is not above the one
    before, or a message before an earlier one of the same author.
    """
    verdict = Verdict()
    row_at: dict[int, int] = {}
    last_seq = 0
    last_row: dict[int, int] = {}
    rows: set[int] = set()
    for event in log:
        if event.seq <= last_seq:
            verdict.out_of_order += 1
        last_seq = max(last_seq, event.seq)
        row_at.setdefault(event.seq, event.row)
        if event.row == OTHER:
            continue
        author = authors[event.row]
        if event.row in rows:
            verdict.duplicated += 1
        elif event.row < last_row.get(author, -1):
            verdict.out_of_order += 1
        else:
            last_row[author] = event.row
        rows.add(event.row)
    lost = [row for row, seq in acked.items() if row_at.get(seq, OTHER) != row]
    verdict.lost = len(lost)
    if lost:
        verdict.examples.append(
            f"The log lacks {len(lost)} acknowledged messages, "
            f"the first acknowledged as seq {acked[lost[0]]}."
        )
    if verdict.duplicated:
        verdict.examples.append(f"The log has {verdict.duplicated} messages twice.")
    if verdict.out_of_order:
        verdict.examples.append(
            f"The log has {verdict.out_of_order} messages out of order."
        )
    return verdict


def settle_rows(acked: Mapping[int, int], sights: Sequence[RowSight]) -> Verdict:
    """Judge what watchers of a chat without seqs saw.

    Lost at a watcher: a message that came back to its sender, or that another watcher
    saw. Duplicated: one that came again. Out of order: one that came after a later one
    of the same author.
    """
    verdict = Verdict()
    owed = set(acked)
    for sight in sights:
        owed.update(row for row, seen in enumerate(sight.seen) if seen)
    for number, sight in enumerate(sights, start=1):
        lost = sorted(row for row in owed if not sight.seen[row])
        if lost:
            verdict.examples.append(
                f"Watcher {number} never got {len(lost)} messages; "
                f"the first is message {lost[0] + 1} of the file."
            )
        if sight.again:
            verdict.examples.append(
                f"Watcher {number} got {sight.again} messages again."
            )
        if sight.late:
            verdict.examples.append(
                f"Watcher {number} got {sight.late} messages out of order."
            )
        verdict.lost += len(lost)
        verdict.duplicated += sight.again
        verdict.out_of_order += sight.late
    return verdict
