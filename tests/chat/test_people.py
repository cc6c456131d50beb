from __future__ import annotations

import unicodedata

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core import signing
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from headgate.chat.people import (
    SYSTEM,
    Actor,
    actor_for,
    author,
    guest_token,
    new_guest,
)
from headgate.protocol.fields import MAX_GUEST_NAME
from headgate.protocol.pushes import Author


def test_the_same_token_is_the_same_guest() -> None:
    gus = new_guest("Gus")

    again = new_guest(None, guest_token(gus))

    assert again == gus
    assert gus.key.startswith("g:")
    assert gus.author == Author(gus.key, "guest", "Gus")


def test_a_guest_may_take_another_name() -> None:
    gus = new_guest("Gus")
    gina = new_guest("Gina", guest_token(gus))

    assert (gina.key, gina.name) == (gus.key, "Gina")
    assert new_guest(None, guest_token(gina)) == gina


def test_guests_are_told_apart_and_have_a_name() -> None:
    first, second = new_guest(None), new_guest("")

    assert first.key != second.key
    assert first.name == f"Guest {first.key[2:6]}"


@pytest.mark.parametrize(
    "damage",
    [
        lambda token: token[:-1],
        lambda token: token + "x",
        lambda token: "x" + token,
        lambda token: token.swapcase(),
        lambda token: token.replace(":", ""),
        lambda _: "",
        lambda _: ":",
        lambda _: "a:b:c",
        lambda _: "\udcff\ud800",
        lambda _: "é:é:é",
        lambda _: signing.dumps({"id": "1", "name": "Eve"}),
        lambda _: signing.dumps({"id": "1", "name": "Eve"}, salt="headgate.other"),
        lambda _: signing.dumps({"id": "1"}, key="another", salt="headgate.guest"),
    ],
)
def test_a_token_that_was_not_signed_here_is_a_new_guest(damage: object) -> None:
    gus = new_guest("Gus")
    forged = damage(guest_token(gus))  # type: ignore[operator]

    other = new_guest(None, forged)

    assert other.key not in {gus.key, "g:1"}
    assert other.name.startswith("Guest ")


def test_a_token_of_a_rotated_secret_still_counts(settings: Settings) -> None:
    gus = new_guest("Gus")
    token = guest_token(gus)
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    assert new_guest(None, token).key != gus.key

    settings.SECRET_KEY_FALLBACKS = [old]

    assert new_guest(None, token) == gus


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("  Ada   Lovelace\t", "Ada Lovelace"),
        ("Ada\u202eecalevoL", "AdaecalevoL"),
        ("A\u200bd\u2066a\u2069", "Ada"),
        ("A\x00d\x1ba\x7f", "Ada"),
        ("Ada\r\nLovelace", "AdaLovelace"),
        ("Ада 👋 林", "Ада 👋 林"),
        ("x" * 100, "x" * MAX_GUEST_NAME),
        ("\u00a0Ada\u3000", "Ada"),
        ("x" * 39 + " y", "x" * 39),
    ],
)
def test_names_are_cleaned(given_name: str, kept: str) -> None:
    assert new_guest(given_name).name == kept


@given(st.text(st.characters(exclude_categories=())))
def test_no_name_hides_or_reorders_text(name: str) -> None:
    shown = new_guest(name).name

    assert shown == shown.strip()
    assert 1 <= len(shown) <= MAX_GUEST_NAME
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs"}
    assert shown.encode()


def test_a_user_is_shown_by_the_full_name_only(db: None) -> None:
    user = User.objects.create_user("ada", "ada@example.org", first_name="Ada")
    nameless = User.objects.create_user("secret-login", "me@example.org")

    assert actor_for(user) == Actor(f"u:{user.pk}", "Ada", user)
    shown = actor_for(nameless).author
    assert (shown.kind, shown.name) == ("user", f"User {nameless.pk}")


def test_a_long_name_fits_the_log(db: None) -> None:
    names = {"first_name": "A" * 150, "last_name": "B" * 150}
    user = User.objects.create_user("ada", **names)

    assert len(actor_for(user).name) == 150


def test_an_actor_is_its_own_actor() -> None:
    gus = new_guest("Gus")

    assert actor_for(gus) is gus
    assert actor_for(SYSTEM) is SYSTEM


@pytest.mark.parametrize("nobody", [None, AnonymousUser(), User(), 5, "ada"])
def test_nobody_is_no_actor(nobody: object) -> None:
    with pytest.raises(TypeError, match="saved user"):
        actor_for(nobody)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("u:1", "user"),
        ("g:a", "guest"),
        ("b:1", "bot"),
        ("s:", "system"),
        ("", "deleted"),
    ],
)
def test_a_key_tells_the_kind(key: str, kind: str) -> None:
    assert author(key, "N").kind == kind
