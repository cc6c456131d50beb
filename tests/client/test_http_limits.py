from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.client.bucket import Rate
from headgate.client.http_limits import Told, limits_in, room_of
from headgate.limits.fields import limit_fields, retry_after
from headgate.limits.limiter import Limiter
from headgate.limits.memory import MemoryStore
from headgate.limits.policy import Charge, Policy


@pytest.mark.parametrize("used", [0, 1, 7, 10])
@pytest.mark.parametrize("rate", ["1/s:10", "60/min:10", "5/2s:10", "2/ms:10"])
def test_what_the_server_writes_is_read(rate: str, used: int) -> None:
    now_ns = 10**12
    limiter = Limiter(MemoryStore(clock=lambda: now_ns))
    policy = Policy("send", rate)
    for _ in range(used):
        limiter.decide_one(policy, "u")
    decision = limiter.peek([Charge(policy, "u")]).decisions[0]

    (told,) = limits_in(200, limit_fields([decision]))

    assert (told.policy, told.rate.burst, told.remaining) == ("send", 10, 10 - used)
    assert told.rate.interval_seconds == pytest.approx(1 / policy.per_second)
    exactly = decision.next_after_seconds or None
    assert told.next_in_seconds == pytest.approx(exactly)


def test_a_refusal_waits_for_its_slowest_policy() -> None:
    limiter = Limiter(MemoryStore(clock=lambda: 10**12))
    quick, slow = Policy("send", "1/s:1"), Policy("slow_mode", "1/30s")
    open_one = Policy("send.all", "60/min:20")
    charges = [Charge(each, "u") for each in (quick, slow, open_one)]
    limiter.decide(charges)
    verdict = limiter.decide(charges)
    assert verdict.refused is not None
    fields = {**limit_fields(verdict.decisions), **retry_after(verdict.refused)}

    found = {each.policy: each for each in limits_in(429, fields)}

    assert found["send"].next_in_seconds == 1
    assert found["slow_mode"].next_in_seconds == 30
    assert found["send.all"].remaining == 19
    assert limits_in(200, fields)[1].next_in_seconds == 30


def test_a_refusal_may_last_longer_than_the_rate_says() -> None:
    """Such as after the limit was lowered."""
    fields = {"RateLimit-Policy": '"a";q=4;w=1', "RateLimit": '"a";r=0;t=1'}
    (told,) = limits_in(429, {**fields, "Retry-After": "9"})
    assert told.next_in_seconds == 9
    (told,) = limits_in(200, {**fields, "Retry-After": "9"})
    assert told.next_in_seconds == 0.25


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"RateLimit": '"send";r=1'},
        {"RateLimit-Policy": '"send";q=1;w=1'},
        {"RateLimit-Policy": '"send";q=0;w=1', "RateLimit": '"send";r=1'},
        {"RateLimit-Policy": '"send";q=1;w=1', "RateLimit": '"send";r=-1'},
        {"RateLimit-Policy": '"send";q=1;w=1', "RateLimit": "send;r=1"},
        {"RateLimit-Policy": "limit=10", "RateLimit": "remaining=3"},
        {"Retry-After": "5"},
    ],
)
def test_what_is_not_understood_is_left_out(fields: dict[str, str]) -> None:
    assert limits_in(429, fields) == []


def test_a_quota_without_a_burst_is_one() -> None:
    fields = {"RateLimit-Policy": '"a";q=5;w=10', "RateLimit": '"a";r=3;t=9'}
    assert limits_in(200, fields) == [Told("a", Rate(5, 2.0, 0.5), 3, 2.0)]


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=20))
def test_whatever_comes_does_no_harm(policies: str, left: str, after: str) -> None:
    fields = {"RateLimit-Policy": policies, "RateLimit": left, "Retry-After": after}
    for each in limits_in(429, fields):
        assert each.rate.burst >= 1
        assert each.rate.interval_seconds > 0


@pytest.mark.parametrize(
    ("path", "room"),
    [
        ("api/v1/rooms/general/messages", "general"),
        ("api/v1/rooms/general/messages/7", "general"),
        ("ws/chat/general/", "general"),
        ("ws/chat/", None),
        ("api/v1/connect", ""),
        ("api/v1/rooms", ""),
        ("orders/7/comment", None),
        ("other/api/v1/rooms/general/messages", None),
    ],
)
def test_whose_answers_are_about_which_room(path: str, room: str | None) -> None:
    assert room_of(path) == room
