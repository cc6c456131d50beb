"""Predictions, held to the server's own limiter on a clock of the test."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.client.bucket import Rate
from headgate.client.errors import wait_seconds
from headgate.client.http_limits import Told
from headgate.client.outbox import Entry, Outbox
from headgate.client.pacing import MAX_BUCKETS, Allowance, Pacing
from headgate.limits.policy import Policy
from headgate.limits.rates import Rate as LimitRate
from headgate.protocol import codec, commands, pushes
from headgate.protocol.codes import Code
from tests.client.limited_server import LimitedServer

DEFAULTS = [
    Policy("command", "120/min:60"),
    Policy("send", "1/s:10"),
    Policy("send.all", "60/min:20"),
]
USER = pushes.Author(id="u:1", kind="user", name="Ada")


def welcome(
    limits: list[pushes.Limit], rooms: dict[str, pushes.RoomJoined] | None = None
) -> pushes.Welcome:
    return pushes.Welcome(
        user=USER,
        rooms=rooms or {},
        limits=limits,
        heartbeat_ms=25_000,
        max_message_bytes=16_384,
    )


def send(room: str = "a", client_id: str = "c") -> commands.Send:
    return commands.Send(room=room, text="x", client_id=client_id)


def too_fast(policy: str, retry_after_ms: int) -> pushes.Error:
    return codec.error(
        Code.RATE_LIMITED, policy=policy, retry_after_ms=retry_after_ms, remaining=0
    )


class World:
    """A client's outbox and pacing, a network that takes its time, and a server.

    What goes out arrives in its order; so do replies. `after` does something later.
    """

    def __init__(self, server: LimitedServer, seed: int, delay_seconds: float) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.delay_seconds = delay_seconds
        self.outbox = Outbox()
        self.pacing = Pacing()
        self.pacing.welcomed(welcome(server.told(["a", "b"])), server.now)
        self.saved: list[str] = []
        self.asked = 0
        self._arrivals = [server.now, server.now]  # the last one, in each direction
        self._numbers = itertools.count()
        self._later: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        at = self.server.now + seconds
        heapq.heappush(self._later, (at, next(self._numbers), do))

    def post(self, direction: int, do: Callable[[], None]) -> None:
        delay = self.random.random() * self.delay_seconds
        at = max(self.server.now + delay, self._arrivals[direction])
        self._arrivals[direction] = at
        self.after(at - self.server.now, do)

    def add(self, room: str, client_id: str) -> None:
        self.outbox.add(Entry(send(room, client_id), client_id, 10))

    def run(self, limit_seconds: float) -> None:
        """Go on until nothing is left to do; each step takes what is due."""
        until = self.server.now + limit_seconds
        while self.server.now < until:
            self._take()
            times = [self._later[0][0]] if self._later else []
            due = self.outbox.next_at()
            times += [] if due is None else [due]
            if not times:
                return
            self.server.now = max(min(times), self.server.now)
            while self._later and self._later[0][0] <= self.server.now:
                heapq.heappop(self._later)[2]()
        raise AssertionError(f"not done in {limit_seconds} s")

    def _take(self) -> None:
        for entry, turn in self.outbox.take(self.server.now, self.pacing):
            self.post(0, lambda entry=entry, turn=turn: self._arrive(entry, turn))

    def _arrive(self, entry: Entry, turn: Any) -> None:
        self.asked += 1
        refusal = self.server.refusal(entry.command)
        if refusal is None:
            assert entry.client_id is not None
            self.saved.append(entry.client_id)
        self.post(1, lambda: self._answered(entry, turn, refusal))

    def _answered(self, entry: Entry, turn: Any, refusal: pushes.Error | None) -> None:
        now = self.server.now
        if refusal is None:
            turn.counted(now)
            self.outbox.remove(entry)
            return
        turn.refused(refusal, now)
        wait = wait_seconds(refusal)
        assert wait is not None
        until = now + wait + self.random.random() * 0.25
        self.outbox.postpone(entry, until, refusal.policy)


def in_order(saved: list[str], rooms: str, each: int) -> None:
    for room in rooms:
        here = [client_id for client_id in saved if client_id.startswith(room)]
        assert here == [f"{room}{n}" for n in range(each)]


rates = st.builds(
    lambda count, period_ms, burst: LimitRate(count, period_ms / 1000, burst),
    st.integers(1, 40),
    st.integers(100, 30_000) | st.integers(1_000_000, 4_000_000),
    st.integers(1, 20),
)
policies = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("command", "send", "send.all", "slow_mode"), rates)
).map(lambda found: [Policy(name, rate) for name, rate in found.items()])


@settings(max_examples=150, deadline=None)
@given(
    policies=policies,
    own=st.none() | rates,
    seed=st.integers(0, 2**32),
    delay_seconds=st.sampled_from([0.0, 0.003, 0.2, 3.0]),
)
def test_who_is_alone_is_never_refused(
    policies: list[Policy], own: LimitRate | None, seed: int, delay_seconds: float
) -> None:
    of_rooms = [] if own is None else [("b", Policy("send", own))]
    world = World(LimitedServer(policies, of_rooms), seed, delay_seconds)
    for n in range(20):
        for room in "abc":
            at = world.random.choice([0.0, 0.0, world.random.random() * 60])
            world.after(
                at + n * 60, lambda room=room, n=n: world.add(room, f"{room}{n}")
            )
    world.run(1e7)

    assert world.server.refusals == {}
    assert world.asked == 60
    in_order(world.saved, "abc", 20)


@settings(max_examples=100, deadline=None)
@given(
    policies=policies,
    seed=st.integers(0, 2**32),
    delay_seconds=st.sampled_from([0.0, 0.2]),
)
def test_beside_another_sender_all_lands_once_and_in_order(
    policies: list[Policy], seed: int, delay_seconds: float
) -> None:
    """The other one asks whenever it likes; what it gets is missing here."""
    world = World(LimitedServer(policies), seed, delay_seconds)
    for n in range(15):
        for room in "ab":
            world.add(room, f"{room}{n}")

    def disturb() -> None:
        world.server.refusal(send(world.random.choice("ab")))

    for _ in range(80):
        world.after(world.random.random() * 40, disturb)
    world.run(1e7)

    in_order(world.saved, "ab", 15)
    assert len(world.saved) == 30


def test_a_refusal_is_met_once_for_each_wrong_prediction() -> None:
    """Another one has used everything up: one refusal, and then the right wait."""
    world = World(LimitedServer(DEFAULTS), 1, 0.0)
    for _ in range(10):
        world.server.refusal(send())
    for n in range(5):
        world.add("a", f"a{n}")
    world.run(60)

    in_order(world.saved, "a", 5)
    assert world.server.refusals == {"send": 1}


def test_a_drained_limit_is_used_as_fast_as_it_comes_back() -> None:
    """Being careful costs no more than the way there and back, once."""
    server = LimitedServer(DEFAULTS)
    world = World(server, 1, 0.2)
    began = server.now
    for n in range(30):
        world.add("a", f"a{n}")
    world.run(60)

    in_order(world.saved, "a", 30)
    assert server.now - began < 20 + 1.0


def test_the_oldest_goes_first_where_rooms_share_a_limit() -> None:
    world = World(LimitedServer([Policy("send.all", "1/s")]), 1, 0.0)
    for n in range(6):
        for room in "ba":
            world.add(room, f"{room}{n}")
    world.run(60)

    assert world.saved == [f"{room}{n}" for n in range(6) for room in "ba"]


@pytest.fixture
def pacing() -> Pacing:
    found = Pacing()
    found.welcomed(welcome(LimitedServer(DEFAULTS).told()), 0)
    return found


def used(pacing: Pacing, room: str, times: int, now: float = 0) -> None:
    for _ in range(times):
        pacing.begin(send(room), now).counted(now)


def test_what_is_known_before_anything_is_said() -> None:
    pacing = Pacing()
    assert pacing.wait(send(), 0).seconds == 0
    assert pacing.allowance("a", 0, ahead=3, ahead_in_all=3) == Allowance(None, 0, None)
    assert pacing.limits(0) == []


def test_an_allowance_counts_what_waits(pacing: Pacing) -> None:
    assert pacing.allowance("a", 0, ahead=0, ahead_in_all=0).remaining == 10
    assert pacing.allowance("a", 0, ahead=0, ahead_in_all=15).remaining == 5
    used(pacing, "a", 8)
    assert pacing.allowance("a", 0, ahead=0, ahead_in_all=0).remaining == 2
    assert pacing.allowance("b", 0, ahead=0, ahead_in_all=0).remaining == 10
    found = pacing.allowance("a", 0, ahead=3, ahead_in_all=3)
    assert (found.remaining, found.policy) == (0, "send")
    assert found.wait_seconds == pytest.approx(2, abs=0.01)


def test_what_is_on_its_way_has_its_place(pacing: Pacing) -> None:
    turns = [pacing.begin(send(), 0) for _ in range(10)]
    assert pacing.wait(send(), 0).policy == "send"
    assert pacing.wait(send(), 60).policy == "send"  # none of them was counted yet
    turns[0].refused(codec.error(Code.FORBIDDEN), 60)
    assert pacing.wait(send(), 60).policy == "send"  # this may have been counted
    turns[1].refused(too_fast("slow_mode", 1), 60)
    assert pacing.wait(send(), 60.01).seconds == 0  # this was not


def test_a_turn_is_told_once(pacing: Pacing) -> None:
    turn = pacing.begin(send(), 0)
    turn.counted(0)
    turn.counted(0)
    pacing.disconnected(0)
    assert pacing.allowance("a", 0, ahead=0, ahead_in_all=0).remaining == 9


def test_what_had_no_reply_when_the_connection_went_may_be_counted(
    pacing: Pacing,
) -> None:
    turns = [pacing.begin(send(), 0) for _ in range(10)]
    pacing.disconnected(5)
    assert pacing.wait(send(), 5).seconds == pytest.approx(1, abs=0.01)
    turns[0].counted(5)  # too late to be news
    assert pacing.wait(send(), 5).seconds == pytest.approx(1, abs=0.01)
    # Nothing is on its way any more.
    assert pacing.allowance("a", 60, ahead=0, ahead_in_all=0).remaining == 10


def test_a_welcome_replaces_what_was_known(pacing: Pacing) -> None:
    used(pacing, "a", 10)
    used(pacing, "b", 10)
    server = LimitedServer([Policy("send", "2/s:10"), DEFAULTS[2]])
    told = [
        *server.told(),
        pushes.Limit(
            policy="send",
            key="user and room",
            room="c",
            burst=2,
            per_second=0.1,
            remaining=0,
            retry_after_ms=4000,
        ),
    ]
    rooms = {room: pushes.RoomJoined(head=0, epoch="e") for room in "ac"}
    pacing.welcomed(welcome(told, rooms), 0)

    assert pacing.allowance("a", 0, ahead=0, ahead_in_all=0).remaining == 10
    assert pacing.wait(send("b"), 0).policy == "send"  # not of this welcome's rooms
    assert pacing.wait(send("b"), 0).seconds < 0.6  # but at the new rate
    assert pacing.wait(send("c"), 0).seconds == pytest.approx(4, abs=0.01)
    assert pacing.allowance("c", 4.1, ahead=0, ahead_in_all=0).remaining == 1
    commands_left = [each for each in pacing.limits(0) if each.policy == "command"]
    assert commands_left == []


def test_what_is_left_is_taken_at_its_word(pacing: Pacing) -> None:
    told = [
        pushes.Limit(
            policy="send.all", key="user", burst=20, per_second=1.0, remaining=3
        )
    ]
    pacing.welcomed(welcome(told), 0)
    assert pacing.allowance("a", 0, ahead=0, ahead_in_all=0).remaining == 3


def test_a_refusal_is_the_servers_word_in_both_directions(pacing: Pacing) -> None:
    pacing.begin(send(), 0).refused(too_fast("send", 5000), 0)
    assert pacing.wait(send(), 0).seconds == pytest.approx(5, abs=0.01)
    assert pacing.wait(send("b"), 0).seconds == 0
    used(pacing, "b", 15)
    assert pacing.wait(send("b"), 0).seconds > 5
    pacing.begin(send("b"), 0).refused(too_fast("send", 1), 0)
    assert pacing.wait(send("b"), 0).seconds == pytest.approx(0.1, abs=0.01)


def test_a_refusal_of_what_was_never_told_is_left(pacing: Pacing) -> None:
    pacing.begin(send(), 0).refused(too_fast("of_another_kind", 5000), 0)
    assert pacing.wait(send(), 0).seconds == 0


def test_slow_mode_comes_and_goes(pacing: Pacing) -> None:
    pacing.slow_mode("a", 30_000, exempt=False, now=0)
    used(pacing, "a", 1)
    found = pacing.wait(send(), 0)
    assert found.policy == "slow_mode"
    assert found.seconds == pytest.approx(30, abs=0.01)
    edit = commands.Edit(room="a", target=1, text="x")
    assert pacing.wait(edit, 0).seconds == pacing.wait(send("b"), 0).seconds == 0
    pacing.slow_mode("a", 2000, exempt=False, now=0)
    assert pacing.wait(send(), 0).seconds == pytest.approx(2, abs=0.01)
    pacing.slow_mode("a", 2000, exempt=True, now=0)
    assert pacing.wait(send(), 0).seconds == 0
    pacing.slow_mode("a", 2000, exempt=False, now=0)
    used(pacing, "a", 1)
    pacing.slow_mode("a", 0, exempt=False, now=0)
    assert pacing.wait(send(), 0).seconds == 0


def test_slow_mode_in_a_welcome_is_exact() -> None:
    """Six digits after the point are not enough for 6 hours."""
    limit = pushes.Limit(
        policy="slow_mode",
        key="user and room",
        room="a",
        burst=1,
        per_second=0.000046,
        remaining=1,
    )
    pacing = Pacing()
    room = pushes.RoomJoined(head=0, epoch="e", slow_mode_ms=21_600_000)
    pacing.welcomed(welcome([limit], {"a": room}), 0)
    used(pacing, "a", 1)
    wait = pacing.wait(send(), 0).seconds
    assert 21_600 < wait < 21_600.01, "rather a moment too late than too early"


def test_answers_over_http_teach(pacing: Pacing) -> None:
    found = [
        Told("command", Rate(60, 0.5, 2.0), 0, 1.0),
        Told("send", Rate(5, 2.0, 0.5), 0, 2.0),
        Told("send.all", Rate(20, 1.0, 1.0), 4, None),
        Told("of_the_project", Rate(1, 60.0, 1 / 60), 0, 60.0),
    ]
    pacing.told(found, "a", 0)
    assert pacing.wait(send(), 0).policy == "send"
    assert pacing.wait(send(), 0).seconds == pytest.approx(2, abs=0.01)
    assert pacing.allowance("b", 0, ahead=0, ahead_in_all=0).remaining == 4
    assert pacing.wait(commands.Read(room="a", seq=1), 0).seconds == 0
    pacing.told([Told("send", Rate(5, 2.0, 0.5), 0, 9.0)], None, 0)  # of which room?
    assert pacing.wait(send("c"), 0).seconds == 0


def test_pings_and_goodbyes_are_free(pacing: Pacing) -> None:
    for _ in range(70):
        pacing.begin(commands.Read(room="a", seq=1), 0).counted(0)
    assert pacing.wait(commands.Join(room="a"), 0).policy == "command"
    assert pacing.wait(commands.Ping(), 0).seconds == 0
    assert pacing.wait(commands.Leave(room="a"), 0).seconds == 0


def test_limits_are_shown_as_they_are(pacing: Pacing) -> None:
    used(pacing, "a", 20)
    found = {(each.policy, each.room): each for each in pacing.limits(0)}
    assert set(found) == {
        ("command", None),
        ("send", None),
        ("send", "a"),
        ("send.all", None),
    }
    here = found["send", "a"]
    assert (here.burst, here.per_second, here.remaining) == (10, 1.0, 0)
    assert here.retry_after_seconds == pytest.approx(11, abs=0.1)
    anywhere = found["send", None]
    assert (anywhere.remaining, anywhere.retry_after_seconds) == (10, None)


def test_rooms_are_forgotten_when_there_are_many(pacing: Pacing) -> None:
    used(pacing, "kept", 10, now=10_000)
    for n in range(3 * MAX_BUCKETS):
        used(pacing, f"room-{n}", 1, now=n * 2)
    assert len(pacing._buckets) <= MAX_BUCKETS + 1
    assert pacing.wait(send("kept"), 10_000).seconds > 0
