"""Services in the admin: how they stand, what is done to them, and who sees what."""

from __future__ import annotations

import re
import time
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from headgate.chat import actions
from headgate.chat.models import Room
from headgate.outbound import replaying
from headgate.outbound.models import (
    Attempt,
    Bot,
    Delivery,
    Destination,
    IncomingWebhook,
)
from headgate.outbound.signatures import check_secret
from headgate.outbound.switches import BY_STAFF

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def browser(transactional_db: None) -> Client:
    """A browser that a superuser has signed in with."""
    client = Client()
    client.force_login(User.objects.create_superuser("boss", first_name="Boss"))
    return client


def staff(*codenames: str) -> Client:
    """Return a browser of somebody with these rights alone."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


def page(model: str, what: str, *args: Any) -> str:
    return reverse(f"admin:headgate_outbound_{model}_{what}", args=args)


def text_of(response: HttpResponse) -> str:
    assert response.status_code == 200
    return unescape(response.content.decode())


def made(name: str = "crm", **more: Any) -> Destination:
    given = {"url": "https://crm.example/", "events": ["message"], "rooms": ["*"]}
    created: Destination = Destination.objects.create(name=name, **(given | more))
    return created


def owed(destination: Destination, state: str = "due", **more: Any) -> Delivery:
    now = time.time()
    given = {"event": "message", "due_at": now, "created_at": now}
    given["finished_at"] = None if state == "due" else now
    created: Delivery = Delivery.objects.create(
        destination=destination, state=state, **(given | more)
    )
    return created


FORM = {
    "name": "crm",
    "url": "https://crm.example/hook",
    "events": ["message", "service.degraded"],
    "rooms": "general order-*",
    "rate": "10/s:20",
    "concurrency": "8",
    "ordering": "none",
    "timeout_seconds": "15",
    "max_attempts": "12",
    "batch_size": "1",
    "batch_wait_seconds": "0",
    "cost_budget": "",
    "importance": "1",
    "useful_seconds": "",
    "late": "keep",
}


def do(
    browser: Client, model: str, action: str, *rows: Any, follow: bool = True
) -> HttpResponse:
    """Carry out an action of a list."""
    chosen = {"action": action, "_selected_action": [str(row.pk) for row in rows]}
    return browser.post(page(model, "changelist"), chosen, follow=follow)  # type: ignore[return-value]


# --- destinations ---


def test_a_webhook_is_made_and_its_secret_shown_this_once(browser: Client) -> None:
    shown = browser.post(page("destination", "add"), FORM)

    (secret,) = re.findall(r"whsec_[\w+/=]+", text_of(shown))
    check_secret(secret)
    assert "no-store" in shown.headers["cache-control"]
    row = Destination.objects.get()
    assert (row.kind, row.secrets, row.rooms) == (
        "webhook",
        [secret],
        ["general", "order-*"],
    )
    assert row.events == ["message", "service.degraded"]
    assert row.created_by.startswith("u:")
    later = text_of(browser.get(page("destination", "change", row.pk)))
    assert "whsec_" not in later
    assert f"…{secret[-4:]}" in later
    assert "whsec_" not in text_of(browser.get(page("destination", "changelist")))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": ""}, "A webhook has a URL."),
        ({"url": "http://crm.example/"}, "Write https:// in place of http://."),
        ({"url": "https://10.1.2.3/"}, "Its address is private"),
        ({"rate": "often"}, "is no rate"),
        ({"cost_budget": "much"}, "is no rate"),
        ({"rooms": "a/b"}, "is no pattern of rooms"),
        ({"concurrency": "65"}, "less than or equal to 64"),
        ({"timeout_seconds": "0"}, "greater than or equal to 0.1"),
        ({"events": ["birthday"]}, "is not one of the available choices"),
    ],
)
def test_what_will_not_do_is_told(
    browser: Client, given: dict[str, Any], said: str
) -> None:
    assert said in text_of(browser.post(page("destination", "add"), FORM | given))
    assert not Destination.objects.exists()


def test_a_rate_may_be_off(browser: Client) -> None:
    """As other limits are; nothing limits it then."""
    browser.post(page("destination", "add"), FORM | {"rate": "off"})
    assert Destination.objects.get().rate == ""


def test_a_change_leaves_alone_what_a_worker_writes(browser: Client) -> None:
    row = made(rate="1/s")
    there = page("destination", "change", row.pk)
    browser.get(there)
    Destination.objects.update(rate_tat=99.0, calls=7)

    changed = browser.post(there, FORM | {"url": "https://crm.example/other"})

    assert changed.status_code == 302
    row.refresh_from_db()
    assert (row.url, row.rate) == ("https://crm.example/other", "10/s:20")
    assert (row.rate_tat, row.calls, row.secrets) == (99.0, 7, [])


def test_what_the_code_says_of_a_handler_is_not_changed_here(browser: Client) -> None:
    row = made("helper", kind="handler", handler="bot:helper", url="")
    there = page("destination", "change", row.pk)
    assert "bot:helper" in text_of(browser.get(there))

    changed = browser.post(there, FORM | {"rooms": "x", "concurrency": "3"})

    assert changed.status_code == 302
    row.refresh_from_db()
    assert (row.events, row.rooms, row.url) == (["message"], ["*"], "")
    assert (row.concurrency, row.rate) == (3, "10/s:20")


def test_the_list_tells_how_each_stands(browser: Client) -> None:
    now = time.time()
    made("fine", calls=4, delivered=3, failures=1, service_seconds=0.2, cost=12)
    made("resting", paused=True)
    made("asked", not_before=now + 3600.5)
    made("broken", breaker_until=now + 60.5, breaker_opened=2)
    made("trying", breaker_opened=2)
    made("gone", enabled=False, disabled_reason="It answered 410.")
    for state in ("due", "due", "dead", "done"):
        owed(Destination.objects.get(name="fine"), state)

    shown = text_of(browser.get(page("destination", "changelist")))

    rows = {
        name: re.findall(r'<td class="field-(\w+)">(.*?)</td>', row)
        for name, row in re.findall(
            r'<th class="field-name">.*?>(\w+)</a></th>(.*?)</tr>', shown
        )
    }
    assert {name: dict(cells)["standing"] for name, cells in rows.items()} == {
        "fine": "on",
        "resting": "paused",
        "asked": "waits for 1 h, as the service asked",
        "broken": "not called for 1 min: it failed too often",
        "trying": "tried with one call at a time: it failed too often",
        "gone": "disabled: It answered 410.",
    }
    fine = dict(rows["fine"])
    assert (fine["due"], fine["dead"], fine["delivered"]) == ("2", "1", "3")
    assert (fine["failures"], fine["service_time"], fine["cost"]) == ("1", "50", "12")


def test_switches(browser: Client) -> None:
    row = made(breaker_opened=3, failing_since=1.0)

    def standing() -> tuple[bool, bool, str]:
        row.refresh_from_db()
        return row.paused, row.enabled, row.disabled_reason

    do(browser, "destination", "pause", row)
    assert standing() == (True, True, "")
    do(browser, "destination", "resume", row)
    assert standing() == (False, True, "")
    do(browser, "destination", "disable", row)
    assert standing() == (False, False, BY_STAFF)
    do(browser, "destination", "enable", row)
    assert standing() == (False, True, "")
    assert (row.breaker_opened, row.failing_since) == (0, None)
    assert LogEntry.objects.filter(object_id=str(row.pk)).count() == 4


def test_a_test_is_sent_and_what_was_given_up_is_replayed(browser: Client) -> None:
    row, off = made(), made("off", enabled=False)
    owed(row, "dead"), owed(row, "dead"), owed(row, "dropped")

    said = text_of(do(browser, "destination", "send_test", row, off))
    assert "Nothing is owed to these, which are disabled: off." in said
    assert Delivery.objects.get(event="test").destination == row
    assert "It is on its way." in text_of(do(browser, "destination", "send_test", row))
    assert "2 deliveries are owed again." in text_of(
        do(browser, "destination", "replay_dead", row)
    )
    assert Delivery.objects.filter(state="due").count() == 4


def test_a_function_gets_no_test_as_it_would_not_be_called(browser: Client) -> None:
    bot, row = made("bot-helper", kind="handler", handler="bot:helper"), made()

    said = text_of(do(browser, "destination", "send_test", bot))
    assert "alone: bot-helper. Write a message" in said
    assert "It is on its way." not in said
    assert not Delivery.objects.exists()
    said = text_of(do(browser, "destination", "send_test", bot, row))
    assert "alone: bot-helper. Write a message" in said
    assert "It is on its way." in said
    assert Delivery.objects.get().destination == row


@pytest.mark.parametrize("how", ["its page", "the list"])
def test_one_is_deleted_with_all_that_it_was_owed(
    browser: Client, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Told as a number, and deleted in parts: there may be any number of them."""
    monkeypatch.setattr(replaying, "AT_ONCE", 2)
    row, other = made(), made("other")
    for state in ("due", "done", "done", "done", "dead"):
        owed(row, state)
    kept = owed(other)
    if how == "its page":
        there, form = page("destination", "delete", row.pk), {"post": "yes"}
        asked = browser.get(there)
    else:
        there = page("destination", "changelist")
        form = {"action": "delete_selected", "_selected_action": [row.pk]}
        asked = browser.post(there, form)
        form["post"] = "yes"
    assert "Deliveries: 5" in text_of(asked)
    assert str(Delivery.objects.filter(destination=row)[0].pk) not in text_of(asked)
    assert Delivery.objects.count() == 6

    parts: list[tuple[str, bool]] = []

    def note(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("DELETE") and "_delivery" in sql:
            parts.append((sql, len(connection.savepoint_ids) > 0))
        return execute(sql, *args)

    with connection.execute_wrapper(note):
        answer = browser.post(there, form)

    assert answer.status_code == 302
    assert list(Destination.objects.all()) == [other]
    assert list(Delivery.objects.all()) == [kept]
    assert len(parts) > 3
    assert not any(is_nested for _, is_nested in parts), "each part is committed"
    assert LogEntry.objects.filter(object_id=str(row.pk)).count() == 1


def test_who_may_not_delete_does_not(transactional_db: None) -> None:
    row = made()
    there = page("destination", "delete", row.pk)
    changes = staff("view_destination", "change_destination")
    assert changes.get(there).status_code == 403
    assert changes.post(there, {"post": "yes"}).status_code == 403
    assert Destination.objects.filter(pk=row.pk).exists()


def test_secrets_are_made_beside_each_other_and_dropped(browser: Client) -> None:
    row, other = made(secrets=["whsec_old"]), made("other", secrets=["whsec_only"])

    both = text_of(do(browser, "destination", "new_secret", row, other))
    assert "Choose one webhook" in both
    shown = text_of(do(browser, "destination", "new_secret", row))
    (secret,) = re.findall(r"whsec_[\w+/=]{20,}", shown)
    row.refresh_from_db()
    assert row.secrets == [secret, "whsec_old"]

    said = text_of(do(browser, "destination", "drop_oldest_secret", row, other))
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.secrets, other.secrets) == ([secret], ["whsec_only"])
    assert "Kept, as they have no other: other." in said


