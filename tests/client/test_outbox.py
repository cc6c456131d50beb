from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from headgate.client.errors import OutboxFull
from headgate.client.outbox import Entry, Outbox
from headgate.protocol.commands import Edit, Send


def entry(room: str, client_id: str, size_bytes: int = 10) -> Entry:
    return Entry(Send(room=room, text="x", client_id=client_id), client_id, size_bytes)


class OutboxMachine(RuleBasedStateMachine):
    """A server that saves, refuses, or loses, and the outbox between it and callers.

    `added` and `saved` are what callers sent and what the server has, per room.
    """

    MAX_ITEMS, MAX_BYTES = 12, 200

    @initialize()
    def start(self) -> None:
        self.outbox = Outbox(max_items=self.MAX_ITEMS, max_bytes=self.MAX_BYTES)
        self.now = 0.0
        self.count = 0
        self.added: dict[str, list[str]] = defaultdict(list)
        self.saved: dict[str, list[str]] = defaultdict(list)
        self.settled: Counter[str] = Counter()
        self.flying: list[Entry] = []
        self.waiting: list[Entry] = []  # known to the outbox, as we believe

    @rule(room=st.sampled_from("abc"), size=st.integers(1, 60))
    def add(self, room: str, size: int) -> None:
        self.count += 1
        new = entry(room, f"c-{self.count}", size)
        total = sum(e.size_bytes for e in self.waiting) + size
        if len(self.waiting) >= self.MAX_ITEMS or total > self.MAX_BYTES:
            with pytest.raises(OutboxFull):
                self.outbox.add(new)
            return
        self.outbox.add(new)
        self.waiting.append(new)
        self.added[room].append(f"c-{self.count}")

    @rule(seconds=st.floats(0, 3))
    def take(self, seconds: float) -> None:
        self.now += seconds
        taken = self.outbox.take(self.now)
        for each in taken:
            assert each.not_before <= self.now
            assert all(other.room != each.room for other in self.flying)
            first = next(e for e in self.waiting if e.room == each.room)
            assert each is first, "only the oldest of a room may fly"
            self.flying.append(each)
        due = self.outbox.next_at()
        assert due is None or due > self.now

    def _server_saves(self, each: Entry) -> None:
        assert each.client_id is not None
        if each.client_id not in self.saved[each.room]:
            self.saved[each.room].append(each.client_id)

    def _settle(self, each: Entry) -> None:
        assert each.client_id is not None
        self.settled[each.client_id] += 1
        self.waiting.remove(each)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), outcome=st.sampled_from(["saved", "refused", "later"]))
    def answer(self, data: st.DataObject, outcome: str) -> None:
        each = data.draw(st.sampled_from(self.flying))
        self.flying.remove(each)
        if outcome == "later":
            self.outbox.postpone(each, self.now + 1)
            if each.abandoned:
                self.waiting.remove(each)
            return
        if outcome == "saved":
            self._server_saves(each)
        self.outbox.remove(each)
        self._settle(each)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        each = data.draw(st.sampled_from(self.waiting))
        self.outbox.cancel(each)
        if each not in self.flying:
            self.waiting.remove(each)

    @rule(landed=st.lists(st.booleans(), min_size=3, max_size=3))
    def reconnect(self, landed: list[bool]) -> None:
        for each, has_landed in zip(self.flying, landed, strict=False):
            if has_landed:
                self._server_saves(each)
            if each.abandoned:
                self.waiting.remove(each)
        self.flying.clear()
        self.outbox.lost()
        for room, client_ids in self.outbox.pending().items():
            assert len(client_ids) == 1
            seqs = {
                client_id: self.saved[room].index(client_id) + 1
                for client_id in client_ids
                if client_id in self.saved[room]
            }
            done = self.outbox.landed(room, seqs)
            assert {e.client_id: seq for e, seq in done} == seqs
            for each, _ in done:
                self._settle(each)

    @invariant()
    def in_order_and_once(self) -> None:
        for room, saved in self.saved.items():
            order = [self.added[room].index(client_id) for client_id in saved]
            assert order == sorted(set(order))
        assert all(times == 1 for times in self.settled.values())

    @invariant()
    def bounds_are_exact(self) -> None:
        assert len(self.outbox) == len(self.waiting)
        assert self.outbox.size_bytes == sum(e.size_bytes for e in self.waiting)

    def teardown(self) -> None:
        """With a server that only saves, everything is settled in the end."""
        if not hasattr(self, "outbox"):
            return
        self.reconnect([False] * 3)
        while self.waiting:
            self.take(5)
            for each in list(self.flying):
                self.flying.remove(each)
                self._server_saves(each)
                self.outbox.remove(each)
                self._settle(each)
            self.in_order_and_once()
        assert len(self.outbox) == self.outbox.size_bytes == 0


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=60)


def test_a_waiting_client_id_is_not_taken_twice() -> None:
    outbox = Outbox()
    outbox.add(entry("a", "c-1"))
    outbox.add(entry("b", "c-1"))  # another room is another message

    with pytest.raises(ValueError, match="c-1"):
        outbox.add(entry("a", "c-1"))

    assert len(outbox) == 2


def test_edits_fly_in_order_and_are_not_asked_about() -> None:
    outbox = Outbox()
    edits = [Entry(Edit(room="a", target=1, text=t), None, 10) for t in "xyz"]
    for each in edits:
        outbox.add(each)
    assert outbox.take(0) == [edits[0]]

    outbox.lost()

    assert outbox.pending() == {}
    assert outbox.take(0) == [edits[0]]


@given(st.lists(st.sampled_from("abcd"), max_size=30))
def test_clear_returns_everything(rooms: list[str]) -> None:
    outbox = Outbox()
    entries = [entry(room, f"c-{n}") for n, room in enumerate(rooms)]
    for each in entries:
        outbox.add(each)
    outbox.take(0)

    cleared = outbox.clear()

    assert sorted(cleared, key=entries.index) == entries
    assert outbox.take(0) == []
    assert outbox.next_at() is None
