"""The page as HTTP serves it: who sees what, and what browsers are told."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.test import Client
from django.test.utils import override_script_prefix
from django.urls import reverse

from headgate.chat.actions import add_member, ban
from headgate.chat.models import Event, Member, Room
from headgate.chat.tickets import redeem_ticket
from tests.web.page import Page

pytestmark = pytest.mark.django_db

GUESTS = {"GUESTS": True, "MAKE_ROOMS": True}
ROOM = "/chat/general/"
TOKENS = "rest_framework.authentication.TokenAuthentication"
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&"


def nobody(_ids: list[str]) -> dict[str, Any]:
    """Profiles of a project that shows nobody."""
    return {}


@pytest.fixture
def guests(settings: Any) -> None:
    settings.HEADGATE = GUESTS


@pytest.fixture
def ada() -> Any:
    return get_user_model().objects.create_user("ada", password="correct horse 9")


@pytest.fixture
def general() -> Room:
    return Room.objects.create(slug="general", title="General")


def page_of(client: Client, path: str, status: int = 200) -> Page:
    answer = client.get(path)
    assert answer.status_code == status
    return Page(answer.content.decode())


class TestHeaders:
    @pytest.mark.parametrize("path", ["/", ROOM, "/sign-in/", "/?room=no+room"])
    def test_policy(self, client: Client, guests: None, path: str) -> None:
        answer = client.get(path)
        rules = dict(
            rule.split(" ", 1) for rule in answer["Content-Security-Policy"].split("; ")
        )
        assert rules == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self'",
            "connect-src": "'self' ws://testserver wss://testserver",
            "form-action": "'self'",
            "base-uri": "'none'",
            "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "'none'",
        }
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Referrer-Policy"] == "same-origin"

    def test_pictures_from_elsewhere_where_the_project_shows_some(
        self, client: Client, settings: Any
    ) -> None:
        settings.HEADGATE = GUESTS | {"PROFILES": f"{__name__}.nobody"}
        policy = client.get(ROOM)["Content-Security-Policy"]
        assert "img-src 'self' https:;" in policy

    def test_redirects_and_signing_out_have_it_too(self, client: Client) -> None:
        answers = [client.get(ROOM), client.post("/sign-out/")]
        assert all("Content-Security-Policy" in answer for answer in answers)

    @pytest.mark.parametrize("path", ["/", ROOM, "/sign-in/"])
    def test_nothing_inline(self, client: Client, guests: None, path: str) -> None:
        page = page_of(client, path)
        assert page.inline == []
        sources = [given["src"] or "" for given in page.all("script") if "src" in given]
        assert all(source.startswith("/static/headgate_web/") for source in sources)

    def test_another_host_is_refused(self, client: Client, guests: None) -> None:
        answer = client.get("/", headers={"host": "evil.example; script-src *"})
        assert answer.status_code == 400
        assert "Content-Security-Policy" not in answer


class TestDoor:
    @pytest.mark.parametrize("path", ["/", ROOM, "/chat/not-there/"])
    def test_without_guests_one_signs_in_first(self, client: Client, path: str) -> None:
        answer = client.get(path)
        assert answer.status_code == 302
        assert answer["Location"] == f"{reverse('headgate_web:sign-in')}?next={path}"

    def test_signing_in_goes_on_to_the_room(
        self, client: Client, ada: Any, general: Room
    ) -> None:
        given = {"username": "ada", "password": "correct horse 9", "next": ROOM}
        answer = client.post("/sign-in/", given)
        assert answer["Location"] == ROOM
        assert client.get(ROOM).status_code == 200

    def test_the_projects_own_page_to_sign_in(
        self, client: Client, settings: Any, guests: None
    ) -> None:
        settings.LOGIN_URL = "/accounts/?by=mail"
        assert "/accounts/?by=mail&next=/chat/general/" in page_of(client, ROOM).links
        settings.HEADGATE = {}
        answer = client.get(ROOM)
        assert answer["Location"] == "/accounts/?by=mail&next=/chat/general/"

    def test_the_scripts_can_tell_the_way_to_sign_in(
        self, client: Client, guests: None
    ) -> None:
        # For it leads back to the room, which they change without a new page.
        links = page_of(client, ROOM).all("a")
        marked = [link for link in links if "data-headgate-sign-in" in link]
        assert [link["href"] for link in marked] == ["/sign-in/?next=/chat/general/"]

    def test_signing_in_never_leads_away(self, client: Client, ada: Any) -> None:
        given = {"username": "ada", "password": "correct horse 9"}
        answer = client.post("/sign-in/", {**given, "next": "https://evil.example/"})
        assert answer["Location"] == "/"

    def test_a_wrong_password_is_said(self, client: Client, ada: Any) -> None:
        answer = client.post("/sign-in/", {"username": "ada", "password": "wrong"})
        assert answer.status_code == 200
        assert b'role="alert"' in answer.content

    def test_signing_out_is_a_post(self, client: Client, ada: Any) -> None:
        client.force_login(ada)
        assert client.get("/sign-out/").status_code == 405
        assert client.post("/sign-out/")["Location"] == "/"
        assert "_auth_user_id" not in client.session

    def test_forms_are_guarded_against_forgery(self, ada: Any) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(ada)
        assert client.post("/sign-out/").status_code == 403
        assert client.post("/sign-in/").status_code == 403


class TestRooms:
    def test_a_guest_sees_public_rooms(
        self, client: Client, guests: None, general: Room
    ) -> None:
        Room.objects.create(slug="secret", title="Plans", kind=Room.Kind.GROUP)
        page = page_of(client, "/")
        assert ROOM in page.links
        assert "/chat/secret/" not in page.links
        assert b"Plans" not in client.get("/").content

    def test_a_member_sees_groups_and_the_banned_nothing(
        self, client: Client, ada: Any, general: Room
    ) -> None:
        group = Room.objects.create(slug="team", kind=Room.Kind.GROUP)
        add_member(group, ada)
        ban(general, ada)
        client.force_login(ada)
        page = page_of(client, "/")
        assert "/chat/team/" in page.links
        assert ROOM not in page.links

    def test_the_title_of_a_hidden_room_stays_hidden(
        self, client: Client, guests: None
    ) -> None:
        Room.objects.create(slug="secret", title="Plans", kind=Room.Kind.GROUP)
        hidden = client.get("/chat/secret/").content
        missing = client.get("/chat/other/").content
        assert b"Plans" not in hidden
        assert hidden.replace(b"secret", b"other") == missing

    def test_not_more_than_a_hundred(self, client: Client, guests: None) -> None:
        Room.objects.bulk_create(Room(slug=f"r{n:03}") for n in range(120))
        rooms = [link for link in page_of(client, "/").links if "/chat/" in link]
        assert len(rooms) == 100
        there = page_of(client, "/chat/r119/")
        rooms = [link for link in there.links if "/chat/" in link]
        assert "/chat/r119/" in rooms[:1]

    def test_the_room_one_is_in_is_marked(
        self, client: Client, guests: None, general: Room
    ) -> None:
        Room.objects.create(slug="help")
        page = page_of(client, ROOM)
        marked = [given for given in page.all("a") if "aria-current" in given]
        assert [given["href"] for given in marked] == [ROOM]
        assert page.one("headgate-rooms")["current"] == "general"
        assert "current" not in page_of(client, "/").one("headgate-rooms")

    def test_the_script_finds_the_rooms(
        self, client: Client, guests: None, general: Room
    ) -> None:
        Room.objects.create(slug="help")
        page = page_of(client, "/")
        assert [given["data-room"] for given in page.all("li")] == ["general", "help"]
        assert page.one("headgate-rooms")["bootstrap"] == "/api/v1/connect"

    def test_that_there_are_none_is_said(self, client: Client, guests: None) -> None:
        assert "There are no rooms yet." in page_of(client, "/").said
        Room.objects.create(slug="help")
        assert "There are no rooms yet." not in page_of(client, "/").said

    def test_a_way_back_to_them(self, client: Client, guests: None) -> None:
        page = page_of(client, ROOM)
        back = [given for given in page.all("a") if given.get("slot") == "start"]
        assert [given["href"] for given in back] == ["/"]

    def test_a_get_writes_nothing(self, client: Client, guests: None) -> None:
        assert client.get("/chat/not-there/").status_code == 200
        assert not Room.objects.exists()
        assert not Member.objects.exists()
        assert not Event.objects.exists()

    @pytest.mark.parametrize(
        "name", ["-a", ".a", "a b", "ä", "a" * 65, "a%0A", "%3Cb%3E", "a%2Fb"]
    )
    def test_what_names_no_room_is_not_found(
        self, client: Client, guests: None, name: str
    ) -> None:
        assert client.get(f"/chat/{name}/").status_code == 404

    def test_other_methods_are_refused(self, client: Client, guests: None) -> None:
        assert client.post(ROOM).status_code == 405
        assert client.head(ROOM).status_code == 200


class TestOpening:
    def test_by_name(self, client: Client, guests: None) -> None:
        assert client.get("/?room=+den+")["Location"] == "/chat/den/"

    def test_a_name_that_is_none_is_said(self, client: Client, guests: None) -> None:
        answer = client.get("/", {"room": HOSTILE})
        assert answer.status_code == 400
        assert b"open-trouble" in answer.content
        assert b"<img src=x" not in answer.content

    def test_only_where_joining_makes_rooms(
        self, client: Client, settings: Any
    ) -> None:
        settings.HEADGATE = {"GUESTS": True}
        assert b"open-room" not in client.get("/").content


class TestEscaping:
    def test_a_hostile_title_is_text(self, client: Client, guests: None) -> None:
        Room.objects.create(slug="general", title=HOSTILE)
        html = client.get(ROOM).content.decode()
        assert "<img src=x" not in html
        assert HOSTILE not in html
        page = Page(html)
        assert page.inline == []
        assert [given.get("src") for given in page.all("img")] == [
            "/static/headgate_web/icon.svg",
        ]

    def test_a_hostile_name_is_text(self, client: Client, ada: Any) -> None:
        ada.first_name = HOSTILE[:30]
        ada.save()
        client.force_login(ada)
        html = client.get(ROOM).content.decode()
        assert "<img src=x" not in html
        assert html.count("</script>") == html.count("<script")
        assert Page(html).inline == []


class TestPlace:
    def test_under_a_prefix(self, client: Client, guests: None) -> None:
        with override_script_prefix("/talk/"):
            page = page_of(client, ROOM)
        for element in ("headgate-chat", "headgate-rooms"):
            assert page.one(element)["bootstrap"] == "/talk/api/v1/connect"
        assert "/talk/chat/general/" in page.links


class TestTold:
    """What the script is told."""

    def test_of_a_guest(self, client: Client, guests: None) -> None:
        answer = client.get(ROOM)
        page = Page(answer.content.decode())
        assert page.one("headgate-chat") == {
            "room": "general",
            "bootstrap": "/api/v1/connect",
            "lang": "en-us",
        }
        assert page.told == {
            "headgate-chat": {
                "guest": True,
                "sign_in": "/sign-in/?next=/chat/general/",
            },
        }
        assert "csrftoken" not in answer.cookies

    def test_of_somebody_with_an_account(self, client: Client, ada: Any) -> None:
        client.force_login(ada)
        answer = client.get(ROOM)
        told = Page(answer.content.decode()).told["headgate-chat"]
        assert told["guest"] is False
        assert "csrftoken" in answer.cookies
        found = told["descriptor"]
        assert found["rooms"] == ["general"]
        assert found["url"] == "ws://testserver/ws/chat/"
        redeem = async_to_sync(redeem_ticket)
        assert redeem(found["ticket"], origin="http://testserver").user == ada

    def test_the_list_of_rooms_can_make_the_connection_too(
        self, client: Client, ada: Any, settings: Any
    ) -> None:
        settings.CSRF_USE_SESSIONS = True
        client.force_login(ada)
        told = page_of(client, ROOM).told
        in_list, in_chat = (
            told[element]["csrf"] for element in ("headgate-rooms", "headgate-chat")
        )
        assert in_list["header"] == in_chat["header"] == "X-CSRFToken"
        for csrf in (in_list, in_chat):
            checked = Client(enforce_csrf_checks=True)
            checked.cookies = client.cookies
            answer = checked.post(
                "/api/v1/connect",
                "{}",
                "application/json",
                headers={csrf["header"]: csrf["token"]},
            )
            assert answer.status_code == 200

    @pytest.mark.parametrize("signed_in", [False, True])
    def test_nobody_keeps_a_page_with_a_ticket(
        self, client: Client, ada: Any, guests: None, *, signed_in: bool
    ) -> None:
        if signed_in:
            client.force_login(ada)
        kept = set(client.get(ROOM)["Cache-Control"].split(", "))
        assert kept == {"private", "no-store" if signed_in else "no-cache"}

    def test_whom_the_projects_authenticators_refuse_connects_by_themselves(
        self, client: Client, ada: Any, settings: Any
    ) -> None:
        settings.HEADGATE = {"AUTHENTICATORS": [TOKENS]}
        client.force_login(ada)
        answer = client.get(ROOM, headers={"authorization": "Token wrong"})
        assert answer.status_code == 200
        assert "descriptor" not in Page(answer.content.decode()).told["headgate-chat"]
