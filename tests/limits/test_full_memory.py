"""A memory store without room: bounded, and opened by nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.limits import Charge
from tests.limits.models import FREELY, check_window, costs, gaps, policies
from tests.limits.worlds import World, policy


@given(data=st.data(), max_keys=st.integers(0, 4))
@settings(FREELY, max_examples=150)
def test_no_key_gets_more_than_its_limit_though_others_are_many(
    data: st.DataObject, max_keys: int
) -> None:
    """Also one that moves from the shared number to its own, and back."""
    world = World(None).fresh(max_keys=max_keys)
    found = [data.draw(policies(most_burst=5, name=name)) for name in ("one", "two")]
    keys = [f"k{number}" for number in range(8)]
    admitted: dict[tuple[str, str], list[tuple[int, int]]] = {}
    step = st.tuples(
        gaps(found[0]), st.lists(st.sampled_from(keys), min_size=1, max_size=3)
    )
    for gap, asked in data.draw(st.lists(step, max_size=40)):
        world.clock.step(gap)
        which = data.draw(st.sampled_from(found))
        if data.draw(st.integers(0, 4)) == 0:  # makes room, for this key and others
            gone = data.draw(st.sampled_from(keys))
            world.store.reset([which.name], gone)
            admitted.pop((which.name, gone), None)
        charges = [Charge(which, key, data.draw(costs(which))) for key in set(asked)]
        verdict = world.limiter.decide(charges)
        if len(charges) > 1 and not verdict.allowed:
            continue
        if verdict.allowed:
            for each in charges:
                place = (which.name, each.key)
                moment = (world.clock.now_us, each.cost or 0)
                admitted.setdefault(place, []).append(moment)
        assert _kept(world) == len(world.store) <= max_keys  # type: ignore[arg-type]
    for (name, _), each in admitted.items():
        check_window(each, found[name == "two"])


@given(data=st.data())
@settings(FREELY, max_examples=100)
def test_keys_are_counted_though_a_sweep_comes_amid_a_decision(
    data: st.DataObject,
) -> None:
    world = World(None).fresh(max_keys=800)  # sweeps from 16 keys on
    each = policy("1/s", 3)
    numbers = st.integers(0, 30)
    step = st.tuples(st.integers(0, 2_000_000), st.sets(numbers, max_size=4))
    for gap, asked in data.draw(st.lists(step, min_size=10, max_size=40)):
        world.clock.step(gap)
        world.limiter.decide([Charge(each, f"k{number}") for number in asked])
        assert _kept(world) == len(world.store)  # type: ignore[arg-type]


def _kept(world: World) -> int:
    shelves = world.store._shelves.values()  # type: ignore[union-attr]
    return sum(map(len, shelves))


def test_new_keys_share_one_number_and_old_ones_keep_theirs() -> None:
    world = World(None).fresh(max_keys=10)
    each = policy("1/min", 3)
    for number in range(10):
        assert world.ask(each, f"old{number}").allowed

    assert [world.ask(each, f"new{n}").allowed for n in range(5)] == [
        *[True] * 3,
        *[False] * 2,
    ]
    assert [world.ask(each, "old7").allowed for _ in range(3)] == [True, True, False]
    assert len(world.store) == 10  # type: ignore[arg-type]


def test_a_key_that_gets_a_place_does_not_get_its_burst_again() -> None:
    world = World(None).fresh(max_keys=1)
    each = policy("1/day", 2)
    assert world.ask(each, "old").allowed
    assert world.ask(each, "new").allowed
    world.store.reset(["p"], "old")  # now there is room

    assert [world.ask(each, "new").allowed for _ in range(2)] == [True, False]
    assert len(world.store) == 1  # type: ignore[arg-type]


def test_another_policy_has_another_shared_number() -> None:
    world = World(None).fresh(max_keys=0)

    assert world.ask(policy("1/day", name="one"), "a").allowed
    assert not world.ask(policy("1/day", name="one"), "b").allowed
    assert world.ask(policy("1/day", name="two"), "b").allowed


def test_there_is_room_as_soon_as_the_old_keys_no_longer_matter() -> None:
    """Also where the shared number of a slow policy lets nearly nobody in."""
    world = World(None).fresh(max_keys=5000)
    brief, slow = policy("1/s", 1, name="brief"), policy("1/day", name="slow")
    for number in range(5000):
        world.ask(brief, f"k{number}")
    assert world.ask(slow, "first").allowed
    assert not world.ask(slow, "second").allowed

    world.clock.step(1_000_000)
    # Refused by the number that new keys had to share, it makes room all the same.
    assert not world.ask(slow, "second").allowed
    assert len(world.store) < 5000  # type: ignore[arg-type]
    for number in range(10_000):
        decision = world.ask(policy("1/day", name="third"), f"k{number}")
        assert decision.allowed or number > 4900
    world.clock.step(86_400_000_000)
    assert world.ask(slow, "second").allowed


def test_without_time_passing_a_full_store_is_swept_once() -> None:
    world = World(None).fresh(max_keys=64)
    each = policy("1/day", 1)
    for number in range(64):
        world.ask(each, f"k{number}")
    sweeps = 0
    sweep = world.store._sweep  # type: ignore[union-attr]

    def counted(now: int) -> None:
        nonlocal sweeps
        sweeps += 1
        sweep(now)

    world.store._sweep = counted  # type: ignore[union-attr,method-assign]
    for number in range(1000):
        world.ask(each, f"new{number}")

    assert sweeps <= 2
