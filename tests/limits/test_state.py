"""What is stored, and what that may not change: P6, P8 to P11, on both stores."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.limits import Charge, MemoryStore, Policy
from tests.limits.models import FREELY, costs, gaps, policies, traces
from tests.limits.worlds import TimedRedis, World, policy

EXAMPLES = 60


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p06_looking_and_being_refused_change_nothing(
    world: World, data: st.DataObject
) -> None:
    policy = data.draw(policies(most_burst=20))
    world.fresh()
    for gap, cost in data.draw(traces(policy, most=10)):
        world.clock.step(gap)
        before = world.snapshot()
        world.look(policy, cost=cost)
        world.ask(policy, cost=0)
        assert world.snapshot() == before

        if not world.ask(policy, cost=cost).allowed:
            assert world.snapshot() == before


def test_p06_a_cost_of_nothing_leaves_a_number_beyond_a_lowered_limit(
    world: World,
) -> None:
    world.ask(policy("10/s", 10), cost=10)
    lowered = policy("10/s", 2)
    before = world.snapshot()

    assert world.ask(lowered, cost=0).allowed
    assert world.snapshot() == before


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p08_a_refund_is_as_if_it_had_not_been(
    world: World, data: st.DataObject
) -> None:
    policy = data.draw(policies(most_burst=20))
    world.fresh()
    for gap, cost in data.draw(traces(policy, most=6)):
        world.clock.step(gap)
        world.ask(policy, cost=cost)
    before = world.look(policy).tat_us
    cost = data.draw(costs(policy))
    if world.ask(policy, cost=cost).allowed:
        world.limiter.refund(policy, "k", cost)

    assert world.look(policy).tat_us == before
    for _ in range(3):
        world.limiter.refund(policy, "k", policy.burst)
    assert world.look(policy).remaining == policy.burst


def test_p08_a_refund_after_the_limit_was_lowered_is_worth_its_cost(
    world: World,
) -> None:
    world.ask(policy("10/s", 10), cost=10)
    lowered = policy("10/s", 2)
    world.limiter.refund(lowered, "k", 1)

    assert world.look(lowered).remaining == 1


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p09_other_keys_and_policies_change_nothing(
    world: World, data: st.DataObject
) -> None:
    policy = data.draw(policies(most_burst=20))
    other = data.draw(policies(most_burst=20, name="p.2"))
    trace = data.draw(traces(policy, most=12))
    keys = st.sampled_from(["", "K", "{k}", "k}", "{k", "k:", "p:k", "{k}:k", "é"])
    noise = data.draw(st.lists(st.tuples(keys, st.booleans()), max_size=12))

    def decided(*, beside: bool) -> list[tuple[bool, int]]:
        world.fresh()
        found = []
        for number, (gap, cost) in enumerate(trace):
            world.clock.step(gap)
            for key, same in noise[: number * beside]:
                world.ask(policy if same else other, key, 1)
            world.ask(other, "k", beside * 1)
            decision = world.ask(policy, cost=cost)
            found.append((decision.allowed, decision.remaining))
        return found

    assert decided(beside=False) == decided(beside=True)


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p10_whoever_rested_long_enough_is_as_new(
    world: World, data: st.DataObject
) -> None:
    policy = data.draw(policies(most_burst=20))
    world.fresh()
    for gap, cost in data.draw(traces(policy, most=10)):
        world.clock.step(gap)
        world.ask(policy, cost=cost)
    world.clock.step(policy.tolerance_us)

    rested, fresh = world.ask(policy), world.ask(policy, "fresh")
    assert rested.tat_us == fresh.tat_us
    assert rested.remaining == policy.burst - 1


class _NeverSweeps(MemoryStore):
    def _sweep(self, now: int) -> None:
        pass


@given(data=st.data())
@settings(FREELY, max_examples=EXAMPLES)
def test_p10_sweeping_cannot_be_noticed(data: st.DataObject) -> None:
    world = World(None).fresh(max_keys=800)  # sweeps from 16 keys on
    policy = data.draw(policies(most_burst=5))
    keeps = _NeverSweeps(clock=world.clock)
    numbers = st.integers(0, 40)
    asks = st.lists(st.tuples(gaps(policy), numbers, costs(policy)), max_size=150)
    for gap, number, cost in data.draw(asks):
        world.clock.step(gap)
        one = world.store.decide_one(policy, f"k{number}", cost)
        other = keeps.decide_one(policy, f"k{number}", cost)
        assert (one.allowed, one.tat_us) == (other.allowed, other.tat_us)


@given(data=st.data())
@settings(FREELY, max_examples=20)
def test_p11_redis_keeps_each_key_as_long_as_it_matters(
    timed_redis: TimedRedis, data: st.DataObject
) -> None:
    world = World(timed_redis)
    policy = data.draw(policies(most_burst=20))
    for gap, cost in data.draw(traces(policy, most=6)):
        world.clock.step(gap)
        decision = world.ask(policy, cost=cost)
        if decision.allowed and cost:
            needed_ms = -(-(decision.tat_us - decision.now_us) // 1000)
            (kept_ms,) = timed_redis.ttls_ms()
            assert needed_ms - 2000 <= kept_ms <= needed_ms  # it took a moment
            assert kept_ms <= -(-policy.tolerance_us // 1000)


def test_p11_redis_forgets_what_was_given_back(timed_redis: TimedRedis) -> None:
    world = World(timed_redis)
    world.ask(policy())
    world.limiter.refund(policy(), "k")

    assert timed_redis.snapshot() == {}


def test_p11_memory_keeps_about_the_keys_that_matter() -> None:
    world = World(None).fresh(max_keys=50_000)  # sweeps from 1,000 keys on
    each = policy("1/s", 1)
    most = 0
    for number in range(20_000):
        world.clock.step(1000)  # so 1,000 keys matter
        world.ask(each, f"k{number}")
        most = max(most, len(world.store))  # type: ignore[arg-type]

    assert most < 4000
    shelves = world.store._shelves.values()  # type: ignore[union-attr]
    assert len(world.store) == sum(map(len, shelves))  # type: ignore[arg-type]


def test_a_reset_forgets_a_key_under_the_policies_that_are_named(
    world: World,
) -> None:
    one, two = policy("1/day", name="one"), policy("1/day", name="two")
    for each in (one, two):
        assert world.ask(each).allowed
        assert not world.ask(each).allowed
    world.store.reset(["one", "never-used"], "k")

    assert world.ask(one).allowed
    assert not world.ask(two).allowed


def test_a_refund_needs_no_charge_before_it(world: World) -> None:
    world.limiter.refund(policy("5/s"), "k", 3)

    assert world.look(policy("5/s")).remaining == 5


def test_a_wrong_cost_counts_nothing_of_the_decision(world: World) -> None:
    one = policy("5/s", name="one")
    charges = [Charge(one, "k"), Charge(Policy("two", "5/s"), "k", -1)]
    try:
        world.limiter.decide(charges)
    except ValueError:
        pass
    else:
        raise AssertionError

    assert world.look(one).remaining == 5


def test_a_fiftieth_of_the_room_is_let_be() -> None:
    world = World(None).fresh(max_keys=5000)
    store = world.store
    assert isinstance(store, MemoryStore)
    each = policy("1/s", 1)
    for number in range(99):
        world.ask(each, f"k{number}")
        world.clock.step(1_000_000)  # so none of them matters any more

    # Whoever comes again is known all the same, which costs half.
    assert all(store.counted([Charge(each, f"k{number}")]) for number in range(99))
    world.clock.step(1_000_000)
    for number in range(99, 5000):
        world.ask(each, f"k{number}")
        world.clock.step(1_000_000)
    assert len(store) < 1500
