"""What a server tells of itself at `/metrics`, in the text format of Prometheus."""

from __future__ import annotations

import urllib.error
import urllib.request

__all__ = ["log_reads"]

_NAME = "headgate_log_reads_total"


def log_reads(port: int) -> float | None:
    """Return how often a server has read its log, or None where it does not tell."""
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/metrics", timeout=10
        ) as answer:
            lines = answer.read().decode().splitlines()
    except (urllib.error.URLError, TimeoutError):
        return None
    samples = [
        float(line.split()[-1])
        for line in lines
        if line.partition("{")[0].partition(" ")[0] == _NAME
    ]
    return sum(samples) if samples else None
