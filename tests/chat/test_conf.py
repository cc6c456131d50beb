from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from django.test import override_settings

from headgate.chat.conf import Conf, conf, mistakes


def test_what_is_not_given_has_its_default() -> None:
    with override_settings(HEADGATE={}):
        assert conf() == Conf()
    assert conf() == Conf()  # the test project has no HEADGATE at all


def test_overriding_takes_effect_at_once_and_ends_with_the_block() -> None:
    with override_settings(HEADGATE={"GUESTS": True}):
        assert conf().GUESTS
        assert conf() is conf()
        with override_settings(HEADGATE={"RESUME_LIMIT": 5}):
            assert (conf().GUESTS, conf().RESUME_LIMIT) == (False, 5)
        assert conf().GUESTS
    assert not conf().GUESTS


def test_a_setting_is_not_changed_by_hand() -> None:
    with pytest.raises(FrozenInstanceError):
        conf().GUESTS = True  # type: ignore[misc]


def test_an_unknown_key_stops_nothing_and_is_a_mistake() -> None:
    with override_settings(HEADGATE={"GEUSTS": True}):
        assert conf() == Conf()
        ((what, hint),) = mistakes({"GEUSTS": True})

    assert "GEUSTS" in what
    assert "GUESTS" in hint


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("GUESTS", [True, False], [1, "yes", None]),
        ("MAKE_ROOMS", [True], [0]),
        ("MAX_MADE_ROOMS", [1, 10**6], [0, -1, True, 1.5, "5", None]),
        (
            "ALLOWED_ORIGINS",
            [None, [], ["https://a.example"], ("https://a.example",)],
            ["https://a.example", [1], {"https://a.example"}, 5],
        ),
        ("PERMISSIONS", ["a.b.C"], [None, Conf]),
        ("RESUME_LIMIT", [1], [0]),
        ("JOURNAL_MAX_WAITING", [1], [0]),
        ("JOURNAL_MAX_WAITING_BYTES", [1], [0]),
        ("OUTBOX_MAX_BYTES", [1], [0]),
    ],
)
def test_a_value_of_another_type_is_a_mistake(
    key: str,
    good: list[Any],
    bad: list[Any],
) -> None:
    for value in good:
        assert mistakes({key: value}) == []
    for value in bad:
        ((what, hint),) = mistakes({key: value})
        assert key in what
        assert repr(getattr(Conf(), key)) in hint


def test_every_default_is_right() -> None:
    assert mistakes({field.name: field.default for field in fields(Conf)}) == []


@pytest.mark.parametrize("given", [None, [], "GUESTS", 5])
def test_what_is_no_dict_is_one_mistake(given: object) -> None:
    ((what, hint),) = mistakes(given)

    assert "not a dict" in what
    assert hint
