"""System check of whether the page's URLs are among the project's: `headgate.W009`."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Tags, register
from django.urls import NoReverseMatch, reverse

__all__ = ["check_urls"]

# What pages and redirects reverse, of the page and of the API: without the one a
# redirect to the page is a 500, and without the other `{% headgate_chat %}` is.
_REVERSED = ("headgate_web:home", "headgate_chat:headgate_api:connect")


@register(Tags.urls)
def check_urls(**_: Any) -> list[CheckMessage]:
    """Check that `headgate.urls` is included.

    Nothing else misses it before somebody opens a page: WebSockets are served without.
    """
    if not getattr(settings, "ROOT_URLCONF", None):
        return []  # no page at all, and Django looks at no URLs either
    try:
        for name in _REVERSED:
            reverse(name)
    except NoReverseMatch:
        what = (
            "headgate.web is installed, and its URLs are not among the project's: "
            "pages with a chat will be errors, and the API is not there."
        )
        hint = (
            f"Write into {settings.ROOT_URLCONF}: from django.urls import include, "
            'path, and at the end urlpatterns += [path("", include("headgate.urls"))]; '
            "any prefix will do. If only WebSockets are wanted, take 'headgate.web' "
            "out of INSTALLED_APPS."
        )
        return [checks.Warning(what, hint=hint, id="headgate.W009")]
    return []
