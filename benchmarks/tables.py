"""The reports in `benchmarks/results` as the page and the plot of the documentation.

Writes what stands between the two marks of `docs/explanation/performance.md`, and
`docs/images/fanout.svg`. A benchmark that has no report has no section.

    python -m benchmarks.tables
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.campaign import RESULTS
from benchmarks.plot import Panel, dots

__all__ = ["BEGIN", "END", "main"]

DOCS = Path(__file__).parent.parent / "docs"
BEGIN = "<!-- figures: written by python -m benchmarks.tables -->"
END = "<!-- end of the figures -->"

Report = dict[str, Any]


def fanout(report: Report) -> list[str]:
    """Return the section of the fan-out: a row for each system."""
    figures = report["figures"]
    flights = sorted({each["in_flight"] for each in figures})
    head = ["system", "saves"]
    head += [f"per CPU-s, {number} in flight" for number in flights]
    head += [f"p99 ms, {number} in flight" for number in flights]
    rows = []
    for own in _by_system(figures):
        by_flight = {each["in_flight"]: each for each in own}
        row = [own[0]["system"], own[0]["saves"]]
        row += [_delivered(by_flight.get(number)) for number in flights]
        row += [_late(by_flight.get(number)) for number in flights]
        rows.append(row)
    notes = []
    if any(each["load_saturated"] for each in figures):
        notes.append("\\* The load was at its own limit: more of the latency is its.")
    if any(each["at_least"] for each in figures):
        notes.append("\\> Nothing that was sent was read before the measuring ended.")
    return [
        "### Fan-out",
        "",
        "![Deliveries per CPU-second and p99 of each system](../images/fanout.svg)",
        "",
        "Deliveries per CPU-second of the server; the time from sending to reading.",
        "",
        *_table(head, rows),
        *(line for note in notes for line in ("", note)),
    ]


def save(report: Report) -> list[str]:
    """Return the section of saving: a row for each system."""
    figures = report["figures"]
    flights = sorted({each["in_flight"] for each in figures})
    head = ["system"]
    head += [f"per CPU-s, {number} in flight" for number in flights]
    head += [f"per s, {number} in flight" for number in flights]
    rows = []
    for own in _by_system(figures):
        by_flight = {each["in_flight"]: each for each in own}
        rows.append(
            [
                own[0]["system"],
                *(f"{by_flight[number]['per_cpu_second']:,}" for number in flights),
                *(f"{by_flight[number]['per_second']:,}" for number in flights),
            ]
        )
    return [
        "### Saving",
        "",
        "Messages saved in 64 rooms, fsynced and acknowledged, on SQLite.",
        "",
        *_table(head, rows),
    ]


def limiter(report: Report) -> list[str]:
    """Return the section of the limiter: a row for each system."""
    figures = report["figures"]
    # In the order of the report: memory first, then Redis.
    columns = list(dict.fromkeys((each["place"], each["policies"]) for each in figures))
    head = ["system"]
    head += [
        f"{place}: {count} {'policy' if count == 1 else 'policies'}"
        for place, count in columns
    ]
    rows = []
    for own in _by_system(figures):
        of = {
            (each["place"], each["policies"]): each["median_per_second"] for each in own
        }
        told = (of.get(column) for column in columns)
        rows.append(
            [
                own[0]["system"],
                *("" if each is None else f"{each:,}" for each in told),
            ]
        )
    return [
        "### The limiter",
        "",
        "Decisions per second in one process; of short rounds the median.",
        "",
        *_table(head, rows),
    ]


def flood(report: Report) -> list[str]:
    """Return the section of the flood: a row for each rung."""
    rows = [
        [
            each["rung"],
            f"{each['quiet_p99_ms']:g}",
            f"{each['flooded_p99_ms']:g}",
            f"{each['quiet_cpu']:.1%}",
            f"{each['flooded_cpu']:.1%}",
            f"{each['answered_per_second']:,}",
            f"{each['answered_per_cpu_second']:,}"
            if each["answered_per_cpu_second"] is not None
            else "",
        ]
        for each in report["figures"]
    ]
    head = ["what is done to the flooder", "p99 ms without", "p99 ms beside"]
    head += ["CPU without", "CPU beside", "answered/s", "answered per CPU-s"]
    return [
        "### Somebody who floods",
        "",
        "The p99 is that of twenty others, who write in a room of their own.",
        "The flooder gets refusals; the plain Channels chat refuses nothing.",
        "",
        *_table(head, rows),
    ]


def idle(report: Report) -> list[str]:
    """Return the section of idle connections."""
    rows = [
        [
            each["system"],
            _kilobytes(each["bytes_per_connection"]),
            _kilobytes(each["bytes_per_connection_after"]),
            f"{each['cpu_ms_per_minute']:,}",
        ]
        for each in report["figures"]
    ]
    count = report["figures"][0]["connections"]
    seconds = report["figures"][0]["idle_seconds"]
    head = ["system", "KB each", f"KB each after {seconds:g} s", "CPU ms in a minute"]
    return [f"### {count:,} idle connections", "", *_table(head, rows)]


def connect(report: Report) -> list[str]:
    """Return the section of connecting."""
    rows = [
        [
            each["system"],
            f"{each['connects_per_cpu_second']:,}",
            f"{each['p50_ms']:,}",
            f"{each['p99_ms']:,}",
        ]
        for each in report["figures"]
    ]
    head = ["system", "connects per CPU-s", "p50 ms", "p99 ms"]
    return ["### Connecting", "", *_table(head, rows)]


def stalled(report: Report) -> list[str]:
    """Return the section of watchers who never read."""
    rows = [
        [
            each["system"],
            f"{each['readers']:,} beside {each['stalled']:,}",
            _beside(each, "without"),
            _beside(each, "beside"),
            _kilobytes(each["bytes_per_stalled"]),
            f"{each['returned_whole']} of {each['returned']}"
            if each["returned"]
            else "",
        ]
        for each in report["figures"]
    ]
    head = ["system", "readers beside stalled", "p99 ms without", "p99 ms beside"]
    head += ["KB for each stalled", "came back and missed nothing"]
    lines = ["### Watchers who never read", "", *_table(head, rows)]
    held = [each["system"] for each in report["figures"] if each["missing_beside"]]
    if held:
        told = ", ".join(held)
        lines += ["", f"\\> Messages were missing 10 s after the last: {told}."]
    return lines


def quiet(report: Report) -> list[str]:
    """Return the section of a quiet room beside a saturated one."""
    rows = [
        [
            each["other_room"],
            f"{each['p50_ms']:,}",
            f"{each['p99_ms']:,}",
            f"{each['longest_ms']:,}",
            f"{each['deliveries_per_second']:,}",
        ]
        for each in report["figures"]
    ]
    head = ["the other room", "p50 ms", "p99 ms", "longest ms", "deliveries/s there"]
    return ["### A quiet room of ten beside a saturated one", "", *_table(head, rows)]


def storm(report: Report) -> list[str]:
    """Return the section of a storm of returns."""
    each = report["figures"][0]
    reads = each["log_reads"]
    rows = [
        ["until all had caught up", f"{each['seconds']:g} s"],
        ["until half had", f"{each['p50_seconds']:g} s"],
        ["caught up", f"{each['caught_up']:,} of {each['connections']:,}"],
        ["doubled, out of order", f"{each['doubled']}, {each['out_of_order']}"],
        ["told to come later", f"{each['told_to_wait']:,}"],
        ["CPU time of the server", f"{each['cpu_seconds']:g} s"],
        *([["reads of the log", f"{reads:,.0f}"]] if reads is not None else []),
    ]
    title = f"### {each['connections']:,} back at once, each {each['behind']} behind"
    return [title, "", *_table(["what", "figure"], rows)]


def replay(report: Report) -> list[str]:
    """Return the section of the real stream's chat."""
    rows = [
        ["messages, all acknowledged", f"{report['acknowledged']:,}"],
        ["delivered", f"{report['delivered']:,}"],
        *(
            [name.replace("_", " "), str(report[name])]
            for name in ("refused", "lost", "duplicated", "out_of_order")
        ),
        ["p50, p99", "{p50:g} ms, {p99:g} ms".format(**report["latency_ms"])],
        ["CPU time of the server", f"{report['server_cpu_seconds']:g} s"],
    ]
    title = (
        f"### A real stream's chat at {report['speed']:g} times its speed "
        f"to {report['watchers']:,} watchers"
    )
    return [title, "", *_table(["what", "figure"], rows)]


