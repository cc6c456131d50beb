"""What is measured of a process's chat: plain numbers, read when somebody asks.

Nothing here is written in the course of serving. Each number is somewhere already, or
costs a look at connections, in slices. Room names and people appear nowhere.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from headgate.chat.engine import Engine
from headgate.chat.histogram import Histogram
from headgate.contrib.shared import limiter_so_far
from headgate.live.frames import Mode

__all__ = ["MEASURES", "Kind", "Measure", "Seen", "Summary", "Value", "look"]

Kind = Literal["counter", "gauge", "histogram", "summary"]
AT_ONCE = 1000  # connections and watches looked at in one turn of the loop
_DRY_RUN = " (dry run)"  # as `headgate.limits.refusals` has it
# Told from the start, with 0: an increase from nothing is seen by no monitor.
_CAUSES = ("joined", "room", "behind", "connection")


@dataclass(frozen=True, slots=True)
class Summary:
    """How many values there were, and their sum."""

    count: int
    total: float


Value = float | Histogram | Summary


@dataclass(slots=True)
class Seen:
    """An engine, and what a look at its connections told.

    Attributes:
        connections: By mode.
        watches: Those that have begun.
        behind: Watches that have not been sent all that their room has.
        connections_behind: Connections with such a watch.
        lag_events: By how many events, all of them together.
        lag_longest_events: By how many the one that is furthest behind.
    """

    engine: Engine
    connections: Counter[Mode] = field(default_factory=Counter)
    watches: int = 0
    behind: int = 0
    connections_behind: int = 0
    lag_events: int = 0
    lag_longest_events: int = 0


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that is measured.

    Attributes:
        name: As Prometheus has it.
        read: Returns the values, by the values of the labels.
    """

    name: str
    kind: Kind
    meaning: str
    read: Callable[[Seen], Mapping[tuple[str, ...], Value]]
    labels: tuple[str, ...] = ()


async def look(engine: Engine) -> Seen:
    """Look at all connections, some in each turn of the loop.

    A watch with a pace of its own is never behind: what it is not sent, it is told.
    """
    seen = Seen(engine)
    rooms = engine.node.hub.rooms
    looked = 0
    for connection in list(engine.node.connections):
        if looked >= AT_ONCE:
            looked = 0
            await asyncio.sleep(0)
        looked += 1 + len(connection.watches)
        if connection.closed:
            continue
        seen.connections[connection.mode] += 1
        behind_before = seen.behind
        for watch in connection.watches.values():
            if not watch.begun:
                continue
            seen.watches += 1
            room = rooms.get(watch.room_id)
            if room is None or watch.live or watch.pace is not None:
                continue
            lag = room.head - watch.position
            if lag > 0:
                seen.behind += 1
                seen.lag_events += lag
                seen.lag_longest_events = max(seen.lag_longest_events, lag)
        seen.connections_behind += seen.behind > behind_before
    return seen


# --- the limiter ---


def _decisions(_: Seen) -> Mapping[tuple[str, ...], Value]:
    """Return refusals by policy; what is allowed is counted nowhere, for speed."""
    limiter = limiter_so_far()
    totals = {} if limiter is None else dict(limiter.refusals.totals)
    return {
        (
            name.removesuffix(_DRY_RUN),
            "would_refuse" if name.endswith(_DRY_RUN) else "refused",
        ): count
        for name, count in totals.items()
    }


def _degraded(_: Seen) -> Mapping[tuple[str, ...], Value]:
    limiter = limiter_so_far()
    counts = {} if limiter is None else dict(limiter.store.degraded)
    return {(name,): count for name, count in counts.items()}


# --- all of it ---


def _dropped(seen: Seen) -> Mapping[tuple[str, ...], Value]:
    dropped = seen.engine.node.meters.signals_dropped
    return {(cause,): dropped[cause] for cause in sorted({*_CAUSES, *dropped})}


def _connections(seen: Seen) -> Mapping[tuple[str, ...], Value]:
    return {(mode.value,): seen.connections[mode] for mode in Mode}


def _tick_waits(seen: Seen) -> Value:
    meters = seen.engine.node.meters
    return Summary(meters.tick_waits, meters.tick_wait_seconds)


def _one(name: str, kind: Kind, meaning: str, read: Callable[[Seen], Value]) -> Measure:
    """Return a measure without labels."""
    return Measure(name, kind, meaning, lambda seen: {(): read(seen)})


