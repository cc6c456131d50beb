"""The template tag in a project of somebody else's, with hashed static files."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.small_project import SmallProject
from tests.web.page import Page

SETTINGS = """
STATIC_ROOT = FILE.with_name("collected")
STORAGES = {
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
    },
}
TEMPLATES[0]["DIRS"] = [Path(__file__).with_name("templates")]
FORCE_SCRIPT_NAME = "/sub"
LOGIN_URL = "/sub/hello/"
"""
URLS = """
from django.shortcuts import render

def board(request):
    return render(request, "board.html", {"room": "board"})

urlpatterns = [path("board/", board), path("talk/", include("headgate.urls"))]
"""
VISIT = """
from django.contrib.auth import get_user_model
from django.test import Client, override_settings
from django.urls import set_script_prefix

def visit(client):
    answer = client.get("/board/", headers={"host": "127.0.0.1"})
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()

guest, known = Client(), Client()
known.force_login(get_user_model().objects.create(email="ada@example.com"))
found = {"guest": visit(guest), "known": visit(known)}
with override_settings(HEADGATE={}):
    found["refused"] = visit(guest)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    found = SmallProject(tmp_path_factory.mktemp("project"))
    found.add("mysite/settings.py", SETTINGS)
    found.add("mysite/urls.py", URLS)
    found.write(
        "mysite/templates/board.html",
        "<!doctype html><title>Board</title>{% load headgate %}"
        "{% headgate_chat room %}",
    )
    found.migrate()
    found.manage("collectstatic", "--noinput", code=0)
    return found


@pytest.fixture(scope="module")
def pages(project: SmallProject) -> dict[str, Page]:
    found: Any = project.shell(VISIT)
    return {who: Page(html) for who, html in found.items()}


def test_files_are_found_by_their_hashed_names(
    project: SmallProject, pages: dict[str, Page]
) -> None:
    page = pages["guest"]
    urls = [given["src"] for given in page.all("script") if "src" in given]
    urls += [given["href"] for given in page.all("link")]
    names = [str(url).removeprefix("/sub/static/headgate_web/") for url in urls]
    assert re.fullmatch(
        r"chat\.[0-9a-f]{12}\.js chat\.[0-9a-f]{12}\.css", " ".join(names)
    )
    folder = project.folder / "collected/headgate_web"
    assert all((folder / name).stat().st_size > 1000 for name in names)


def test_everything_is_below_the_prefix(pages: dict[str, Page]) -> None:
    for who in ("guest", "known"):
        element = pages[who].one("headgate-chat")
        assert element["bootstrap"] == "/sub/talk/api/v1/connect"
        told = pages[who].told["headgate-chat"]
        assert told["guest"] is (who == "guest")
        assert told["sign_in"] == "/sub/hello/?next=/sub/board/"


def test_whoever_is_refused_gets_a_way_to_sign_in(pages: dict[str, Page]) -> None:
    assert pages["refused"].links == ["/sub/hello/?next=/sub/board/"]
    assert pages["refused"].all("headgate-chat") == []
