"""The reports of all processes as one text, in the format that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from headgate.server.metrics_families import Family
from headgate.server.metrics_reports import Report

__all__ = ["PROCESS", "metrics_of", "text_of"]

PROCESS = "process"  # the label that says whose a sample is


class _Ready(Collector):
    """Metrics that are there already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def text_of(reports: Sequence[Report], accept: str) -> tuple[bytes, str]:
    """Return the samples of all processes, and the content type.

    Prometheus' own format, or OpenMetrics where the header `Accept` prefers that.
    """
    found = metrics_of((name, each.families) for name, each in _named(reports))
    registry = CollectorRegistry()
    registry.register(_Ready(found))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def metrics_of(processes: Iterable[tuple[str, Iterable[Family]]]) -> list[Metric]:
    """Return what Prometheus' package knows of the families of named processes."""
    found: dict[str, Metric] = {}
    for process, of_process in processes:
        for family in of_process:
            metric = found.get(family.name)
            if metric is None:
                # A counter's own name has no `_total`; its samples' names do.
                name = family.name
                if family.kind == "counter":
                    name = name.removesuffix("_total")
                metric = Metric(name, family.meaning, family.kind)
                found[family.name] = metric
            for sample in family.samples:
                labels = {**sample.labels, PROCESS: process}
                metric.add_sample(sample.name, labels, sample.value)
    return list(found.values())


def _named(reports: Sequence[Report]) -> list[tuple[str, Report]]:
    """Return each report with the name of its process.

    That is the worker's number, so that a series goes on with the next worker. One
    that is being replaced has another name as long as it lives: its counts go on, too.
    """
    newest: dict[int, Report] = {}
    for each in reports:
        known = newest.get(each.number)
        if known is None or each.started_at > known.started_at:
            newest[each.number] = each
    return [
        (
            str(each.number)
            if newest[each.number] is each
            else f"{each.number}-leaving",
            each,
        )
        for each in sorted(reports, key=lambda each: (each.number, -each.started_at))
    ]