MEASURES: tuple[Measure, ...] = (
    Measure(
        "headgate_connections",
        "gauge",
        "Connections that are open.",
        _connections,
        ("mode",),
    ),
    _one(
        "headgate_rooms",
        "gauge",
        "Rooms that somebody watches.",
        lambda seen: len(seen.engine.node.hub.rooms),
    ),
    _one(
        "headgate_watches",
        "gauge",
        "Rooms that connections watch, a room counted for each connection.",
        lambda seen: seen.watches,
    ),
    _one(
        "headgate_watches_behind",
        "gauge",
        "Watches that are fed from the log, and lack some of it.",
        lambda seen: seen.behind,
    ),
    _one(
        "headgate_lag_events",
        "gauge",
        "Events that watches behind lack, all together.",
        lambda seen: seen.lag_events,
    ),
    _one(
        "headgate_lag_longest_events",
        "gauge",
        "Events that the watch lacks that is furthest behind.",
        lambda seen: seen.lag_longest_events,
    ),
    _one(
        "headgate_events_total",
        "counter",
        "Events that came into rooms that somebody watches.",
        lambda seen: seen.engine.node.meters.events,
    ),
    _one(
        "headgate_deliveries_total",
        "counter",
        "Events that went to a connection, each counted for each.",
        lambda seen: seen.engine.node.meters.deliveries,
    ),
    _one(
        "headgate_delivered_bytes_total",
        "counter",
        "Size of the deliveries, with the frames around them.",
        lambda seen: seen.engine.node.meters.delivered_bytes,
    ),
    _one(
        "headgate_passes_total",
        "counter",
        "How often a room's watchers were gone through.",
        lambda seen: seen.engine.node.meters.passes,
    ),
    _one(
        "headgate_tick_wait_seconds",
        "summary",
        "How long the first event of each pass waited for the pass.",
        _tick_waits,
    ),
    _one(
        "headgate_tick_wait_longest_seconds",
        "gauge",
        "The longest wait of a pass since the process started.",
        lambda seen: seen.engine.node.meters.tick_wait_longest_seconds,
    ),
    _one(
        "headgate_fell_behind_total",
        "counter",
        "How often a connection could not take a room's events.",
        lambda seen: seen.engine.node.meters.fell_behind,
    ),
    _one(
        "headgate_gaps_total",
        "counter",
        "Runs of events that were left out, and told as a gap.",
        lambda seen: seen.engine.node.meters.gaps,
    ),
    _one(
        "headgate_gap_events_total",
        "counter",
        "Events that were left out, and told as a gap.",
        lambda seen: seen.engine.node.meters.gap_events,
    ),
    _one(
        "headgate_log_reads_total",
        "counter",
        "Pages that were read from the log to deliver them.",
        lambda seen: seen.engine.node.meters.log_reads,
    ),
    _one(
        "headgate_stalled_total",
        "counter",
        "Connections cut off because nothing went out to them for too long.",
        lambda seen: seen.engine.node.meters.stalled,
    ),
    _one(
        "headgate_silent_total",
        "counter",
        "Connections cut off because nothing was heard of them for too long.",
        lambda seen: seen.engine.node.meters.silent,
    ),
    _one(
        "headgate_admitted_total",
        "counter",
        "Handshakes and first joins that were let in.",
        lambda seen: seen.engine.admission.admitted,
    ),
    _one(
        "headgate_sent_away_total",
        "counter",
        "Those that were told to come back later, as too many came at once.",
        lambda seen: seen.engine.admission.sent_away,
    ),
    _one(
        "headgate_admission_waiting",
        "gauge",
        "Those that stand in line to be let in.",
        lambda seen: seen.engine.admission.waiting,
    ),
    Measure(
        "headgate_signals_dropped_total",
        "counter",
        "Signals that were left out.",
        _dropped,
        ("cause",),
    ),
    Measure(
        "headgate_limit_decisions_total",
        "counter",
        "Decisions of the limiter that refused, or would have but for a dry run.",
        _decisions,
        ("policy", "outcome"),
    ),
    Measure(
        "headgate_limit_degraded_total",
        "counter",
        "Decisions of the limiter that were made while its store was away.",
        _degraded,
        ("policy",),
    ),
    _one(
        "headgate_journal_batch_entries",
        "histogram",
        "Entries that were written in one transaction.",
        lambda seen: seen.engine.journal.meters.batches,
    ),
    _one(
        "headgate_journal_wait_seconds",
        "histogram",
        "How long the first entry of each batch waited until it was written.",
        lambda seen: seen.engine.journal.meters.waits,
    ),
    _one(
        "headgate_journal_waiting",
        "gauge",
        "Entries that wait for the database.",
        lambda seen: seen.engine.journal.waiting,
    ),
    _one(
        "headgate_journal_waiting_bytes",
        "gauge",
        "Size of the entries that wait, as the bound counts it.",
        lambda seen: seen.engine.journal.waiting_bytes,
    ),
    _one(
        "headgate_journal_failed_commits_total",
        "counter",
        "Transactions that the database did not take; their senders were told.",
        lambda seen: seen.engine.journal.meters.failed_commits,
    ),
    _one(
        "headgate_overloaded_total",
        "counter",
        "Entries refused because too much waits for the database.",
        lambda seen: seen.engine.journal.meters.overloaded,
    ),
    _one(
        "headgate_draining",
        "gauge",
        "1 while the process sends everybody away before it ends, else 0.",
        lambda seen: float(seen.engine.draining),
    ),
    _one(
        "headgate_relay_published_total",
        "counter",
        "Hints given to the relay for other processes.",
        lambda seen: seen.engine.neighbours.relay.published,
    ),
    _one(
        "headgate_relay_received_total",
        "counter",
        "Hints of other processes that the relay brought.",
        lambda seen: seen.engine.neighbours.relay.received,
    ),
    _one(
        "headgate_relay_dropped_total",
        "counter",
        "Hints that were given up on the way out; the log has what they told of.",
        lambda seen: seen.engine.neighbours.relay.dropped_out,
    ),
    _one(
        "headgate_relay_reconnects_total",
        "counter",
        "Connections to the relay's server that were made anew.",
        lambda seen: seen.engine.neighbours.relay.reconnects,
    ),
    _one(
        "headgate_relay_away",
        "gauge",
        "1 while the relay's server does not answer, else 0.",
        lambda seen: float(seen.engine.neighbours.relay.away),
    ),
)
