"""The admin, as a browser sees it: it writes through the log and breaks no promise."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from headgate.chat import actions
from headgate.chat.models import AccessChange, Event, Member, Message, Room
from headgate.chat.people import new_guest

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def boss(transactional_db: None) -> User:
    return User.objects.create_superuser("boss", first_name="Boss")


@pytest.fixture
def browser(boss: User) -> Client:
    """A browser that a superuser has signed in with."""
    client = Client()
    client.force_login(boss)
    return client


def page(model: str, what: str, *args: Any) -> str:
    return reverse(f"admin:headgate_chat_{model}_{what}", args=args)


def changes() -> list[str]:
    """Return the memberships that were told, in short."""
    rows = Event.objects.filter(kind="membership").order_by("seq")
    return [f"{row.details['change']} by {row.author_name}" for row in rows]  # type: ignore[index]


@pytest.fixture
def member(room: Room, ada: User) -> Member:
    actions.add_member(room, ada)
    return Member.objects.get()


@pytest.mark.parametrize("model", ["room", "member", "event", "message"])
def test_every_list_and_page_renders(
    browser: Client,
    member: Member,
    room: Room,
    ada: User,
    model: str,
) -> None:
    actions.send_message(room, ada, "<script>alert(1)</script>", client_id="c")
    rows: dict[str, Any] = {
        "room": room.pk,
        "member": member.pk,
        "event": Event.objects.latest("seq").pk,
        "message": Message.objects.get().pk,
    }

    listed = browser.get(page(model, "changelist"))
    shown = browser.get(page(model, "change", rows[model]))
    found = browser.get(page(model, "changelist"), {"q": "a"})

    assert [r.status_code for r in (listed, shown, found)] == [200, 200, 200]
    for response in (listed, shown):
        assert b"<script>alert(1)" not in response.content


def test_a_room_is_made_and_renamed_and_keeps_its_slug(browser: Client) -> None:
    blank = {"kind": "public", "data": "{}", "settings": "{}"}
    made = browser.post(page("room", "add"), {"slug": "new", "title": "New", **blank})
    assert made.status_code == 302
    room = Room.objects.get(slug="new")
    actions.send_message(room, new_guest("Gus"), "hi")

    form = {"slug": "other", "title": "Renamed", "head": "0", **blank}
    changed = browser.post(page("room", "change", room.pk), form)

    assert changed.status_code == 302
    room.refresh_from_db()
    assert (room.slug, room.title, room.head) == ("new", "Renamed", 1)


def test_whom_a_room_lets_in_is_asked_again_when_its_kind_is_another(
    browser: Client,
) -> None:
    room = Room.objects.create(slug="r", title="R")
    form = {"kind": "public", "data": "{}", "settings": "{}"}

    browser.post(page("room", "change", room.pk), {**form, "title": "Same kind"})
    assert not AccessChange.objects.filter(what="access").exists()

    browser.post(page("room", "change", room.pk), {**form, "kind": "group"})
    room.refresh_from_db()
    assert room.kind == "group"
    (noted,) = AccessChange.objects.filter(what="access")
    assert (noted.room_id, noted.author_key) == (room.pk, "")


def test_a_slug_that_is_none_is_explained(browser: Client) -> None:
    blank = {"kind": "public", "data": "{}", "settings": "{}"}
    refused = browser.post(page("room", "add"), {"slug": "a b", **blank})

    assert refused.status_code == 200
    assert b"letters, digits" in refused.content


def test_a_member_is_added_as_an_event(
    browser: Client,
    room: Room,
    ada: User,
) -> None:
    form = {"room": room.pk, "user": ada.pk, "role": "moderator"}

    assert browser.post(page("member", "add"), form).status_code == 302

    member = Member.objects.get()
    assert (member.author_key, member.role) == (f"u:{ada.pk}", "moderator")
    assert member.name == "Ada Lovelace"
    assert changes() == ["added by Boss"]


def test_a_member_without_a_user_is_explained(browser: Client, room: Room) -> None:
    refused = browser.post(page("member", "add"), {"room": room.pk, "role": "member"})

    assert refused.status_code == 200
    assert b"Choose a user" in refused.content
    assert not Member.objects.exists()
    assert changes() == []


def test_adding_a_member_twice_is_explained(
    browser: Client,
    member: Member,
    room: Room,
    ada: User,
) -> None:
    form = {"room": room.pk, "user": ada.pk, "role": "owner"}

    refused = browser.post(page("member", "add"), form)

    assert refused.status_code == 200
    assert b"a member already" in refused.content
    assert Member.objects.get().role == "member"
    assert len(changes()) == 1


def test_role_mute_and_ban_are_events(browser: Client, member: Member) -> None:
    url = page("member", "change", member.pk)
    until = {"muted_until_0": "2099-01-01", "muted_until_1": "00:00:00"}
    empty = {"muted_until_0": "", "muted_until_1": ""}

    for form in (
        {"role": "owner", **empty},
        {"role": "owner", **until},
        {"role": "owner", **empty},
        {"role": "owner", "banned": "on", **empty},
        {"role": "owner", **empty},
        {"role": "owner", **empty},
    ):
        assert browser.post(url, form).status_code == 302

    told = ("role", "muted", "unmuted", "banned", "unbanned")
    assert changes()[1:] == [f"{change} by Boss" for change in told]


def test_members_are_removed_as_events(browser: Client, room: Room, ada: User) -> None:
    actions.add_member(room, ada)
    actions.add_member(room, new_guest("Gus"))
    actions.add_member(room, new_guest("Gina"))
    first, *others = Member.objects.order_by("pk")

    one = browser.post(page("member", "delete", first.pk), {"post": "yes"})
    form = {
        "action": "delete_selected",
        "_selected_action": [member.pk for member in others],
        "post": "yes",
    }
    several = browser.post(page("member", "changelist"), form)

    assert (one.status_code, several.status_code) == (302, 302)
    assert not Member.objects.exists()
    assert changes()[3:] == ["removed by Boss"] * 3


@pytest.mark.parametrize("model", ["event", "message"])
def test_the_log_is_shown_and_not_written(
    browser: Client,
    room: Room,
    ada: User,
    model: str,
) -> None:
    actions.send_message(room, ada, "hi")
    row = Event.objects.get()

    assert browser.get(page(model, "add")).status_code == 403
    assert (
        browser.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    )
    assert browser.post(page(model, "change", row.pk), {"text": "x"}).status_code == 403
    assert Event.objects.get().text == "hi"


def delete_all(client: Client) -> Any:
    form = {
        "action": "delete_messages",
        "_selected_action": list(Message.objects.values_list("pk", flat=True)),
    }
    return client.post(page("message", "changelist"), form, follow=True)


def test_messages_are_deleted_for_everybody(
    browser: Client,
    room: Room,
    ada: User,
) -> None:
    for n in range(3):
        actions.send_message(room, ada, f"secret {n}")

    assert delete_all(browser).status_code == 200

    assert set(Message.objects.values_list("text", flat=True)) == {""}
    assert Event.objects.filter(kind="deleted").count() == 3


def test_who_may_only_look_deletes_nothing(room: Room, ada: User) -> None:
    actions.send_message(room, ada, "hi")
    viewer = User.objects.create_user("viewer", is_staff=True)
    may = Permission.objects.filter(content_type__app_label="headgate_chat")
    viewer.user_permissions.set(may.filter(codename__startswith="view_"))
    client = Client()
    client.force_login(viewer)

    answer = delete_all(client)

    assert answer.status_code == 200
    assert b"1 could not be deleted" in answer.content
    assert Message.objects.get().text == "hi"
    assert client.get(page("member", "add")).status_code == 403


def test_a_room_with_a_log_can_be_looked_at_before_it_is_deleted(
    browser: Client,
    room: Room,
    ada: User,
) -> None:
    actions.send_message(room, ada, "hi")

    assert browser.get(page("room", "delete", room.pk)).status_code == 200


@pytest.mark.parametrize(
    ("kind", "name", "shown"),
    [
        ("auth.user", "{ada}", '<a href="{page}">auth.user {ada}</a>'),
        ("shop.order", "7", "shop.order 7"),  # without a page in the admin
        ("a", "<b>", "a &lt;b&gt;"),
        ("", "", "-"),
    ],
)
def test_a_room_leads_to_what_it_belongs_to(
    browser: Client, ada: User, kind: str, name: str, shown: str
) -> None:
    known = {"ada": ada.pk, "page": reverse("admin:auth_user_change", args=[ada.pk])}
    name = name.format(**known)
    room = Room.objects.create(slug="r", subject_type=kind, subject_id=name)

    for url in (page("room", "changelist"), page("room", "change", room.pk)):
        answer = browser.get(url)
        assert answer.status_code == 200
        assert shown.format(**known) in answer.content.decode()
