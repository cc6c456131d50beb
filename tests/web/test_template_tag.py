"""`{% headgate_chat %}` in the templates of a project."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.template import Context, RequestContext, Template, TemplateSyntaxError
from django.template.backends.django import Template as BackendTemplate
from django.template.loader import engines
from django.test import Client, RequestFactory
from django.test.utils import override_script_prefix
from django.urls import include, path
from django.utils.translation import override

from headgate.chat.models import Event, Room
from tests.web.page import Page

pytestmark = pytest.mark.django_db

BOARD = """<!doctype html><html lang="en"><head><title>Board</title></head><body>
{% load headgate %}<h1>Our board</h1>{% headgate_chat room %}</body></html>"""
API = "/talk/api/v1/connect"


def board(request: HttpRequest, room: str) -> HttpResponse:
    """A page of a project with a chat in it."""
    template = engines["django"].from_string(BOARD)
    assert isinstance(template, BackendTemplate)
    return HttpResponse(template.render({"room": room}, request))


urlpatterns = [
    path("board/<room>/", board),
    path("talk/", include("headgate.urls")),
]


class Urls:
    """What ROOT_URLCONF may be, besides a module."""

    def __init__(self, *patterns: Any) -> None:
        self.urlpatterns = patterns


bare_urls = Urls(path("board/<room>/", board))
accounts = path("accounts/", include("django.contrib.auth.urls"))
urls_with_accounts = Urls(*urlpatterns, accounts)


@pytest.fixture(autouse=True)
def _project(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    settings.HEADGATE = {"GUESTS": True}


@pytest.fixture
def own_sign_in(settings: Any) -> None:
    """Where the project has people sign in."""
    settings.LOGIN_URL = "/hello/"


@pytest.fixture
def ada() -> Any:
    return get_user_model().objects.create_user("ada", password="correct horse 9")


def page_of(client: Client) -> Page:
    answer = client.get("/board/general/")
    assert answer.status_code == 200
    return Page(answer.content.decode())


def rendered(room: Any, text: str = "{% headgate_chat room %}") -> str:
    request = RequestFactory().get("/board/")
    request.user = AnonymousUser()
    context = RequestContext(request, {"room": room})
    return Template("{% load headgate %}" + text).render(context)


@pytest.mark.usefixtures("own_sign_in")
class TestOneTag:
    def test_is_all_that_a_page_needs(self, client: Client) -> None:
        page = page_of(client)
        element = page.one("headgate-chat")
        assert element == {"room": "general", "bootstrap": API, "lang": "en-us"}
        assert page.one("link")["href"] == "/static/headgate_web/chat.css"
        scripts = [given for given in page.all("script") if "src" in given]
        assert scripts == [
            {"type": "module", "src": "/static/headgate_web/chat.js"},
        ]
        assert page.inline == []
        assert page.all("noscript")
        assert page.told["headgate-chat"] == {
            "guest": True,
            "sign_in": "/hello/?next=/board/general/",
        }

    def test_twice_on_a_page(self) -> None:
        text = "{% headgate_chat 'a' %}{% headgate_chat 'b' %}"
        page = Page(rendered(None, text))
        assert [given["room"] for given in page.all("headgate-chat")] == ["a", "b"]
        # Browsers run a module once, and ask once for a style.
        assert len({given["href"] for given in page.all("link")}) == 1
        assert len({given.get("src") for given in page.all("script")} - {None}) == 1

    def test_takes_a_room(self) -> None:
        room = Room.objects.create(slug="order-7", title="Order 7", kind="group")
        assert Page(rendered(room)).one("headgate-chat")["room"] == "order-7"

    def test_writes_nothing(self, client: Client) -> None:
        page_of(client)
        assert not Room.objects.exists()
        assert not Event.objects.exists()

    def test_in_german(self, client: Client) -> None:
        with override("de"):
            page = Page(rendered("general"))
        assert page.one("headgate-chat")["lang"] == "de"
        assert page.told["headgate-chat"]["strings"]["send"] == "Senden"
        assert "JavaScript" in page.said[0]
        assert "Nachrichten" in page.said[0]

    def test_what_it_says_is_data(self, client: Client) -> None:
        request = RequestFactory().get("/board/</script><script>alert(1)//")
        request.user = AnonymousUser()
        text = Template(BOARD).render(RequestContext(request, {"room": "general"}))
        assert "<script>alert" not in text
        told = Page(text).told["headgate-chat"]
        assert told["sign_in"].startswith("/hello/?next=/board/")

    def test_stands_below_the_script_name(self, settings: Any) -> None:
        with override_script_prefix("/sub/"):
            page = Page(rendered("general"))
        assert page.one("headgate-chat")["bootstrap"] == f"/sub{API}"


@pytest.mark.usefixtures("own_sign_in")
class TestPeople:
    def test_with_an_account(self, client: Client, ada: Any) -> None:
        client.force_login(ada)
        answer = client.get("/board/general/")
        told = Page(answer.content.decode()).told["headgate-chat"]
        assert told == {
            "guest": False,
            "sign_in": "/hello/?next=/board/general/",
        }
        assert "csrftoken" in answer.cookies
        assert "Cookie" in answer["Vary"]

    def test_a_guests_page_can_be_cached(self, client: Client) -> None:
        answer = client.get("/board/general/")
        assert answer.cookies == {}
        assert "Cache-Control" not in answer

    def test_without_guests_one_signs_in_first(
        self, client: Client, settings: Any
    ) -> None:
        settings.HEADGATE = {}
        page = page_of(client)
        assert page.links == ["/hello/?next=/board/general/"]
        assert page.all("headgate-chat") == page.all("script") == []

    def test_but_not_whom_only_the_projects_authenticators_know(
        self, client: Client, settings: Any
    ) -> None:
        settings.HEADGATE = {
            "AUTHENTICATORS": ["rest_framework.authentication.TokenAuthentication"],
        }
        assert page_of(client).one("headgate-chat")["room"] == "general"

    def test_a_project_without_accounts(self) -> None:
        request = RequestFactory().get("/board/")  # no middleware gave it a user
        text = Template(BOARD).render(RequestContext(request, {"room": "general"}))
        assert Page(text).told["headgate-chat"]["guest"] is True


def test_the_pages_own_sign_in_where_the_project_has_none(client: Client) -> None:
    told = page_of(client).told["headgate-chat"]
    assert told["sign_in"] == "/talk/sign-in/?next=/board/general/"


def test_a_sign_in_by_the_name_of_its_url(client: Client, settings: Any) -> None:
    settings.LOGIN_URL = "headgate_web:sign-in"
    told = page_of(client).told["headgate-chat"]
    assert told["sign_in"] == "/talk/sign-in/?next=/board/general/"


def test_djangos_own_sign_in_where_it_is_mounted(client: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = urls_with_accounts
    told = page_of(client).told["headgate-chat"]
    assert told["sign_in"] == "/accounts/login/?next=/board/general/"


class TestForgery:
    """Whatever the settings of CSRF are, the script can prove whose page it is."""

    def connect(self, client: Client, told: dict[str, Any]) -> int:
        csrf = told.get("csrf")
        if csrf is None:  # as the script does by itself
            csrf = {"header": "X-CSRFToken", "token": client.cookies["csrftoken"].value}
        answer = client.post(
            API, "{}", "application/json", headers={csrf["header"]: csrf["token"]}
        )
        return answer.status_code

    @pytest.mark.parametrize(
        "changed",
        [
            {},
            {"CSRF_USE_SESSIONS": True},
            {"CSRF_COOKIE_HTTPONLY": True},
            {"CSRF_COOKIE_NAME": "shop_csrf"},
            {"CSRF_HEADER_NAME": "HTTP_X_XSRF_TOKEN"},
        ],
        ids=lambda changed: next(iter(changed), "django"),
    )
    def test_the_script_may_connect(
        self, ada: Any, settings: Any, changed: dict[str, Any]
    ) -> None:
        for name, value in changed.items():
            setattr(settings, name, value)
        client = Client(enforce_csrf_checks=True)
        client.force_login(ada)
        told = page_of(client).told["headgate-chat"]
        assert ("csrf" in told) == bool(changed)
        assert client.post(API, "{}", "application/json").status_code == 403
        assert self.connect(client, told) == 200


class TestMistakes:
    @pytest.mark.parametrize("room", ["", None])
    def test_no_room(self, room: Any) -> None:
        with pytest.raises(TemplateSyntaxError, match="Is the variable in the context"):
            rendered(room)

    @pytest.mark.parametrize("room", ["a b", 7, Room(), object, "<b>"])
    def test_what_names_no_room(self, room: Any) -> None:
        with pytest.raises(TemplateSyntaxError, match=r"names no room|got no room"):
            rendered(room)

    def test_no_request(self) -> None:
        template = Template("{% load headgate %}{% headgate_chat 'general' %}")
        with pytest.raises(ImproperlyConfigured, match="needs the request"):
            template.render(Context())

    def test_a_request_that_no_context_processor_gave(self) -> None:
        request = RequestFactory().get("/")
        template = Template("{% load headgate %}{% headgate_chat 'general' %}")
        assert "headgate-chat" in template.render(Context({"request": request}))

    def test_no_urls(self, settings: Any) -> None:
        settings.ROOT_URLCONF = bare_urls
        with pytest.raises(ImproperlyConfigured, match=r'include\("headgate.urls"\)'):
            rendered("general")
