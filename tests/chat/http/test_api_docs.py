"""The API's description of itself, and the page that shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from pytest_django import Settings

from headgate.chat.http import examples as api_examples
from headgate.chat.http import schemas as api_schemas
from headgate.chat.http.api import api
from headgate.chat.http.problems import Problem
from headgate.protocol import commands, pushes
from headgate.protocol.codes import ERRORS, Code
from tests.conftest import Serve, _left_out

METHODS = {"get", "post", "patch", "delete"}


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The description."""
    return dict(api.get_openapi_schema())


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each operation with its name."""
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def refs(value: Any) -> Iterator[str]:
    """Yield what a description refers to."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from refs(each)
    elif isinstance(value, list):
        for each in value:
            yield from refs(each)


def fields_of(struct: type[msgspec.Struct]) -> set[str]:
    return set(struct.__struct_fields__)


def test_it_has_every_operation(described: dict[str, Any]) -> None:
    assert sorted(name for name, _ in operations(described)) == [
        "DELETE /api/v1/rooms/{room}/destinations/{name}",
        "DELETE /api/v1/rooms/{room}/incoming/{id}",
        "DELETE /api/v1/rooms/{room}/messages/{seq}",
        "GET /api/v1/limits",
        "GET /api/v1/rooms",
        "GET /api/v1/rooms/{room}",
        "GET /api/v1/rooms/{room}/destinations",
        "GET /api/v1/rooms/{room}/destinations/{name}",
        "GET /api/v1/rooms/{room}/destinations/{name}/deliveries",
        "GET /api/v1/rooms/{room}/events",
        "GET /api/v1/rooms/{room}/incoming",
        "GET /api/v1/rooms/{room}/members",
        "GET /api/v1/rooms/{room}/messages",
        "PATCH /api/v1/rooms/{room}",
        "PATCH /api/v1/rooms/{room}/destinations/{name}",
        "PATCH /api/v1/rooms/{room}/members/{id}",
        "PATCH /api/v1/rooms/{room}/messages/{seq}",
        "POST /api/v1/connect",
        "POST /api/v1/rooms/{room}/destinations",
        "POST /api/v1/rooms/{room}/destinations/{name}/deliveries/drop",
        "POST /api/v1/rooms/{room}/destinations/{name}/deliveries/replay",
        "POST /api/v1/rooms/{room}/destinations/{name}/secrets",
        "POST /api/v1/rooms/{room}/destinations/{name}/test",
        "POST /api/v1/rooms/{room}/incoming",
        "POST /api/v1/rooms/{room}/messages",
        "POST /api/v1/rooms/{room}/messages/{seq}/cancel",
    ]


def test_each_has_a_name_of_its_own(described: dict[str, Any]) -> None:
    names = [each["operationId"] for _, each in operations(described)]

    assert len(set(names)) == len(names)
    assert "post_message" in names


