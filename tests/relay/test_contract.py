"""Each relay keeps the promises of all."""

from __future__ import annotations

from tests.relay.contract import RelayContract


class TestRelays(RelayContract):
    """In memory and on a Redis, by the fixture `opened`."""
