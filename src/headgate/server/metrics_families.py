"""What one process measures, as the samples that Prometheus knows.

They are plain data, so that processes can tell each other theirs.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import accumulate

from msgspec import Struct
from prometheus_client import ProcessCollector
from prometheus_client.utils import floatToGoString

from headgate.chat.histogram import Histogram
from headgate.chat.measured import MEASURES, Kind, Measure, Seen, Summary, Value

__all__ = [
    "SERVER_MEASURES",
    "Family",
    "Sample",
    "ServerMeasure",
    "families",
    "family",
    "own_families",
]


class Sample(Struct, array_like=True):
    """One number."""

    name: str
    labels: dict[str, str]
    value: float


class Family(Struct, array_like=True):
    """A metric with all its samples."""

    name: str
    kind: str
    meaning: str
    samples: list[Sample]


class ServerMeasure(Struct, frozen=True):
    """Something that the server measures beside the chat."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


_LOOP_LAG = ServerMeasure(
    "headgate_loop_lag_seconds",
    "histogram",
    "How late the event loop is, looked at four times a second.",
)
_BUILD = ServerMeasure(
    "headgate_build_info",
    "gauge",
    "1, and by its labels what runs.",
    ("version", "python"),
)
SERVER_MEASURES = (_LOOP_LAG, _BUILD)


def families(seen: Seen, loop_lag: Histogram) -> list[Family]:
    """Return all that this process measures."""
    return [
        *(family(each, each.read(seen).items()) for each in MEASURES),
        family(_LOOP_LAG, [((), loop_lag)]),
        *own_families(),
    ]


def own_families() -> list[Family]:
    """Return what is measured of this process, whatever it does."""
    build = (version("headgate"), platform.python_version())
    return [family(_BUILD, [(build, 1.0)]), *_process()]


def family(
    measure: Measure | ServerMeasure, values: Iterable[tuple[tuple[str, ...], Value]]
) -> Family:
    """Return what is measured, by the values of its labels."""
    samples = [
        sample
        for of_labels, value in values
        for sample in _samples(
            measure.name, dict(zip(measure.labels, of_labels, strict=True)), value
        )
    ]
    return Family(measure.name, measure.kind, measure.meaning, samples)


def _samples(name: str, labels: dict[str, str], value: Value) -> Iterator[Sample]:
    if isinstance(value, Histogram):
        # Read once: the sum of buckets and the count must be the same number.
        counts = list(accumulate(value.counts))
        bounds = [*map(floatToGoString, value.bounds), "+Inf"]
        for bound, count in zip(bounds, counts, strict=True):
            yield Sample(f"{name}_bucket", {**labels, "le": bound}, count)
        yield Sample(f"{name}_sum", labels, value.total)
        yield Sample(f"{name}_count", labels, counts[-1])
    elif isinstance(value, Summary):
        yield Sample(f"{name}_sum", labels, value.total)
        yield Sample(f"{name}_count", labels, value.count)
    else:
        yield Sample(name, labels, value)


_collector = ProcessCollector(registry=None)


def _process() -> Iterator[Family]:
    """Return CPU, memory and open files, where the system tells them as Linux does."""
    for each in _collector.collect():
        samples = [Sample(one.name, one.labels, one.value) for one in each.samples]
        name = f"{each.name}_total" if each.type == "counter" else each.name
        yield Family(name, each.type, each.documentation, samples)
