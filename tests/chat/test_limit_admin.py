"""Limits in the admin: of people, of rooms, and who is being refused."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from headgate.chat import actions
from headgate.chat.models import AccessChange, LimitOverride, Room
from headgate.chat.room_limits_form import limits_from_text, limits_to_text
from headgate.contrib.shared import limiter
from headgate.limits import Policy, Refused
from headgate.limits.report_files import VARIABLE, ReportFiles
from headgate.limits.reports import Report
from headgate.testing.limits_clock import LimitsClock
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

SEND = Policy("send", "1/h")
REFUSED = "admin:headgate_chat_limitoverride_refused"
RESET = "admin:headgate_chat_limitoverride_reset"


@pytest.fixture
def browser(transactional_db: None) -> Client:
    """A browser that a superuser has signed in with."""
    client = Client()
    client.force_login(User.objects.create_superuser("boss", first_name="Boss"))
    return client


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportFiles:
    """Where the processes of this test report."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "reports"))
    return ReportFiles(tmp_path / "reports")


def staff(*codenames: str, **more: Any) -> Client:
    """Return a browser of somebody with these rights alone."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client(**more)
    client.force_login(user)
    return client


def page(model: str, what: str, *args: Any) -> str:
    return reverse(f"admin:headgate_chat_{model}_{what}", args=args)


def told() -> list[str]:
    """Return the notices of changed limits."""
    return list(AccessChange.objects.order_by("pk").values_list("what", flat=True))


def texts(answer: Any) -> list[list[str]]:
    """Return the cells of the table, row by row."""
    body = answer.content.decode().partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [
        re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row, re.DOTALL)
        for row in body.split("</tr>")[:-1]
    ]
    return [[re.sub(r"<.*?>", "", cell).strip() for cell in row] for row in rows]


# --- people's own limits ---


def test_a_limit_of_a_person_is_added_found_and_removed(
    browser: Client, ada: User
) -> None:
    form = {"user": ada.pk, "policy": "send", "rate": "5/s:20", "note": "a bot"}
    assert browser.post(page("limitoverride", "add"), form).status_code == 302
    limit = LimitOverride.objects.get()
    assert (limit.author_key, limit.rate) == (f"u:{ada.pk}", "5/s:20")

    for query in ({}, {"q": "ada"}, {"q": "bot"}, {"policy": "send"}):
        found = browser.get(page("limitoverride", "changelist"), query)
        assert b"5/s:20" in found.content
        assert reverse(REFUSED).encode() in found.content
    none = browser.get(page("limitoverride", "changelist"), {"q": "nobody"})
    assert b"5/s:20" not in none.content

    gone = {"post": "yes"}
    assert browser.post(page("limitoverride", "delete", limit.pk), gone)
    assert not LimitOverride.objects.exists()
    assert told() == ["limits", "limits"]


@pytest.mark.parametrize(
    ("policy", "rate", "said"),
    [
        ("send", "5/lightyear", "Periods are ms, s, min, h and day"),
        ("send", "fast", "such as 10/s, 60/min or 5/2s"),
        ("send", "0/s", "to switch a limit off, write off"),
        ("connect.open", "5/s", "Select a valid choice"),
    ],
)
def test_a_rate_that_is_none_is_explained(
    browser: Client, ada: User, policy: str, rate: str, said: str
) -> None:
    form = {"user": ada.pk, "policy": policy, "rate": rate}
    answer = browser.post(page("limitoverride", "add"), form)
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not LimitOverride.objects.exists()


def test_the_same_limit_twice_is_explained(browser: Client, ada: User) -> None:
    form = {"user": ada.pk, "policy": "send", "rate": "off"}
    assert browser.post(page("limitoverride", "add"), form).status_code == 302
    again = browser.post(page("limitoverride", "add"), form)
    assert b"already exists" in again.content


# --- rooms ---


def room_form(**more: Any) -> dict[str, Any]:
    return {"title": "", "kind": "public", "data": "{}", "settings": "{}", **more}


def test_a_rooms_limits_are_set_and_told(browser: Client, room: Room) -> None:
    url = page("room", "change", room.pk)
    form = room_form(
        slow_mode="30", own_limits="send = 5/s; typing=off", settings='{"a": 1}'
    )
    assert browser.post(url, form).status_code == 302
    room.refresh_from_db()
    assert room.settings == {
        "a": 1,
        "slow_mode_seconds": 30.0,
        "limits": {"send": "5/s", "typing": "off"},
    }
    assert told() == ["room", "room"]

    shown = browser.get(url).content.decode()
    assert re.search(r'name="slow_mode" value="30(\.0)?"', shown)
    assert 'value="send=5/s, typing=off"' in shown
    assert "slow_mode_seconds" not in shown

    # Saved with nothing changed of them, they stay and nothing is told.
    assert browser.post(url, form | {"title": "Renamed"}).status_code == 302
    room.refresh_from_db()
    assert (room.title, room.settings["slow_mode_seconds"]) == ("Renamed", 30.0)
    assert len(told()) == 2

    assert browser.post(url, room_form()).status_code == 302
    room.refresh_from_db()
    assert room.settings == {"slow_mode_seconds": 0.0, "limits": {}}
    assert len(told()) == 4


def test_a_new_room_may_have_limits(browser: Client) -> None:
    form = room_form(slug="new", slow_mode="1.5")
    assert browser.post(page("room", "add"), form).status_code == 302
    assert Room.objects.get().settings == {"slow_mode_seconds": 1.5}
    assert told() == ["room"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"slow_mode": "0.5"}, "It is off with 0, or from 1 second to 6 hours."),
        ({"slow_mode": "99999"}, "from 1 second to 6 hours."),
        ({"slow_mode": "x"}, "Enter a number."),
        ({"own_limits": "send"}, "Write the policy, = and its rate"),
        ({"own_limits": "send=fast"}, "is no rate"),
        ({"own_limits": "history=1/s"}, "There are send, typing, push."),
        ({"own_limits": "send=1/s, send=2/s"}, "send is there twice."),
        ({"settings": '{"limits": {}}'}, "Leave limits out"),
        ({"settings": "[]"}, "Settings are an object"),
        ({"settings": "{"}, "Enter a valid JSON."),
    ],
)
def test_what_cannot_be_a_rooms_limit_is_explained(
    browser: Client, room: Room, given: dict[str, str], said: str
) -> None:
    answer = browser.post(page("room", "change", room.pk), room_form(**given))
    assert answer.status_code == 200
    assert said in answer.content.decode().replace("&#x27;", "'")
    assert told() == []


def test_limits_that_changed_meanwhile_are_kept(browser: Client, room: Room) -> None:
    room.settings = {"limits": {"history": "gone"}, "slow_mode_seconds": "x", "a": 1}
    room.save()
    url = page("room", "change", room.pk)
    # What does not hold there is neither shown nor lost by saving something else.
    assert browser.post(url, room_form(title="T")).status_code == 302
    room.refresh_from_db()
    assert room.settings == {"limits": {"history": "gone"}, "slow_mode_seconds": "x"}


def test_who_may_only_look_sees_a_rooms_limits(room: Room) -> None:
    actions.set_slow_mode(room, 30)
    actions.set_room_limits(room, {"send": "5/s"})
    shown = staff("view_room").get(page("room", "change", room.pk)).content.decode()
    assert re.search(r"Slow mode \(seconds\).*?>30<", shown, re.DOTALL)
    assert re.search(r"Own limits.*?>send=5/s<", shown, re.DOTALL)


def test_limits_as_text() -> None:
    assert limits_from_text("") == {}
    assert limits_from_text(" send =5/s:20 ,\n typing= off ") == {
        "send": "5/s:20",
        "typing": "off",
    }
    assert limits_to_text({"send": "5/s", "typing": "off"}) == "send=5/s, typing=off"


# --- who is being refused ---


def test_nobody_is_refused(browser: Client, files: ReportFiles) -> None:
    answer = browser.get(reverse(REFUSED))
    assert b"Nobody was refused in the last 10 minutes." in answer.content
    assert b"Nothing is limited" not in answer.content


def test_throttling_that_is_off_is_said(
    browser: Client, files: ReportFiles, settings: Any
) -> None:
    settings.HEADGATE = {"THROTTLING_ENABLED": False}
    assert b"Nothing is limited" in browser.get(reverse(REFUSED)).content


def test_all_processes_are_shown(
    browser: Client, files: ReportFiles, ada: User
) -> None:
    now = time.time()
    refused = (
        Refused("send", f"{{u:{ada.pk}}}/general", 7, now, now + 3030, False),
        Refused("typing", "{192.0.2.7}", 3, now - 100, now - 90, True),
        Refused("search", "{u:<b>}", 2, now - 200, None, False),
        Refused("search", "{u:999999}#3", 1, now - 300, now - 300, False),
    )
    files.write(Report("host", 1, now, refused))
    files.write(Report("other", 1, now, refused[:1]))

    answer = browser.get(reverse(REFUSED))

    rows = texts(answer)
    assert rows[0][:2] == [f"ada (u:{ada.pk})", "general"]
    assert rows[0][2:4] == ["send", "14"]
    assert rows[0][5].startswith("in 50 min ")
    assert rows[1][:4] == ["192.0.2.7", "-", "typing", "3"]
    assert rows[1][4].startswith("1 min 4")
    assert rows[1][5:] == ["now", "would have been refused", ""]
    assert rows[2][0] == "u:&lt;b&gt;"
    assert rows[2][5] == "never at that cost"
    assert rows[3][:2] == ["u:999999", "#3"]
    link = reverse("admin:auth_user_change", args=[ada.pk])
    assert f'href="{link}"'.encode() in answer.content
    assert b"<script>" not in answer.content
    assert b"style=" not in answer.content


def test_somebody_is_reset(
    browser: Client, files: ReportFiles, limits_clock: LimitsClock, ada: User
) -> None:
    keys = [f"{{u:{ada.pk}}}", f"{{u:{ada.pk}}}/general", "{192.0.2.7}"]
    for key in keys:
        while limiter().decide_one(SEND, key).allowed:
            pass
    assert len(texts(browser.get(reverse(REFUSED)))) == 3  # this process, at once

    answer = browser.post(reverse(RESET), {"owner": f"u:{ada.pk}"}, follow=True)

    assert f"Reset: u:{ada.pk}.".encode() in answer.content
    assert [row[0] for row in texts(answer)] == ["192.0.2.7"]
    allowed = [limiter().decide_one(SEND, key).allowed for key in keys]
    assert allowed == [True, True, False]
    assert [each.key for each in files.resets(0)] == [f"u:{ada.pk}"]


def test_somebody_is_reset_in_redis(
    browser: Client, redis_server: RedisServer, settings: Any
) -> None:
    settings.HEADGATE = {"REDIS": redis_server.url}
    with redis_server.client() as client:
        until = int((time.time() + 60) * 1_000_000)
        client.set("headgate:limit:send::{u:5}/general", until)
        client.set("headgate:limit:send:{u:6}", until)
        answer = browser.post(reverse(RESET), {"owner": "u:5"}, follow=True)
        assert b"Reset: u:5." in answer.content
        assert client.keys("headgate:limit:*") == ["headgate:limit:send:{u:6}"]


def test_redis_that_is_away_is_told(
    browser: Client, redis_server: RedisServer, settings: Any
) -> None:
    settings.HEADGATE = {"REDIS": redis_server.url}
    redis_server.kill()
    for answer in (
        browser.get(reverse(REFUSED)),
        browser.post(reverse(RESET), {"owner": "u:5"}, follow=True),
    ):
        assert answer.status_code == 200
        assert b"Redis cannot be asked" in answer.content


def test_a_reset_of_nobody(browser: Client, files: ReportFiles) -> None:
    answer = browser.post(reverse(RESET), {"owner": " "}, follow=True)
    assert b"Nobody was named." in answer.content
    assert files.resets(0) == []


def test_who_may_look_and_who_may_reset(files: ReportFiles) -> None:
    now = time.time()
    refused = Refused("a", "x", 1, now, now, dry_run=False)
    files.write(Report("h", os.getpid() + 1, now, (refused,)))
    viewer = staff("view_limitoverride")
    shown = viewer.get(reverse(REFUSED))
    assert (shown.status_code, len(texts(shown)[0])) == (200, 7)
    assert viewer.post(reverse(RESET), {"owner": "x"}).status_code == 403
    listed = viewer.get(page("limitoverride", "changelist"))
    assert reverse(REFUSED).encode() in listed.content

    User.objects.all().delete()
    changer = staff("change_limitoverride", enforce_csrf_checks=True)
    assert len(texts(changer.get(reverse(REFUSED)))[0]) == 8
    assert changer.post(reverse(RESET), {"owner": "x"}).status_code == 403  # no token
    assert changer.get(reverse(RESET)).status_code == 405
    assert files.resets(0) == []

    User.objects.all().delete()
    other = staff("view_room")
    assert other.get(reverse(REFUSED)).status_code == 403
    assert Client().get(reverse(REFUSED)).status_code == 302
