"""Users known by the project's own means, over every door: functions, DRF's classes."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from channels.testing import ApplicationCommunicator
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, parse_cookie
from django.test import AsyncClient
from django.utils import timezone
from knox.models import AuthToken
from pytest_django import Settings
from rest_framework.authentication import (
    BaseAuthentication,
    SessionAuthentication,
    TokenAuthentication,
)
from rest_framework.authtoken.models import Token
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from headgate.chat.path_checks import check_paths
from tests.chat.talker import (  # noqa: F401 - fixtures are found by name
    ORIGIN,
    Talkers,
    application,
    in_thread,
    talk_fixture,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("room"),
]

DRF = "rest_framework.authentication"
JWT = "rest_framework_simplejwt.authentication"
OWN = "tests.chat.test_authenticators"

# --- the project's own ------------------------------------------------------------


def _badge(asked: Any) -> str | None:
    """Return the header `X-Badge` of a request or a scope."""
    if isinstance(asked, HttpRequest):
        return asked.headers.get("X-Badge")
    found = dict(asked["headers"]).get(b"x-badge")
    return None if found is None else str(found.decode())


def by_badge(asked: Any) -> Any:
    return User.objects.filter(username=_badge(asked)).first()


async def by_badge_async(asked: Any) -> Any:
    return await User.objects.filter(username=_badge(asked)).afirst()


class ByBadge:
    """An object that can be asked, as a class of the project may have one."""

    async def __call__(self, asked: Any) -> Any:
        return await by_badge_async(asked)


by_badge_object = ByBadge()


def nobody(_: Any) -> Any:
    return AnonymousUser()


class Careless(SessionAuthentication):
    """What people copy when CSRF is in their way."""

    def enforce_csrf(self, request: Any) -> None:
        """Look away."""


class CookieToken(TokenAuthentication):
    """A token that a browser keeps in a cookie, and sends for any page."""

    def authenticate(self, request: Any) -> Any:
        key = request.COOKIES.get("token")
        return None if key is None else self.authenticate_credentials(key)


def _cookie(meta: dict[str, Any]) -> str | None:
    return parse_cookie(meta.get("HTTP_COOKIE", "")).get("token")


class CookieHeader(CookieToken):
    """The same, as it stands in the header."""

    def authenticate(self, request: Any) -> Any:
        key = _cookie(request.META)
        return None if key is None else self.authenticate_credentials(key)


def by_cookie(asked: Any) -> Any:
    """Know who a cookie is: functions are shown all, and have to know what they do."""
    if not isinstance(asked, HttpRequest):
        return None
    return User.objects.filter(auth_token__key=asked.COOKIES.get("token")).first()


class BadgeClass(BaseAuthentication):
    """Says nothing but the badge; as wrong as one can be about some of them."""

    def authenticate(self, request: Any) -> Any:
        badge = _badge(request._request)
        if badge == "denied":
            raise PermissionDenied
        if badge == "listed":
            raise AuthenticationFailed(["Not this one.", "Nor that one."])
        if badge == "machine":
            return None, "a machine's token"
        return None


# --- doors ------------------------------------------------------------------------

Headers = dict[str, str]


async def over_http(headers: Headers) -> tuple[str | None, Any]:
    """Return who the API takes the caller for, or (None, the answer)."""
    answer = await AsyncClient().post(
        "/api/v1/rooms/general/messages",
        {"text": "hi"},
        content_type="application/json",
        headers=headers,
    )
    if answer.status_code != 201:
        return None, answer
    page = await AsyncClient().get("/api/v1/rooms/general/messages", headers=headers)
    return page.json()["messages"][-1]["author"]["name"], answer


async def over_v1(talk: Talkers, headers: Headers) -> tuple[str | None, Any]:
    talker = await talk.raw(headers=_in_scope(headers))
    await talker.say({"cmd": "hello"})
    said = await talker.hear()
    if "error" in said:
        return None, (said["error"], (await talker.closed()).code)
    return said["user"]["name"], said


async def over_plain(talk: Talkers, headers: Headers) -> tuple[str | None, Any]:
    talker = await talk.raw(headers=_in_scope(headers), subprotocols=())
    await talker.say({"message": "hi"})
    said = await talker.hear()
    if "error" in said:
        return None, (said, (await talker.closed()).code)
    return (await talker.hear())["author"], said


async def over_stream(headers: Headers) -> tuple[str | None, Any]:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/api/v1/stream",
        "raw_path": b"/api/v1/stream",
        "root_path": "",
        "query_string": b"rooms=general",
        "headers": _in_scope(headers),
        "client": ("127.0.0.1", 5000),
        "server": ("testserver", 80),
    }
    talk = ApplicationCommunicator(application(), scope)
    await talk.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await talk.receive_output(5)
    said = (await talk.receive_output(5))["body"]
    if start["status"] >= 400:
        await talk.wait(5)
        return None, start
    while b"event: welcome" not in said:
        said += (await talk.receive_output(5))["body"]
    await talk.send_input({"type": "http.disconnect"})
    await talk.wait(5)
    welcome = said.partition(b"event: welcome\ndata: ")[2].partition(b"\n")[0]
    return json.loads(welcome)["user"]["name"], start


def _in_scope(headers: Headers) -> list[tuple[bytes, bytes]]:
    pairs = [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()]
    return [(b"host", b"testserver"), *pairs]


async def everywhere(talk: Talkers, headers: Headers) -> list[str | None]:
    """Return who each door takes the caller for."""
    return [
        (await over_http(headers))[0],
        (await over_v1(talk, headers))[0],
        (await over_plain(talk, headers))[0],
        (await over_stream(headers))[0],
    ]


ADA = ["Ada Lovelace"] * 4
NOBODY = [None] * 4

# --- what is presented ------------------------------------------------------------


def _drf(user: User) -> Headers:
    return {"Authorization": f"Token {Token.objects.get_or_create(user=user)[0].key}"}


def _jwt(user: User) -> Headers:
    return {"Authorization": f"Bearer {AccessToken.for_user(user)}"}


def _knox(user: User) -> Headers:
    return {"Authorization": f"Token {AuthToken.objects.create(user)[1]}"}


def _basic(user: User) -> Headers:
    user.set_password("secret")
    user.save()
    pair = base64.b64encode(b"ada:secret").decode()
    return {"Authorization": f"Basic {pair}"}


def _badged(user: User) -> Headers:
    return {"X-Badge": user.username}


WAYS: dict[str, tuple[str, Callable[[User], Headers]]] = {
    "token": (f"{DRF}.TokenAuthentication", _drf),
    "simplejwt": (f"{JWT}.JWTAuthentication", _jwt),
    "simplejwt, stateless": (f"{JWT}.JWTStatelessUserAuthentication", _jwt),
    "knox": ("knox.auth.TokenAuthentication", _knox),
    "basic": (f"{DRF}.BasicAuthentication", _basic),
    "function": (f"{OWN}.by_badge", _badged),
    "async function": (f"{OWN}.by_badge_async", _badged),
    "object": (f"{OWN}.by_badge_object", _badged),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_user_is_known_over_every_door(
    talk: Talkers, settings: Settings, ada: User, way: str
) -> None:
    path, presented = WAYS[way]
    settings.HEADGATE = {"AUTHENTICATORS": [path]}

    assert await everywhere(talk, await in_thread(presented, ada)) == ADA
    assert await everywhere(talk, {}) == NOBODY


@pytest.mark.parametrize("way", WAYS)
async def test_an_account_that_is_not_active_is_refused_over_every_door(
    talk: Talkers, settings: Settings, ada: User, way: str
) -> None:
    path, presented = WAYS[way]
    # Guests may come in: whoever presents what does not hold is not one of them.
    settings.HEADGATE = {"AUTHENTICATORS": [path], "GUESTS": True}
    # So that it is not Django's own backend that refuses.
    settings.AUTHENTICATION_BACKENDS = [
        "django.contrib.auth.backends.AllowAllUsersModelBackend",
    ]
    headers = await in_thread(presented, ada)
    await in_thread(User.objects.filter(pk=ada.pk).update, is_active=False)

    assert await everywhere(talk, headers) == NOBODY


@pytest.mark.parametrize("way", ["simplejwt", "simplejwt, stateless", "token"])
async def test_an_account_that_is_gone_is_refused(
    talk: Talkers, settings: Settings, ada: User, way: str
) -> None:
    path, presented = WAYS[way]
    settings.HEADGATE = {"AUTHENTICATORS": [path], "GUESTS": True}
    headers = await in_thread(presented, ada)
    await in_thread(ada.delete)

    assert await everywhere(talk, headers) == NOBODY


BAD: dict[str, tuple[str, str, str, str]] = {
    "token": (
        f"{DRF}.TokenAuthentication",
        "Token nonsense",
        "Invalid token.",
        "Token",
    ),
    "no token": (
        f"{DRF}.TokenAuthentication",
        "Token",
        "Invalid token header. No credentials provided.",
        "Token",
    ),
    "simplejwt": (
        f"{JWT}.JWTAuthentication",
        "Bearer nonsense",
        "Given token not valid for any token type",
        'Bearer realm="api"',
    ),
    "knox": ("knox.auth.TokenAuthentication", "Token nonse", "Invalid token.", "Token"),
    "knox, no UTF-8": (
        "knox.auth.TokenAuthentication",
        "Token \xff\xfe",
        "What was presented is malformed.",
        "Token",
    ),
    "basic": (
        f"{DRF}.BasicAuthentication",
        "Basic bm9ib2R5OnNlY3JldA==",
        "Invalid username/password.",
        'Basic realm="api"',
    ),
}


@pytest.mark.parametrize("bad", BAD)
async def test_what_does_not_hold_is_refused_in_the_words_of_the_class(
    talk: Talkers, settings: Settings, ada: User, bad: str
) -> None:
    path, presented, words, challenge = BAD[bad]
    settings.HEADGATE = {"AUTHENTICATORS": [path], "GUESTS": True}
    headers = {"Authorization": presented}

    _, answer = await over_http(headers)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, challenge)
    assert (answer.json()["code"], answer.json()["detail"]) == (
        "unauthenticated",
        words,
    )
    _, (failure, close) = await over_v1(talk, headers)
    assert (failure["code"], failure["text"], close) == ("unauthenticated", words, 4501)
    _, (failure, close) = await over_plain(talk, headers)
    assert (failure["error"], failure["text"], close) == (
        "unauthenticated",
        words,
        4501,
    )
    _, start = await over_stream(headers)
    assert dict(start["headers"])[b"www-authenticate"].decode() == challenge


async def test_what_is_presented_is_not_logged(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": ["knox.auth.TokenAuthentication"]}
    await over_http({"Authorization": "Token very-secret-\xff"})

    assert "credentials_malformed" in caplog.text
    assert "very-secret" not in caplog.text


async def test_tokens_that_have_run_out_are_refused(
    talk: Talkers, settings: Settings, ada: User
) -> None:
    settings.HEADGATE = {
        "AUTHENTICATORS": [f"{JWT}.JWTAuthentication", "knox.auth.TokenAuthentication"],
    }
    token = AccessToken.for_user(ada)
    token.set_exp(lifetime=-timedelta(seconds=1))
    assert await everywhere(talk, {"Authorization": f"Bearer {token}"}) == NOBODY
    assert await everywhere(talk, {"Authorization": f"Token {token}"}) == NOBODY

    refresh = RefreshToken.for_user(ada)  # a refresh token is no access token
    assert await everywhere(talk, {"Authorization": f"Bearer {refresh}"}) == NOBODY

    headers = await in_thread(_knox, ada)
    past = timezone.now() - timedelta(seconds=1)
    await in_thread(AuthToken.objects.update, expiry=past)
    assert await everywhere(talk, headers) == NOBODY


async def test_they_are_asked_in_turn(
    talk: Talkers, settings: Settings, ada: User, grace: User
) -> None:
    settings.HEADGATE = {
        "AUTHENTICATORS": [
            f"{OWN}.nobody",
            f"{OWN}.BadgeClass",
            f"{OWN}.by_badge_async",
            f"{JWT}.JWTAuthentication",
        ],
    }
    token = await in_thread(_jwt, ada)

    assert await everywhere(talk, token) == ADA
    assert await everywhere(talk, token | {"X-Badge": "machine"}) == ADA
    for_grace = (await over_http(token | {"X-Badge": "grace"}))[0]
    assert for_grace == "Grace"


@pytest.mark.parametrize(
    ("badge", "words"),
    [
        ("denied", "You do not have permission to perform this action."),
        ("listed", "Not this one."),
    ],
)
async def test_other_refusals_of_the_framework_are_refusals(
    settings: Settings, badge: str, words: str
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [f"{OWN}.BadgeClass"], "GUESTS": True}
    _, answer = await over_http({"X-Badge": badge})

    assert (answer.status_code, answer.json()["detail"]) == (401, words)
    assert answer["WWW-Authenticate"] == 'Bearer realm="headgate"'  # it names none


async def test_they_win_over_the_cookie(
    talk: Talkers, settings: Settings, ada: User, grace: User
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [f"{DRF}.TokenAuthentication"]}
    token = (await in_thread(_drf, ada))["Authorization"].encode()
    origin = [(b"host", b"testserver"), (b"origin", ORIGIN.encode())]

    talker = await talk.raw(grace, headers=[*origin, (b"authorization", token)])
    await talker.say({"cmd": "hello"})
    assert (await talker.push("welcome"))["user"]["name"] == "Ada Lovelace"

    without = await talk.raw(grace, headers=origin)
    await without.say({"cmd": "hello"})
    assert (await without.push("welcome"))["user"]["name"] == "Grace"


async def test_a_token_needs_no_csrf_token_and_no_origin(
    settings: Settings, ada: User
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [f"{DRF}.TokenAuthentication"]}
    token = await in_thread(_drf, ada)
    client = AsyncClient(enforce_csrf_checks=True)
    await in_thread(client.force_login, ada)
    send = {"data": {"text": "hi"}, "content_type": "application/json"}
    url = "/api/v1/rooms/general/messages"

    assert (await client.post(url, headers=token, **send)).status_code == 201
    assert (await client.post(url, **send)).json()["code"] == "csrf_failed"


async def test_a_foreign_page_with_a_token_is_refused(
    talk: Talkers, settings: Settings, ada: User
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [f"{DRF}.TokenAuthentication"]}
    headers = await in_thread(_drf, ada) | {"Origin": "http://evil.example"}
    talker = await talk.raw(headers=_in_scope(headers))

    assert talker.accepted is None
    assert (await talker.closed()).code == 1008


# --- cookies are for the cookie's door --------------------------------------------


@pytest.mark.parametrize("name", ["CookieToken", "CookieHeader"])
async def test_a_class_sees_no_cookie(
    talk: Talkers, settings: Settings, ada: User, name: str
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [f"{OWN}.{name}"]}
    key = (await in_thread(_drf, ada))["Authorization"].removeprefix("Token ")
    client = AsyncClient()
    client.cookies["token"] = key

    assert (await client.get("/api/v1/rooms")).status_code == 401
    headers = {"Cookie": f"token={key}"}
    assert (await over_v1(talk, headers))[0] is None
    assert (await over_plain(talk, headers))[0] is None
    assert (await over_stream(headers))[0] is None

    settings.HEADGATE = {"AUTHENTICATORS": [f"{OWN}.by_cookie"]}
    assert (await client.get("/api/v1/rooms")).status_code == 200


@pytest.mark.parametrize("name", [f"{DRF}.SessionAuthentication", f"{OWN}.Careless"])
async def test_session_authentication_is_refused(
    settings: Settings, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [name]}

    (mistake,) = check_paths()
    assert mistake.id == "headgate.E003"
    assert "reads the session cookie" in mistake.msg
    assert "the cookie is looked at anyway" in str(mistake.hint)
    # Whoever did not look at the checks serves nobody, rather than everybody.
    _, answer = await over_http({})
    assert answer.status_code == 500
    assert "ImproperlyConfigured" in caplog.text


# --- mistakes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("no.such.module", "does not import: No module named 'no'"),
        (f"{OWN}.no_such_function", "does not import"),
        ("nonsense", "does not import"),
        (f"{OWN}.OWN", "is a str that cannot be asked"),
        (f"{OWN}.ByBadge", "is a class that cannot be asked"),
        # It has `authenticate`, and is for something else.
        ("django.contrib.auth.backends.ModelBackend", "is a class that cannot"),
    ],
)
def test_a_path_that_cannot_be_asked_is_an_error(
    settings: Settings, path: str, what: str
) -> None:
    settings.HEADGATE = {"AUTHENTICATORS": [path]}
    (mistake,) = check_paths()

    assert mistake.id == "headgate.E003"
    assert path in mistake.msg
    assert what in mistake.msg
    assert "Name a function" in str(mistake.hint)


def test_what_can_be_asked_is_right(settings: Settings) -> None:
    paths = [path for path, _ in WAYS.values()]
    settings.HEADGATE = {"AUTHENTICATORS": paths}

    assert check_paths() == []


_WITHOUT_THE_FRAMEWORK = """
import sys
sys.modules["rest_framework"] = None  # as if it were not installed
import django
from django.conf import settings
auth = ["django.contrib.auth", "django.contrib.contenttypes"]
settings.configure(INSTALLED_APPS=[*auth, "headgate.chat"], SECRET_KEY="only for tests")
django.setup()
from headgate.chat.authenticators import authenticator_mistake
assert authenticator_mistake("django.contrib.auth.authenticate") is None
(what, _) = authenticator_mistake("django.contrib.auth.backends.ModelBackend")
assert "is a class" in what, what
"""


def test_the_framework_is_not_needed() -> None:
    subprocess.run([sys.executable, "-c", _WITHOUT_THE_FRAMEWORK], check=True)