SECTIONS: dict[str, Callable[[Report], list[str]]] = {
    "fanout": fanout,
    "save": save,
    "limiter": limiter,
    "flood": flood,
    "idle": idle,
    "connect": connect,
    "quiet": quiet,
    "stalled": stalled,
    "storm": storm,
    "replay-1000": replay,
}


def plot(report: Report) -> str:
    """Return the picture of the fan-out."""
    figures = report["figures"]
    flights = sorted({each["in_flight"] for each in figures})

    def values(name: str) -> dict[str, list[float | None]]:
        found = {}
        for own in _by_system(figures):
            of = {each["in_flight"]: each[name] for each in own}
            found[own[0]["system"]] = [of.get(number) for number in flights]
        return found

    return dots(
        [
            Panel(
                "deliveries per CPU-second, more is better",
                values("deliveries_per_cpu_second"),
            ),
            Panel("p99 in ms, less is better", values("p99_ms")),
        ],
        [f"{number} in flight" for number in flights],
        # A line has no room for all versions; the page has them.
        ", ".join([report["command"], *report["machine"].split(", ")[:5]]),
    )


def _by_system(figures: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for each in figures:
        found.setdefault(each["system"], []).append(each)
    return list(found.values())


def _delivered(each: dict[str, Any] | None) -> str:
    if each is None:
        return ""
    mark = " \\*" if each["load_saturated"] else ""
    return f"{each['deliveries_per_cpu_second']:,}{mark}"


def _late(each: dict[str, Any] | None) -> str:
    if each is None:
        return ""
    return f"{chr(92) + '> ' if each['at_least'] else ''}{each['p99_ms']:,}"


def _beside(each: dict[str, Any], name: str) -> str:
    mark = "\\> " if each[f"missing_{name}"] else ""
    return f"{mark}{each[f'p99_ms_{name}']:,}"


def _kilobytes(size_bytes: float) -> str:
    return f"{size_bytes / 1024:,.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    ruler = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(row)} |" for row in (head, ruler, *rows)]


