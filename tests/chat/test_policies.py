"""The table of policies, and what a project makes of it."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from headgate.chat.conf import Conf
from headgate.chat.policies import (
    CAPS,
    ELSEWHERE,
    STANDARD,
    PolicySet,
    policies,
    policy_mistake,
)

# As the design has them: rate, burst, key, what happens past it.
DEFAULTS = {
    "connect": ("20/min", "user", "close"),
    "connect.address": ("600/min", "address", "close"),
    "command": ("120/min:60", "connection", "reject"),
    "append": ("20/s:40", "connection", "reject"),
    "send": ("1/s:10", "user and room", "reject"),
    "send.all": ("60/min:20", "user", "reject"),
    "typing": ("1/3s", "user and room", "drop"),
    "history": ("60/min", "user", "reject"),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name: str) -> None:
    policy = PolicySet(Conf()).policy(name)

    assert policy is not None
    assert (str(policy.rate), policy.key, policy.past) == DEFAULTS[name]


def test_slow_mode_and_push_are_off_by_default() -> None:
    assert PolicySet(Conf()).policy("slow_mode") is None
    assert PolicySet(Conf()).policy("push") is None
    assert set(STANDARD) == {*DEFAULTS, "slow_mode", "push"}


def test_caps_of_open_connections() -> None:
    assert PolicySet(Conf()).open_caps == {"connect.open": 10} | {
        "connect.address.open": 500
    }
    set_off = Conf(LIMITS={"connect.open": "off", "connect.address.open": "7"})
    assert PolicySet(set_off).open_caps == {
        "connect.open": None,
        "connect.address.open": 7,
    }


def test_the_narrower_rules() -> None:
    found = PolicySet(Conf(LIMITS={"send": "3/s"}))
    person, room = {"send": "9/s"}, {"send": "6/s"}

    rates = [
        found.policy("send"),
        found.policy("send", {}, room),
        found.policy("send", person, room),
        found.policy("send", {"send": "off"}, room),
    ]

    assert [None if each is None else str(each.rate) for each in rates] == [
        "3/s",
        "6/s",
        "9/s",
        None,
    ]


def test_a_rooms_slow_mode_is_one_in_so_many_seconds() -> None:
    policy = PolicySet(Conf()).slow_mode(30.0)

    assert policy is not None
    assert (policy.name, str(policy.rate), policy.burst) == ("slow_mode", "1/30s", 1)


def test_a_dry_run() -> None:
    found = PolicySet(Conf(DRY_RUN=["send"]))

    assert [found.policy(name).dry_run for name in ("send", "send.all")] == [  # type: ignore[union-attr]
        True,
        False,
    ]


def test_settings_take_effect_at_once(settings: Settings) -> None:
    settings.HEADGATE = {"LIMITS": {"send": "2/s"}}
    before = policies().policy("send")
    settings.HEADGATE = {"LIMITS": {"send": "4/s"}}
    after = policies().policy("send")

    assert [str(each.rate) for each in (before, after) if each] == ["2/s", "4/s"]


@pytest.mark.parametrize(
    ("name", "rate", "expected"),
    [
        ("send", "2/s:20", None),
        ("send", "off", None),
        ("connect.open", 3, None),
        ("connect.open", "3", None),
        ("connect.open", "off", None),
        ("connect.open", "0", "is no number of connections"),
        ("connect.open", "2/s", "is no number of connections"),
        ("connect.open", True, "is no number of connections"),
        ("send", "fast", "is no rate"),
        ("send", 5, "is no rate"),
        ("sned", "1/s", "There is no policy 'sned' here"),
        *[(name, "1/s", why) for name, why in ELSEWHERE.items()],
    ],
)
def test_mistakes(name: str, rate: object, expected: str | None) -> None:
    found = policy_mistake(name, rate)

    assert (found is None) if expected is None else (expected in (found or ""))


def test_names_are_distinct() -> None:
    assert not set(STANDARD) & set(CAPS)
    assert not set(ELSEWHERE) & (set(STANDARD) | set(CAPS))
