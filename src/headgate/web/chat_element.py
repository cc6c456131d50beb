"""What the chat's element is told: by its attributes, and by JSON inside of it.

The element is `<headgate-chat>`, of the script `chat.js`. All that it needs to know
of the project stands in the page, so that it asks nobody before it connects.
"""

from __future__ import annotations

import contextlib
from typing import Any

from django.conf import global_settings, settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.middleware.csrf import get_token
from django.urls import NoReverseMatch, Resolver404, resolve, reverse

from headgate.chat.authenticators import has_authenticators
from headgate.chat.conf import conf
from headgate.web.strings import spoken_language, translations

__all__ = ["chat_context", "rooms_context", "sign_in_url", "user_of"]

# Django's own names of CSRF's cookie and header, which the script knows.
_KNOWN_NAMES = ("csrftoken", "HTTP_X_CSRFTOKEN")

# The words of the list of rooms.
_OF_ROOMS = ("unread_one", "unread_other")


def chat_context(request: HttpRequest, room: str, **more: Any) -> dict[str, Any]:
    """Return what the template of `<headgate-chat>` shows.

    Args:
        request: Whose page it is.
        room: A slug.
        **more: What the element is to be told besides, such as `descriptor`.

    Raises:
        ImproperlyConfigured: The chat's URLs are not among the project's.
    """
    told = {
        "guest": user_of(request) is None,
        "sign_in": sign_in_url(request),
        "csrf": _csrf(request),
        "strings": translations(),
        **more,
    }
    return _attributes(request) | {
        "slug": room,
        "told": _present(told),
        "shut_out": _shut_out(request),
    }


def rooms_context(request: HttpRequest) -> dict[str, Any]:
    """Return what the template of `<headgate-rooms>` shows; raises as the other does.

    It may be the first on a page, and make the connection that all of them share.
    """
    words = {key: text for key, text in translations().items() if key in _OF_ROOMS}
    told = _present({"csrf": _csrf(request), "strings": words})
    return _attributes(request) | {"told_rooms": told}


def _attributes(request: HttpRequest) -> dict[str, Any]:
    return {
        "bootstrap": _bootstrap_url(),
        "spoken": spoken_language(),
        "sign_in": sign_in_url(request),
    }


def _present(told: dict[str, Any]) -> dict[str, Any]:
    """Return what there is to tell; the script does without the rest."""
    return {name: value for name, value in told.items() if value not in (None, {})}


def user_of(request: HttpRequest) -> Any:
    """Return who is signed in by Django's middleware, or None."""
    user = getattr(request, "user", None)
    return user if getattr(user, "is_authenticated", False) else None


def _bootstrap_url() -> str:
    """Return the path of `POST connect`; raises `ImproperlyConfigured` without one."""
    try:
        return reverse("headgate_chat:headgate_api:connect")
    except NoReverseMatch:
        raise ImproperlyConfigured(
            "The chat's URLs are not among the project's: add "
            'path("", include("headgate.urls")) to urlpatterns.',
        ) from None


def sign_in_url(request: HttpRequest) -> str:
    """Return where one signs in, and comes back from to this page.

    It is the project's LOGIN_URL. Where that is Django's default, and leads nowhere in
    the project, it is the page's own.
    """
    place = str(settings.LOGIN_URL)
    if settings.LOGIN_URL == global_settings.LOGIN_URL:
        try:
            resolve(place)
        except Resolver404:
            with contextlib.suppress(NoReverseMatch):
                place = reverse("headgate_web:sign-in")
    return redirect_to_login(request.get_full_path(), place).url


def _shut_out(request: HttpRequest) -> bool:
    """Return whether nobody is there, as far as a page can tell, and guests are out.

    The project's authenticators may know somebody; they are asked when one connects.
    """
    known = user_of(request) is not None or has_authenticators()
    return not known and not conf().GUESTS


def _csrf(request: HttpRequest) -> dict[str, str] | None:
    """Return what Django's check of CSRF wants to see, where the script cannot know it.

    As Django comes, the script reads the cookie by itself, and None is returned.
    """
    if user_of(request) is None:
        # What needs a token comes with signing in, and so does the cookie. Until then
        # the page is free of both, and can be cached.
        return None
    token = get_token(request)  # and the answer sets the cookie
    hidden = settings.CSRF_USE_SESSIONS or settings.CSRF_COOKIE_HTTPONLY
    names = (settings.CSRF_COOKIE_NAME, settings.CSRF_HEADER_NAME)
    if names == _KNOWN_NAMES and not hidden:
        return None
    header = settings.CSRF_HEADER_NAME.removeprefix("HTTP_").replace("_", "-")
    # In the script's own spelling: it must not send another value beside this one.
    return {
        "header": "X-CSRFToken" if header == "X-CSRFTOKEN" else header,
        "token": token,
    }
