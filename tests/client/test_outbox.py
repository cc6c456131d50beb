from __future__ import annotations

import asyncio
from collections import Counter, defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from headgate.client.errors import Expired, OutboxFull, Refused
from headgate.client.outbox import Entry, Outbox, OutgoingStatus
from headgate.client.pacing import Pacing
from headgate.protocol.codec import error
from headgate.protocol.codes import Code
from headgate.protocol.commands import Delete, Edit, Send


def entry(room: str, client_id: str, size_bytes: int = 10, since: float = 0.0) -> Entry:
    command = Send(room=room, text="x", client_id=client_id)
    return Entry(command, client_id, size_bytes, since=since)


def no() -> Refused:
    return Refused(error(Code.MUTED))


def take(outbox: Outbox, now: float) -> list[Entry]:
    """Take what goes where nothing is limited."""
    return [entry for entry, _ in outbox.take(now, Pacing())]


class OutboxMachine(RuleBasedStateMachine):
    """A server that saves, refuses, or loses, and the outbox between it and callers.

    `added` and `saved` are what callers sent and what the server has, per room.
    """

    MAX_ITEMS, MAX_BYTES, MAX_AGE_SECONDS = 12, 200, 10.0

    @initialize(keep=st.booleans())
    def start(self, *, keep: bool) -> None:
        self.keep = keep
        self.outbox = Outbox(
            max_items=self.MAX_ITEMS,
            max_bytes=self.MAX_BYTES,
            max_age_seconds=self.MAX_AGE_SECONDS,
            keep_failed=keep,
        )
        self.now = 0.0
        self.count = 0
        self.added: dict[str, list[str]] = defaultdict(list)
        self.saved: dict[str, list[str]] = defaultdict(list)
        self.settled: Counter[str] = Counter()
        self.flying: list[Entry] = []
        self.overdue: list[Entry] = []  # of those that fly
        self.waiting: list[Entry] = []  # known to the outbox, as we believe
        self.failed: list[Entry] = []  # of those

    @rule(room=st.sampled_from("abc"), size=st.integers(1, 60))
    def add(self, room: str, size: int) -> None:
        self.count += 1
        new = entry(room, f"c-{self.count}", size, self.now)
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
        for each in take(self.outbox, self.now):
            assert each.held_until <= self.now
            assert all(other.room != each.room for other in self.flying)
            first = next(e for e in self.waiting if e.room == each.room)
            assert each is first, "only the oldest of a room may fly"
            assert each not in self.failed, "not before somebody tries it again"
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
        if each in self.failed:
            self.failed.remove(each)

    def _fail(self, each: Entry) -> None:
        if self.keep and not each.abandoned:
            self.failed.append(each)
        else:
            self._settle(each)

    def _come_back(self, each: Entry) -> None:
        """Have something come back that is neither saved nor refused for good."""
        if each.abandoned:
            self.waiting.remove(each)
        elif each in self.overdue:
            self._fail(each)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), outcome=st.sampled_from(["saved", "refused", "later"]))
    def answer(self, data: st.DataObject, outcome: str) -> None:
        each = data.draw(st.sampled_from(self.flying))
        self.flying.remove(each)
        if outcome == "later":
            self.outbox.postpone(each, self.now + 1, None)
            self._come_back(each)
        elif outcome == "saved":
            self._server_saves(each)
            self.outbox.remove(each)
            self._settle(each)
        else:
            self.outbox.refuse(each, no())
            self._fail(each)
        self.overdue = [e for e in self.overdue if e is not each]

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        each = data.draw(st.sampled_from(self.waiting))
        assert each.client_id is not None
        found = self.outbox.find(each.room, each.client_id)
        assert found is (None if each.abandoned else each)
        self.outbox.cancel(each)
        if each not in self.flying:
            self.waiting.remove(each)
            self.failed = [e for e in self.failed if e is not each]

    @rule()
    def expire(self) -> None:
        for each in list(self.waiting):
            if each in self.failed or self.outbox.expires_at(each) > self.now:
                continue
            assert self.now - each.since >= self.MAX_AGE_SECONDS
            self.outbox.expire(each)
            if each in self.flying:
                self.overdue.append(each)
            else:
                self._fail(each)

    @precondition(lambda self: self.failed)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        each = data.draw(st.sampled_from(self.failed))
        self.outbox.retry(each, self.now)
        self.failed.remove(each)

    @rule(landed=st.lists(st.booleans(), min_size=3, max_size=3))
    def reconnect(self, landed: list[bool]) -> None:
        for each, has_landed in zip(self.flying, landed, strict=False):
            if has_landed:
                self._server_saves(each)
            self._come_back(each)
        self.flying.clear()
        self.overdue.clear()
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

    @invariant()
    def what_is_shown_is_so(self) -> None:
        shown = self.outbox.outgoing(self.now, online=True)
        assert [each.client_id for each in shown] == [e.client_id for e in self.waiting]
        for each, seen in zip(self.waiting, shown, strict=True):
            has_failed = each in self.failed
            assert (seen.error is not None) is has_failed
            assert (seen.status is OutgoingStatus.FAILED) is has_failed
            assert (seen.status is OutgoingStatus.SENDING) is (each in self.flying)

    def teardown(self) -> None:
        """With a server that only saves, everything is settled in the end."""
        if not hasattr(self, "outbox"):
            return
        self.reconnect([False] * 3)
        for each in list(self.failed):
            self.outbox.retry(each, self.now)
            self.failed.remove(each)
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
TestOutboxMachine.settings = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],  # the machine, not the strategies
)


