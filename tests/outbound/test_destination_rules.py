from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from headgate.outbound.models import Destination

pytestmark = pytest.mark.django_db

RIGHT: dict[str, Any] = {
    "name": "crm",
    "url": "https://crm.example/hooks",
    "events": ["message"],
    "rooms": ["order-*"],
}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("url", "", "The URL is empty"),
        ("url", "https://10.0.0.1/", "OUTBOUND_NETWORKS"),
        ("events", ["mesage"], "There is no event 'mesage'. There are message,"),
        ("events", "message", "A list of texts is wanted."),
        ("rooms", "order-*", "A list of texts is wanted."),
        ("rooms", [7], "A list of texts is wanted."),
        ("rooms", ["order/*"], "'order/*' is no pattern of rooms."),
        ("secrets", "whsec_a", "A list of texts is wanted."),
        ("rate", "10/x", "'10/x' has the period 'x'."),
        ("cost_budget", "much", "'much' is no rate."),
        ("concurrency", 0, "It is 0; from 1 to 64 may be written."),
        ("timeout_seconds", 1e9, "It is 1e+09; from 0.1 to 600 may be written."),
        ("ordering", "rooms", "There is no 'rooms'. There are 'none', 'room'."),
        ("late", "", "There is no ''. There are 'keep', 'drop', 'digest'."),
        ("importance", 3, "There is no 3. There are 0, 1, 2."),
        ("kind", "webook", "There is no 'webook'. There are 'webhook', 'handler'."),
        ("concurrency", "many", "must be an integer"),
        ("concurrency", None, "cannot be null"),
        ("rate", None, "It is None; an empty text"),
        ("url", None, "It is None; an empty text"),
        ("name", "my crm", "Enter a valid"),
    ],
)
def test_what_code_gets_wrong_is_said_at_once(
    column: str, value: object, said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        Destination.objects.create(**(RIGHT | {column: value}))

    (mistake,) = caught.value.message_dict[column]
    assert said in mistake
    assert list(caught.value.message_dict) == [column]
    assert not Destination.objects.exists()


def test_a_secret_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        Destination.objects.create(**RIGHT, secrets="whsec_c2VjcmV0")

    assert "whsec" not in str(caught.value)


def test_numbers_may_be_texts_as_django_takes_them() -> None:
    made = Destination.objects.create(**RIGHT, concurrency="8", useful_seconds="60")
    assert (made.concurrency, made.useful_seconds) == (8, 60.0)


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(ValidationError) as caught:
        Destination.objects.create(name="crm", rate="fast", rooms="*")

    assert sorted(caught.value.message_dict) == ["rate", "rooms", "url"]


def test_a_row_that_is_there_is_saved_whatever_the_rules_are_by_now() -> None:
    made = Destination.objects.create(**RIGHT)
    Destination.objects.update(url="https://10.0.0.1/")

    again = Destination.objects.get()
    again.paused = True
    again.save()

    made.refresh_from_db()
    assert (made.url, made.paused) == ("https://10.0.0.1/", True)


def test_a_handler_has_no_url() -> None:
    handler = RIGHT | {"url": "", "kind": "handler", "handler": "bot:helper"}
    assert Destination.objects.create(**handler).pk