def test_what_it_refers_to_is_there(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    prefix = "#/components/schemas/"

    named = {ref.removeprefix(prefix) for ref in refs(described)}

    assert named <= set(schemas)
    assert set(schemas) == named  # and nothing that nobody refers to


def test_schemas_are_json_schema(described: dict[str, Any]) -> None:
    for schema in described["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["description"]
        assert "\n    " not in schema["description"]


def test_examples_are_what_they_are_examples_of(described: dict[str, Any]) -> None:
    seen = 0
    for _, operation in operations(described):
        bodies = list(operation["responses"].values())
        bodies += [operation["requestBody"]] if "requestBody" in operation else []
        for body in bodies:
            for content in body["content"].values():
                given = content.get("examples", {"": {"value": content.get("example")}})
                for example in given.values():
                    schema = {**described, **content["schema"]}
                    jsonschema.Draft202012Validator(schema).validate(example["value"])
                    seen += 1
    assert seen > 50


def test_every_refusal_is_a_problem(described: dict[str, Any]) -> None:
    for name, operation in operations(described):
        refusals = {k: v for k, v in operation["responses"].items() if k >= 400}
        assert {400, 401, 500, 503} <= set(refusals), name
        for status, refusal in refusals.items():
            (kind,) = refusal["content"]
            assert kind == "application/problem+json"
            for code in refusal["content"][kind]["examples"]:
                assert ERRORS[Code(code)].http == status
        assert "WWW-Authenticate" in refusals[401]["headers"]
        assert "Retry-After" in refusals[503]["headers"]


def test_a_body_has_the_fields_of_its_command(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]

    send, edit = (set(schemas[name]["properties"]) for name in ("SendBody", "EditBody"))

    assert send == fields_of(commands.Send) | {"cmd"}
    assert edit == fields_of(commands.Edit) | {"cmd"}
    assert schemas["SendBody"]["required"] == ["text"]
    assert schemas["EditBody"]["required"] == ["text"]


def test_an_answer_has_the_fields_of_its_reply() -> None:
    def of_reply(struct: type[msgspec.Struct]) -> set[str]:
        return fields_of(struct) - {"reply"}

    assert fields_of(api_schemas.MessagesRead) == of_reply(pushes.MessagesPage)
    assert fields_of(api_schemas.EventsRead) == of_reply(pushes.EventsPage)
    assert fields_of(api_schemas.Posted) == of_reply(pushes.Saved) | {"client_id"}
    plain = fields_of(pushes.PlainSaved)
    assert fields_of(api_schemas.PlainPosted) == plain | {"at", "connect"}
    assert of_reply(pushes.Joined) <= fields_of(api_schemas.RoomShown)
    # `at` is of `append`, which is no request.
    assert fields_of(pushes.Error) - {"text", "at"} <= fields_of(Problem)


def test_every_struct_has_an_example() -> None:
    structs = {type(getattr(api_examples, name)) for name in api_examples.__all__}

    named = {getattr(api_schemas, name) for name in api_schemas.__all__}
    bodies = {api_schemas.Connect, api_schemas.RoomChange, api_schemas.MemberChange}
    parts = {api_schemas.MemberShown}
    assert named - structs == {*bodies, *parts, api_schemas.PlainPosted}


def test_a_text_is_seen_where_the_codec_sees_one(described: dict[str, Any]) -> None:
    """Whatever a regular expression's dialect takes for white space."""
    send = described["components"]["schemas"]["SendBody"]
    seen = re.compile(send["properties"]["text"]["pattern"]).search

    every = (chr(code) for code in range(sys.maxunicode + 1))
    assert [each for each in every if bool(seen(each)) is each.isspace()] == []


def test_parameters_have_the_limits_of_the_wire(described: dict[str, Any]) -> None:
    read = described["paths"]["/api/v1/rooms/{room}/messages"]["get"]
    found = {each["name"]: each["schema"] for each in read["parameters"]}

    assert found["limit"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 200,
        "default": 50,
    }
    assert found["before"]["maximum"] == 2**53 - 1
    assert "pattern" in found["room"]
    change = described["paths"]["/api/v1/rooms/{room}/messages/{seq}"]["delete"]
    assert change["parameters"][1]["schema"]["minimum"] == 1


# --- the page ------------------------------------------------------------------


@pytest.mark.django_db
def test_it_is_served(client: Client) -> None:
    said = client.get("/api/v1/openapi.json")

    assert said["content-type"] == "application/json"
    assert said.json()["openapi"].startswith("3.1")


@pytest.mark.django_db
def test_the_page_loads_nothing_from_elsewhere(client: Client) -> None:
    page = client.get("/api/v1/docs")

    text = page.content.decode()
    places = re.findall(r"(?:src|href)=[\"']([^\"']+)", text)
    assert places
    for place in places:
        assert place.startswith("/static/ninja/")
        assert finders.find(place.removeprefix("/static/"))
    scripts = re.findall(r"<script([^>]*)>\s*([^<\s]?)", text)
    for attributes, content in scripts:
        assert "application/json" in attributes or not content
    assert "<style" not in text
    assert '"validatorUrl": null' in text


@pytest.mark.django_db
def test_the_page_forbids_what_it_does_not_need(client: Client) -> None:
    page = client.get("/api/v1/docs")

    policy = page["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert "script-src 'self'" in policy
    assert "style-src 'self'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in page["Content-Security-Policy"]
    assert page["Cache-Control"] == "no-store"
    assert page["X-Content-Type-Options"] == "nosniff"


@pytest.mark.django_db
def test_static_files_of_another_host_are_let_in(
    client: Client, settings: Settings
) -> None:
    settings.STATIC_URL = "https://static.example/files/"

    page = client.get("/api/v1/docs")

    policy = page["Content-Security-Policy"].split("; ")
    assert "script-src https://static.example" in policy
    assert "connect-src 'self'" in policy


@pytest.mark.django_db
def test_without_ninja_among_the_apps_it_says_what_to_do(
    client: Client, settings: Settings
) -> None:
    settings.INSTALLED_APPS = [a for a in settings.INSTALLED_APPS if a != "ninja"]

    page = client.get("/api/v1/docs")

    assert page.status_code == 501
    assert 'Add "ninja" to INSTALLED_APPS' in page.content.decode()
    assert "/api/v1/openapi.json" in page.content.decode()
    assert client.get("/api/v1/openapi.json").status_code == 200


def test_a_browser_shows_every_operation(
    serve: Serve, tmp_path: Path, described: dict[str, Any]
) -> None:
    if shutil.which("chromium") is None:
        _left_out("chromium is not installed")
    server = serve("--guests")

    shown = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            f"{server.url}/api/v1/docs",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    ).stdout

    paths = set(re.findall(r'data-path="([^"]+)"', shown))
    assert paths == set(described["paths"])
