"""Errors of a listener are logged once a second, with how many were not."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from headgate.relay.guarded_listener import GuardedListener


class Raising:
    def received(self, topic: str, payload: bytes) -> None:
        raise LookupError(topic)

    def doubtful(self, topics: Collection[str]) -> None:
        raise LookupError(*topics)


def test_one_line_a_second(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    guarded = GuardedListener(Raising(), clock=lambda: now)
    for _ in range(3):
        guarded.received("a", b"")
        guarded.doubtful(["b"])
    now = 101.0
    guarded.doubtful(["c"])
    guarded.doubtful(["d"])

    assert [each.getMessage() for each in caplog.records] == [
        "relay_listener_failed unsaid=0",
        "relay_listener_failed unsaid=5",
    ]
    assert "LookupError: a" in caplog.text
    assert "LookupError: c" in caplog.text
