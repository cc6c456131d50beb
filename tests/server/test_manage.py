"""`manage.py headgate …`: the same verbs, in a project of somebody else's."""

from __future__ import annotations

import io
import secrets
from importlib.metadata import version
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command, get_commands

from headgate.server.cli import build_parser
from tests.small_project import SmallProject

# Where nothing is installed but what `headgate[chat]` installs.
WITHOUT_SERVER = """
import sys

MISSING = {
    "dj_database_url", "httptools", "rich", "uvicorn", "uvloop", "websockets",
    "whitenoise",
}


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())
"""


@pytest.fixture
def without_server(project: SmallProject) -> SmallProject:
    """A project with its tables, where the server's packages are not installed."""
    settings = (project.folder / "mysite/settings.py").read_text()
    own = settings.replace("import dj_database_url\n", "").splitlines()
    kept = [line for line in own if not line.startswith("DATABASES")]
    database = "'ENGINE': 'django.db.backends.sqlite3', 'NAME': FILE"
    kept.append(f"DATABASES = {{'default': {{{database}, 'OPTIONS': OPTIONS}}}}")
    project.write("mysite/settings.py", "\n".join(kept))
    manage = (project.folder / "manage.py").read_text()
    project.write("manage.py", WITHOUT_SERVER + manage)
    return project


# --- the command ---


def test_it_is_a_command_of_the_app() -> None:
    assert get_commands()["headgate"] == "headgate.chat"


def test_help_lists_the_verbs_as_they_are_there(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    told = project.manage("headgate", "--help", code=0).stdout
    assert told.startswith("usage: manage.py headgate [-h]")
    for action in build_parser()._subparsers._group_actions:  # type: ignore[union-attr]
        for verb in action.choices or ():
            assert f"\n    {verb} " in told
    assert "make a user of this project" in told
    assert project.manage("help", "headgate", code=0).stdout == told
    served = project.manage("headgate", "serve", "--help", code=0).stdout
    assert served.startswith("usage: manage.py headgate serve [-h]")
    assert "the settings' ASGI_APPLICATION" in " ".join(served.split())
    assert "--settings" not in served


def test_version_is_ours(tmp_path: Path) -> None:
    told = SmallProject(tmp_path).manage("headgate", "--version", code=0).stdout
    assert told.strip() == version("headgate")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["serve", "--port", "x"], "argument --port: 'x' is no port from 0 to 65535."),
        (["user"], "the following arguments are required: name"),
        (["user", "a@b.example", "--data", "x"], "set DATABASES and SECRET_KEY"),
        (["user", "a@b.example", "--database"], "set DATABASES"),
        (["import", "--model", "a.B"], "the following arguments are required"),
    ],
)
def test_a_wrong_line_ends_with_2(
    tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = SmallProject(tmp_path).manage("headgate", *arguments, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith("usage: manage.py headgate")
    assert said in done.stderr


def test_djangos_own_options_may_come_last(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.write("mysite/other.py", "from .settings import *\nHEADGATE = {'X': 1}\n")
    told = project.manage("headgate", "serve", "--settings=mysite.other", code=1).stderr
    assert "HEADGATE has no key 'X'" in told
    where = ["--skip-checks", "--settings", "mysite.other", "--no-color"]
    told = project.manage("headgate", "serve", "--port", "0", *where, code=6).stderr
    assert "HEADGATE has no key 'X'" in told


def test_settings_without_an_application(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.add("mysite/settings.py", "\ndel ASGI_APPLICATION\n")
    told = project.manage("headgate", "serve", "--port", 0, code=6).stderr
    assert 'Set ASGI_APPLICATION = "mysite.asgi.application"' in told


def test_from_code_errors_are_djangos() -> None:
    with pytest.raises(CommandError, match="is no port from 0 to 65535"):
        call_command("headgate", "serve", "--port", "x")


@pytest.mark.django_db
def test_from_code_its_output_can_be_had() -> None:
    err = io.StringIO()
    options = ["--model", "old_chat.Nothing", "--text-field", "x", "--room", "y"]
    with pytest.raises(SystemExit) as ended:
        call_command("headgate", "import", *options, stderr=err)
    assert ended.value.code == 2
    assert "There is no model 'old_chat.Nothing'" in err.getvalue()


# --- user ---


def test_user_of_a_model_with_another_name_field(project: SmallProject) -> None:
    password = f"{secrets.token_urlsafe()}\n"
    given = ("headgate", "user", "ada@example.org")
    made = project.manage(*given, "--staff", given=password, code=0)
    assert made.stdout == "ada@example.org can sign in.\n"
    again = project.manage(*given, given=password, code=2)
    assert "already exists" in again.stderr
    found = project.shell(
        "from django.contrib.auth import authenticate\n"
        "from headgate.chat.people import actor_for\n"
        f"user = authenticate(username='ada@example.org', password={password[:-1]!r})\n"
        "found = [user.is_staff, user.is_superuser, actor_for(user).name]"
    )
    # What somebody signs in with is shown to nobody.
    assert found == [True, True, "User 1"]


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("ada", "a long enough one", "email: Enter a valid email address."),
        ("", "a long enough one", "email: This field cannot be blank."),
        ("ada@example.org", "short", "too short"),
        ("ada@example.org", "", "too short"),
    ],
)
def test_user_that_is_not_made(
    project: SmallProject, name: str, password: str, said: str
) -> None:
    given = f"{password}\n"
    done = project.manage("headgate", "user", name, given=given, code=2)
    assert done.stdout == ""
    assert said in done.stderr


def test_user_without_tables(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    done = project.manage("headgate", "user", "a@b.example", given="x\n", code=5)
    assert "no such table: people_person" in done.stderr


# --- what has to be installed ---


def test_only_what_needs_the_servers_packages_asks_for_them(
    without_server: SmallProject,
) -> None:
    project = without_server
    project.manage("headgate", "--help", code=0)
    project.manage(
        "headgate", "user", "a@b.example", given="a long enough one\n", code=0
    )
    project.shell(
        "from app.models import Messages\n"
        "Messages.objects.create(message='hi')\nfound = 1"
    )
    fields = ["--model", "app.Messages", "--text-field", "message", "--room", "old"]
    assert "1 added" in project.manage("headgate", "import", *fields).stdout

    for verb in (["serve", "--port", "0"], ["replay", "log.csv"]):
        done = project.manage("headgate", *verb, code=6)
        assert done.stdout == ""
        assert done.stderr.startswith(f"headgate: `headgate {verb[0]}` needs ")
        assert "pip install 'headgate[server]'" in done.stderr


def test_a_module_of_the_project_that_is_missing_is_not_explained_away(
    tmp_path: Path,
) -> None:
    project = SmallProject(tmp_path)
    project.add("mysite/asgi.py", "\nimport nothing_at_all\n")
    done = project.manage("headgate", "serve", "--port", "0", code=6)
    assert "No module named 'nothing_at_all'" in done.stderr
    assert "headgate[server]" not in done.stderr
