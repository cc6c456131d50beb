"""The words of the page and of its script: the same keys everywhere, and all in German.

The German catalog is compared with the sources and with its compiled form. After a
change of words, see "The page's words" in CONTRIBUTING.md.
"""

from __future__ import annotations

import json
import re
import string
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils.translation import gettext, override, trans_real

from headgate.chat.models import Room
from headgate.server.options import ServeOptions
from headgate.server.settings import build_settings
from headgate.web.strings import ERRORS, STRINGS, spoken_language, translations
from tests.web.page import Page

ROOT = Path(__file__).parents[2]
WEB = ROOT / "src/headgate/web"
GERMAN = WEB / "locale/de/LC_MESSAGES"
TEMPLATES = sorted((WEB / "templates").rglob("*.html"))
CONTEXT = "chat"

Words = dict[str, str]


def catalog(kind: str) -> Catalog:
    read: Any = {"po": read_po, "mo": read_mo}[kind]
    with (GERMAN / f"django.{kind}").open("rb") as file:
        found: Catalog = read(file)
        return found


def words_of(found: Catalog) -> Words:
    assert {message.context for message in found if message.id} == {CONTEXT}
    return {str(m.id): str(m.string) for m in found if m.id}


@pytest.fixture(scope="module")
def german() -> Words:
    return words_of(catalog("po"))


def english() -> Words:
    with override(None):
        return {key: str(text) for key, text in STRINGS.items()}


def errors() -> Words:
    with override(None):
        return {key: str(text) for key, text in ERRORS.items()}


def in_templates() -> Iterator[str]:
    """Yield what the templates translate."""
    for path in TEMPLATES:
        for tag in re.findall(r"{% translate .*? %}", path.read_text(encoding="utf-8")):
            found = re.fullmatch(
                r"""{% translate (["'])(.+?)\1 context (["'])chat\3 %}""", tag
            )
            assert found, f"{path.name}: {tag} has no context"
            yield found[2]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


class TestKeys:
    def test_are_those_of_the_script(self) -> None:
        source = (ROOT / "client/src/element/strings.ts").read_text(encoding="utf-8")
        found = re.search(r"ENGLISH = \{(.*?)^\}", source, re.DOTALL | re.MULTILINE)
        assert found
        pairs = re.findall(r'(\w+):\s*("(?:[^"\\]|\\.)*")', found[1])
        in_script = {key: json.loads(text) for key, text in pairs}
        assert len(in_script) == found[1].count('":') + len(pairs)  # none was missed
        assert english() == in_script

    def test_of_errors_are_the_codes_of_the_wire(self) -> None:
        table = tomllib.loads((ROOT / "protocol/codes.toml").read_text())
        texts = {code: each["text"] for code, each in table["errors"].items()}
        assert errors() == texts


class TestCatalog:
    def test_has_what_the_sources_say_and_nothing_else(self, german: Words) -> None:
        said = {*english().values(), *errors().values(), *in_templates()}
        assert set(german) == said

    def test_says_all_of_it(self, german: Words) -> None:
        assert [text for text, said in german.items() if not said.strip()] == []
        assert [m.id for m in catalog("po") if m.fuzzy] == []

    def test_fills_in_the_same(self, german: Words) -> None:
        for text, said in german.items():
            assert placeholders(said) == placeholders(text), text

    def test_is_compiled(self, german: Words) -> None:
        assert words_of(catalog("mo")) == german