def test_who_may_only_look_has_no_switch(transactional_db: None) -> None:
    row = made()
    viewer = staff("view_destination")

    assert 'value="pause"' not in text_of(viewer.get(page("destination", "changelist")))
    do(viewer, "destination", "pause", row)
    do(viewer, "destination", "new_secret", row)

    row.refresh_from_db()
    assert (row.paused, row.secrets) == (False, [])


# --- deliveries ---


def test_deliveries_are_shown_with_each_attempt(browser: Client) -> None:
    delivery = owed(made(), attempts=2, last_status=500, last_error="It answered 500.")
    for number, wait in ((1, None), (2, 90.0)):
        Attempt.objects.create(
            delivery=delivery,
            number=number,
            at=time.time(),
            status=500,
            outcome="failed",
            service_seconds=0.25,
            error="It answered 500.",
            retry_after_seconds=wait,
        )

    assert "It answered 500." in text_of(browser.get(page("delivery", "changelist")))
    shown = text_of(browser.get(page("delivery", "change", delivery.pk)))
    assert shown.count(">failed<") == 2
    assert "1 min 30 s" in shown
    assert "250" in shown
    assert 'name="_save"' not in shown


def test_they_are_found_by_destination_state_and_event(browser: Client) -> None:
    crm, other = made(), made("other")
    wanted = owed(crm, "dead", event="edited")
    owed(crm, "due", event="edited"), owed(crm, "dead"), owed(other, "dead")

    there = page("delivery", "changelist")
    asked = "?destination=crm&state__exact=dead&event=edited"
    shown = text_of(browser.get(there + asked))

    assert re.findall(r'name="_selected_action" value="([^"]+)"', shown) == [
        str(wanted.pk)
    ]


