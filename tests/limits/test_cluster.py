"""Redis Cluster: keys that share a tag are decided in one call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headgate.limits import Charge, Limiter, Policy
from headgate.limits.redis import RedisStore, redis_key
from tests.limits.worlds import eventually
from tests.redis_server import RedisServer, redis_server

USER = Policy("user", "3/day")
ROOM = Policy("room", "5/day")


@pytest.fixture(scope="module")
def cluster(session_redis: RedisServer) -> Iterator[RedisServer]:
    """One node that has all slots: it refuses what no cluster could do."""
    with redis_server("--cluster-enabled", "yes") as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            eventually(lambda: client.cluster("info").get("cluster_state") == "ok")
        yield server


@pytest.fixture
def limiter(cluster: RedisServer) -> Iterator[Limiter]:
    cluster.flush()
    store = RedisStore(cluster.url, timeout_seconds=10)
    yield Limiter(store)
    store.close()


@pytest.mark.parametrize(
    "keys",
    [("{u:5}", "{u:5}:general"), ("u:5", "u:5"), ("u:5", "{u:5}:general")],
)
def test_keys_with_one_tag_are_decided_in_one_call(
    limiter: Limiter, cluster: RedisServer, keys: tuple[str, str]
) -> None:
    charges = [Charge(USER, keys[0]), Charge(ROOM, keys[1])]
    limiter.decide(charges)  # gives it the script
    before = cluster.calls()

    assert [limiter.decide(charges).allowed for _ in range(3)] == [True, True, False]
    assert cluster.calls() - before == 3
    assert not limiter.store.degraded


def test_keys_in_different_slots_are_the_callers_mistake(limiter: Limiter) -> None:
    charges = [Charge(USER, "u:5"), Charge(ROOM, "room:7")]
    for _ in range(5):
        with pytest.raises(ValueError, match="same part in braces"):
            limiter.decide(charges)

    assert limiter.decide_one(USER, "u:5").allowed
    assert not limiter.store.degraded


async def test_that_is_told_to_who_asked_and_to_nobody_else(
    cluster: RedisServer,
) -> None:
    cluster.flush()
    store = RedisStore(cluster.url, timeout_seconds=10)
    with pytest.raises(ValueError, match="same part in braces"):
        await store.adecide([Charge(USER, "u:5"), Charge(ROOM, "room:7")])

    assert (await store.adecide_one(USER, "u:5")).allowed
    assert not store.degraded
    await store.aclose()


def test_each_key_has_a_place_of_its_own() -> None:
    keys = ["u:5", "{u:5}", "{{u:5}}", ":{u:5}", ":u:5", "{u:5}:", "", "{}", "u:{5}"]
    places = {redis_key("p", policy, key) for policy in ("a", "a.b") for key in keys}

    assert len(places) == 2 * len(keys)