class TestLanguages:
    def test_english_is_in_the_script_already(self) -> None:
        for language in ("en", "en-gb"):
            with override(language):
                assert translations() == {}
                assert spoken_language() == language

    def test_german(self, german: Words) -> None:
        with override("de-at"):
            told = translations()
            assert spoken_language() == "de-at"
        assert told["send"] == "Senden"
        words = english() | {f"error_{code}": text for code, text in errors().items()}
        # "{name}: {text}" is the same in both, and so is left out.
        others = {key: text for key, text in words.items() if german[text] != text}
        assert "says" in set(words) - set(others)
        assert told == {key: german[text] for key, text in others.items()}

    def test_without_a_translation_the_chat_speaks_english(self) -> None:
        for language in ("fr", "ar"):
            with override(language):
                assert translations() == {}
                assert spoken_language() == "en"

    def test_or_what_the_project_speaks(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Django keeps catalogs together with what they fall back on.
        monkeypatch.setattr(trans_real, "_translations", {})
        monkeypatch.setattr(trans_real, "_default", None)
        settings.LANGUAGE_CODE = "de"
        with override("fr"):
            assert translations()["send"] == "Senden"
            assert spoken_language() == "de"

    def test_ours_change_nobody_elses_words(self) -> None:
        # Without the context, "Send" of ours would be that of every app.
        with override("de"):
            assert translations()["send"] == "Senden"
            assert gettext("Send") == "Send"

    def test_the_server_takes_what_the_browser_asks_for(self) -> None:
        built = build_settings(ServeOptions(), "key")
        assert "django.middleware.locale.LocaleMiddleware" in built["MIDDLEWARE"]
        folders = {path.name for path in (WEB / "locale").iterdir()}
        assert {code for code, _name in built["LANGUAGES"]} == folders | {"en"}


@pytest.mark.django_db
class TestPage:
    # What is a name or a sign, or Django's own.
    NO_WORDS = frozenset({"Headgate", "#", "•", "\u2039", "General", "Ada Lovelace"})
    OF_DJANGO = frozenset({"Benutzername", "Passwort"})

    @pytest.fixture(autouse=True)
    def _as_served(self, settings: Any) -> None:
        built = build_settings(ServeOptions(), "key")
        settings.MIDDLEWARE = built["MIDDLEWARE"]
        settings.LANGUAGES = built["LANGUAGES"]
        settings.LANGUAGE_CODE = built["LANGUAGE_CODE"]
        settings.WHITENOISE_USE_FINDERS = True
        settings.WHITENOISE_AUTOREFRESH = True  # no look at all files at each start
        settings.HEADGATE = {"GUESTS": True, "MAKE_ROOMS": True}

    @pytest.mark.parametrize("signed_in", [False, True])
    @pytest.mark.parametrize("rooms", [False, True])
    @pytest.mark.parametrize("path", ["/", "/?room=a+b", "/chat/general/", "/sign-in/"])
    def test_speaks_german(
        self, client: Client, german: Words, path: str, *, rooms: bool, signed_in: bool
    ) -> None:
        if rooms:
            Room.objects.create(slug="general", title="General")
        if signed_in:
            ada = get_user_model().objects.create_user(
                "ada", first_name="Ada", last_name="Lovelace"
            )
            client.force_login(ada)
        asked = {"accept-language": "fr;q=0.9, de-DE;q=0.8, en;q=0.7"}
        answer = client.get(path, headers=asked, follow=True)
        assert answer["Content-Language"] == "de"
        assert "Accept-Language" in answer["Vary"]
        page = Page(answer.content.decode())
        assert page.one("html")["lang"] == "de"
        known = set(german.values()) | self.NO_WORDS | self.OF_DJANGO
        said = {
            part
            for text in page.said
            for part in (text.split(" · ") if text.endswith("Headgate") else [text])
        }
        assert said - known - {"general"} == set()
        assert said & set(german.values())
        for told in page.told.values():
            assert set(told["strings"].values()) <= set(german.values())
        rooms_told = page.told.get("headgate-rooms", {}).get("strings", {})
        assert set(rooms_told) == {"unread_one", "unread_other"} or "sign-in" in path

    def test_speaks_english_to_others(self, client: Client) -> None:
        for asked in ("fr", "ar", "en"):
            html = client.get("/", headers={"accept-language": asked}).content.decode()
            assert Page(html).one("html")["lang"] == "en"
            assert "<h1>Welcome</h1>" in html

    def test_runs_from_right_to_left_where_the_language_does(
        self, client: Client, settings: Any
    ) -> None:
        settings.LANGUAGES = [("ar", "Arabic")]
        settings.LANGUAGE_CODE = "ar"
        for path in ("/", "/chat/general/", "/sign-in/"):
            page = Page(client.get(path).content.decode())
            html = page.one("html")
            assert (html["lang"], html["dir"]) == ("ar", "rtl")
        assert page.all("headgate-chat") == []
        room = Page(client.get("/chat/general/").content.decode())
        assert room.one("headgate-chat")["lang"] == "en"  # as its words are
