"""What the system checks say about the page."""

from __future__ import annotations

import subprocess
import sys
import types
from typing import Any

import pytest
from django.core import checks
from django.urls import include, path
from pytest_django import Settings

W009 = "headgate.W009"


def urlconf(*patterns: Any) -> Any:
    module: Any = types.ModuleType("urls_of_a_project")
    module.urlpatterns = list(patterns)
    return module


def found() -> list[Any]:
    """Return what all checks say of the page; no database is to be asked."""
    return [each for each in checks.run_checks() if each.id == W009]


@pytest.mark.parametrize("included", ["headgate.urls", "headgate.server.urls"])
@pytest.mark.parametrize("prefix", ["", "sub/"])
def test_included_urls_are_left_alone(
    settings: Settings, prefix: str, included: str
) -> None:
    settings.ROOT_URLCONF = urlconf(path(prefix, include(included)))
    assert found() == []


def test_the_stand_alone_server_is_left_alone(settings: Settings) -> None:
    settings.ROOT_URLCONF = "headgate.server.urls"
    assert found() == []


@pytest.mark.parametrize("others", [(), ("headgate.web.urls",)])
def test_a_forgotten_include_is_warned_of(
    settings: Settings, others: tuple[str, ...]
) -> None:
    settings.ROOT_URLCONF = urlconf(*(path("", include(each)) for each in others))
    (warned,) = found()

    assert warned.level == checks.WARNING
    assert 'path("", include("headgate.urls"))' in warned.hint
    assert "urls_of_a_project" in warned.hint


WEBSOCKETS_ALONE = """
import sys, types

import django
from django.conf import settings
from django.core import checks

sys.modules["bare_urls"] = types.ModuleType("bare_urls")
sys.modules["bare_urls"].urlpatterns = []
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "headgate.chat",
        *sys.argv[1:],
    ],
    ROOT_URLCONF="bare_urls",
)
django.setup()
print([each.id for each in checks.run_checks() if "headgate" in each.id])
"""


@pytest.mark.parametrize(("page", "told"), [((), []), (("headgate.web",), [W009])])
def test_only_who_has_the_page_needs_its_urls(
    page: tuple[str, ...], told: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WEBSOCKETS_ALONE, *page],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    assert done.stdout == f"{told}\n"


def test_a_project_without_any_urls_is_left_alone(settings: Settings) -> None:
    settings.ROOT_URLCONF = None
    assert found() == []