def test_they_are_replayed_and_dropped_but_never_changed(browser: Client) -> None:
    crm = made()
    dead, due = owed(crm, "dead"), owed(crm, "due")

    assert "done to 1 delivery." in text_of(do(browser, "delivery", "replay", dead))
    assert "done to 1 delivery." in text_of(do(browser, "delivery", "drop", due))

    dead.refresh_from_db()
    due.refresh_from_db()
    assert (dead.state, due.state) == ("due", "dropped")
    assert browser.get(page("delivery", "add")).status_code == 403
    assert browser.post(page("delivery", "change", due.pk), {}).status_code == 403
    assert browser.post(page("delivery", "delete", due.pk), {}).status_code == 403


@pytest.mark.parametrize("sees", [True, False])
def test_what_they_tell_is_shown_to_who_may_see_messages(
    transactional_db: None,
    sees: bool,  # noqa: FBT001 - of the table
) -> None:
    room = Room.objects.create(slug="general")
    crm = made()
    seq = actions.send_message(room, User.objects.create_user("ada"), "a secret").seq
    told = Delivery.objects.get(seq=seq)
    notice = owed(crm, event="absent", payload={"last": "another secret"})
    viewer = staff("view_delivery", *(["view_event"] if sees else []))

    for delivery, text in ((told, "a secret"), (notice, "another secret")):
        shown = text_of(viewer.get(page("delivery", "change", delivery.pk)))
        assert (text in shown) is sees
        assert text not in text_of(viewer.get(page("delivery", "changelist")))
    do(viewer, "delivery", "drop", told)
    told.refresh_from_db()
    assert told.state == "due"