def _origin(report: Report) -> list[str]:
    """Return how a report came about: the command, the machine, what was left out."""
    # Reports of before they said it have no command.
    command = f"`{report['command']}`: " if "command" in report else ""
    lines = ["", f"{command}{report['machine']}."]
    left_out = report.get("left_out", {})
    if left_out:
        lines += ["", "Left out:", ""]
        lines += [f"- {name}: {why}." for name, why in left_out.items()]
    return lines


def _versions(reports: Iterable[Report]) -> list[str]:
    """Return the versions of all systems, each as often as it differs."""
    found: dict[str, list[str]] = {}
    for report in reports:
        for name, said in report.get("versions", {}).items():
            if said not in found.setdefault(name, []):
                found[name].append(said)
    if not found:
        return []
    rows = [[name, "; ".join(said)] for name, said in found.items()]
    ruled = [line.replace("---:", "---") for line in _table(["system", "of"], rows)]
    return ["", "### Versions", "", *ruled]


def page(given: str, reports: dict[str, Report]) -> str:
    """Return the page with the sections of these reports between its marks.

    Raises:
        ValueError: When a mark is missing.
    """
    before, begin, rest = given.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}")
    lines: list[str] = []
    for name, section in SECTIONS.items():
        if name in reports:
            lines += ["", *section(reports[name]), *_origin(reports[name])]
    lines += _versions(reports.values())
    return "\n".join([before + BEGIN, *lines, "", END]) + after


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="the reports")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where to write")
    options = parser.parse_args(arguments)
    reports: dict[str, Report] = {}
    for name in SECTIONS:
        found = options.results / f"{name}.json"
        if found.exists():
            reports[name] = json.loads(found.read_text(encoding="utf-8"))
    where = options.docs / "explanation" / "performance.md"
    where.write_text(page(where.read_text(encoding="utf-8"), reports), encoding="utf-8")
    if "fanout" in reports:
        picture = options.docs / "images" / "fanout.svg"
        picture.write_text(plot(reports["fanout"]), encoding="utf-8")
    print(f"{where}: {', '.join(reports) or 'no reports'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