def test_a_waiting_client_id_is_not_taken_twice() -> None:
    outbox = Outbox()
    outbox.add(entry("a", "c-1"))
    outbox.add(entry("b", "c-1"))  # another room is another message

    with pytest.raises(ValueError, match="c-1"):
        outbox.add(entry("a", "c-1"))

    assert len(outbox) == 2


def test_what_is_on_its_way_is_not_ahead() -> None:
    outbox = Outbox()
    for n, room in enumerate("aaab"):
        outbox.add(entry(room, f"c-{n}"))
    assert outbox.ahead("a") == (3, 4)
    assert len(take(outbox, 0)) == 2
    assert outbox.ahead("a") == (2, 2)
    assert outbox.ahead("b") == (0, 2)
    assert outbox.ahead("c") == (0, 2)


def test_edits_fly_in_order_and_are_not_asked_about() -> None:
    outbox = Outbox()
    edits = [Entry(Edit(room="a", target=1, text=t), None, 10) for t in "xyz"]
    for each in edits:
        outbox.add(each)
    assert take(outbox, 0) == [edits[0]]

    outbox.lost()

    assert outbox.pending() == {}
    assert take(outbox, 0) == [edits[0]]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from("abcd"), max_size=30))
def test_clear_returns_everything(rooms: list[str]) -> None:
    outbox = Outbox()
    entries = [entry(room, f"c-{n}") for n, room in enumerate(rooms)]
    for each in entries:
        outbox.add(each)
    take(outbox, 0)

    cleared = outbox.clear()

    assert sorted(cleared, key=entries.index) == entries
    assert take(outbox, 0) == []
    assert outbox.next_at() is None


def test_time_that_a_limit_takes_is_not_counted() -> None:
    pacing = Pacing()
    pacing.slow_mode("a", 100_000, exempt=False, now=0.0)
    outbox = Outbox(max_age_seconds=10)
    first, second, third = (entry("a", f"c-{n}") for n in range(3))
    other = entry("b", "c-0")
    for each in (first, second, third, other):
        outbox.add(each)
    assert outbox.expires_at(second) == 10

    assert [each for each, _ in outbox.take(0.0, pacing)] == [first, other]
    outbox.remove(first)
    assert outbox.take(1.0, pacing) == []

    assert outbox.next_at() is not None
    assert outbox.expires_at(second) == outbox.expires_at(third) >= 110
    assert outbox.expires_at(other) == 10


def test_time_that_a_busy_server_takes_is_counted() -> None:
    outbox = Outbox(max_age_seconds=10)
    only = entry("a", "c-1")
    outbox.add(only)
    take(outbox, 0)
    outbox.postpone(only, 60, None)
    assert take(outbox, 1) == []
    assert outbox.expires_at(only) == 10


@pytest.mark.parametrize(
    "command",
    [
        Edit(room="a", target=1, text="x"),
        Delete(room="a", target=1),
        Send(room="a", text="", client_id="c-1", open=True),
    ],
)
def test_only_whole_messages_are_kept(command: Send | Edit | Delete) -> None:
    outbox = Outbox(keep_failed=True)
    outbox.add(Entry(command, getattr(command, "client_id", None), 10))
    (each,) = take(outbox, 0)
    outbox.refuse(each, no())
    assert len(outbox) == 0


@pytest.mark.parametrize("went_out", [False, True])
async def test_what_expires_says_whether_it_may_be_saved(*, went_out: bool) -> None:
    outbox = Outbox(max_age_seconds=10)
    only = entry("a", "c-1")
    answer = only.answer = asyncio.get_running_loop().create_future()
    outbox.add(only)
    if went_out:
        assert take(outbox, 9) == [only]
        outbox.expire(only)
        assert not answer.done(), "its answer may be on the way"
        outbox.lost()
    else:
        outbox.expire(only)
    assert answer.done()
    with pytest.raises(Expired) as expired:
        answer.result()
    assert expired.value.unanswered is went_out
    assert ("may be saved" in str(expired.value)) is went_out
    assert len(outbox) == 0


def test_a_refusal_that_passes_does_not_bring_back_what_is_overdue() -> None:
    outbox = Outbox(max_age_seconds=10, keep_failed=True)
    only = entry("a", "c-1")
    outbox.add(only)
    take(outbox, 9)
    outbox.expire(only)
    outbox.postpone(only, 60, "send")
    (seen,) = outbox.outgoing(61, online=True)
    assert isinstance(seen.error, Expired)
    assert not seen.error.unanswered
    assert take(outbox, 61) == []

    outbox.retry(only, 61)
    assert outbox.expires_at(only) == 71
    assert take(outbox, 61) == [only]
    outbox.postpone(only, 62, "send")
    assert len(outbox) == 1, "it is not overdue any more"


def test_what_has_failed_is_not_ahead() -> None:
    outbox = Outbox(keep_failed=True)
    for n in range(3):
        outbox.add(entry("a", f"c-{n}"))
    (first,) = take(outbox, 0)
    outbox.refuse(first, no())
    assert outbox.ahead("a") == (2, 2)
    assert outbox.next_at() is None