# --- bots and incoming webhooks ---


def test_a_bot_is_made_and_its_token_shown_this_once(browser: Client) -> None:
    shown = text_of(browser.post(page("bot", "add"), {"name": "h", "title": "Help"}))

    (token,) = re.findall(r"hgb_[\w-]+", shown)
    row = Bot.objects.get()
    assert (row.name, row.title, row.enabled) == ("h", "Help", True)
    there = page("bot", "change", row.pk)
    assert "hgb_" not in text_of(browser.get(there))

    browser.post(there, {"title": "Helper"})
    row.refresh_from_db()
    assert (row.title, row.enabled) == ("Helper", False)
    browser.post(there, {"title": "Helper", "enabled": "on"})
    (other,) = re.findall(r"hgb_[\w-]+", text_of(do(browser, "bot", "new_token", row)))
    assert other != token
    before = row.token_digest
    row.refresh_from_db()
    assert row.token_digest != before


@pytest.mark.parametrize(
    ("name", "said"),
    [("Helper", "Write lower case"), ("a b", "valid"), ("taken", "already exists")],
)
def test_a_bot_that_cannot_be_made(browser: Client, name: str, said: str) -> None:
    Bot.objects.create(name="taken", token_digest="x")

    shown = text_of(browser.post(page("bot", "add"), {"name": name, "title": ""}))

    assert said in shown
    assert Bot.objects.count() == 1


@pytest.mark.parametrize("signed", [True, False])
def test_an_incoming_webhook_is_made_and_shown_this_once(
    browser: Client,
    signed: bool,  # noqa: FBT001 - of the table
) -> None:
    room = Room.objects.create(slug="general")
    form = {"room": room.pk, "name": "Build server", "rate": "30/min:10"}
    form |= {"signed": "on"} if signed else {}

    shown = text_of(browser.post(page("incomingwebhook", "add"), form))

    row = IncomingWebhook.objects.get()
    assert f"/hooks/{row.key}/" in shown
    assert bool(row.secrets) is signed
    assert ("whsec_" in shown) is signed
    later = text_of(browser.get(page("incomingwebhook", "change", row.pk)))
    assert row.key not in later
    assert "whsec_" not in later
    assert row.key not in text_of(browser.get(page("incomingwebhook", "changelist")))

    said = text_of(do(browser, "incomingwebhook", "new_secret", row))
    before = row.secrets
    row.refresh_from_db()
    if signed:
        assert row.secrets == [re.findall(r"whsec_[\w+/=]+", said)[0], *before]
    else:
        assert "Choose one that is signed" in said


def test_an_incoming_webhook_with_a_rate_that_is_none(browser: Client) -> None:
    room = Room.objects.create(slug="general")
    form = {"room": room.pk, "name": "Build server", "rate": "often"}

    shown = text_of(browser.post(page("incomingwebhook", "add"), form))

    assert "is no rate" in shown
    assert not IncomingWebhook.objects.exists()


def test_a_deleted_webhook_takes_its_bot_out_of_the_room(browser: Client) -> None:
    room = Room.objects.create(slug="group", kind=Room.Kind.GROUP)
    form = {"room": room.pk, "name": "Build server", "rate": "1/s", "signed": "on"}
    browser.post(page("incomingwebhook", "add"), form)
    row = IncomingWebhook.objects.get()
    assert room.members.count() == 1

    browser.post(page("incomingwebhook", "delete", row.pk), {"post": "yes"})

    assert not IncomingWebhook.objects.exists()
    assert room.members.count() == 0
