"""What throttles are told: mistakes are errors where they are made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headgate.contrib.asgi import ThrottleMiddleware
from headgate.contrib.rules import (
    name_for,
    name_from,
    policies_of,
    rate_from_numbers,
)
from headgate.limits import Policy, Rate
from tests.contrib.sockets import echo


class Consumer:
    """A class where an application belongs."""


async def async_key(scope: Any) -> str:
    return "x"


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"rate": "fast"}, ValueError, "'fast' is no rate"),
        ({"rate": "0/s"}, ValueError, "lets nothing through"),
        ({"rate": 10}, TypeError, "Write '10/s'"),
        ({"rate": 1.5}, TypeError, "1.5 is no rate"),
        ({"rate": []}, ValueError, "empty list"),
        ({"rate": ["1/s", 5]}, TypeError, "5 is no rate"),
        ({"rate": "1/s", "rate_limit": 3}, ValueError, "Say it once"),
        ({"rate": "1/s", "per_second": 3}, ValueError, "Say it once"),
        ({"rate_limit": 0}, ValueError, "rate_limit=0"),
        ({"rate_limit": "10"}, ValueError, "rate_limit='10'"),
        ({"rate_limit": 5, "per_second": 0}, ValueError, "per_second=0"),
        ({"rate_limit": 5, "per_second": "2"}, ValueError, "per_second='2'"),
        ({"rate_limit": 5000, "per_second": 0.001}, ValueError, "no limit"),
        ({"rate": "1/s", "key": "ip"}, ValueError, "user, address, connection"),
        ({"rate": "1/s", "key": None}, ValueError, "user, address, connection"),
        ({"rate": "1/s", "key": async_key}, TypeError, "not an async one"),
        ({"rate": "1/s", "past": "wait"}, ValueError, "past='wait'"),
        ({"rate": "1/s", "name": "My limit"}, ValueError, "names no policy"),
        ({"rate": "1/s", "store_away": "no"}, ValueError, "store_away='no'"),
        ({"rate": "1/s", "max_wait_seconds": 3}, ValueError, "past='delay'"),
        (
            {"rate": "1/s", "past": "delay", "max_wait_seconds": 0},
            ValueError,
            "more than 0",
        ),
        ({"rate": "1/s", "refusal": {"a": 1}}, ValueError, "past='close' says"),
        ({"rate": "1/s", "past": "reject", "refusal": 5}, TypeError, "refusal=5"),
        (
            {"rate": "1/s", "past": "reject", "refusal": {"a": object()}},
            TypeError,
            "not JSON",
        ),
        ({"rate": "1/s", "limiter": "mine"}, TypeError, "limiter='mine'"),
        ({"rate": Policy("x", "1/s", cost=5)}, ValueError, "nothing through"),
        (
            {"rate": [Policy("x", "1/s"), Policy("x", "5/min")]},
            ValueError,
            "the same name",
        ),
        (
            {"rate": [Policy("x", "1/s", past="drop"), Policy("y", "5/min")]},
            ValueError,
            "do not agree",
        ),
    ],
)
def test_wrong_arguments(
    arguments: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        ThrottleMiddleware(echo, **arguments)


def test_a_class_is_no_application() -> None:
    with pytest.raises(TypeError, match=r"write Consumer\.as_asgi\(\)"):
        ThrottleMiddleware(Consumer, "1/s")  # type: ignore[arg-type]


def test_a_rate_is_no_application() -> None:
    with pytest.raises(TypeError, match="the application to wrap"):
        ThrottleMiddleware("1/s")  # type: ignore[arg-type]


def test_numbers_make_a_rate() -> None:
    assert rate_from_numbers(None, 10, 2) == Rate.parse("10/2s")
    assert rate_from_numbers(None, 3, 0.5) == Rate.parse("3/500ms")
    assert rate_from_numbers(None, 1000, 86400) == Rate.parse("1000/day")
    assert rate_from_numbers(None, None, 1) == Rate.parse("1/s")
    assert rate_from_numbers("5/min", None, 1) == "5/min"


def test_a_policy_keeps_what_it_says() -> None:
    given = Policy(
        "talk",
        "5/s",
        7,
        past="delay",
        store_away="closed",
        dry_run=True,
        longest_wait_seconds=3,
    )
    assert policies_of(given, name="other") == (given,)


def test_what_is_said_beside_a_policy_wins() -> None:
    given = Policy("talk", "5/s", past="delay", longest_wait_seconds=3)
    (found,) = policies_of(given, name="x", past="drop", store_away="open")
    assert (found.name, found.past, found.store_away) == ("talk", "drop", "open")
    (found,) = policies_of(given, name="x", max_wait_seconds=5)
    assert found.longest_wait_seconds == 5


def test_several_have_names_of_their_own() -> None:
    found = policies_of(["1/s", Rate.parse("5/min"), Policy("p", "1/h")], name="talk")
    assert [each.name for each in found] == ["talk", "talk.2", "p"]


def test_names_are_made_of_what_is_limited() -> None:
    assert name_for(Consumer) == "tests.contrib.test_rules.consumer"
    assert name_for(asyncio.sleep, Consumer) == (
        "tests.contrib.test_rules.consumer.sleep"
    )
    assert name_from("__Ünï code__") == "n--code__"
    long = name_from("app." + "x" * 100)
    assert len(long) == 64
    assert long != name_from("app." + "x" * 101)
    assert name_from("5") == "view"
    for name in (long, name_from("9" * 100 + "a"), name_from("a" + "." * 100)):
        Policy(name, "1/s")
