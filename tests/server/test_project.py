"""A project of somebody else's served by `headgate serve --app` and `manage.py`."""

from __future__ import annotations

import json
import sys
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from websockets.asyncio.client import connect as aconnect
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from headgate.server.cli import main
from headgate.server.exits import CannotStart
from headgate.server.setup import telling_of_the_database
from tests.server.conftest import ServeProject
from tests.servers import HeadgateServer
from tests.small_project import SmallProject

APP = "mysite.asgi:application"
HEADGATE = Path(sys.executable).with_name("headgate")
BY_APP = (HEADGATE, "serve", "--app", APP)
BY_MANAGE = (sys.executable, "manage.py", "headgate", "serve")


def get(server: HeadgateServer, path: str) -> tuple[int, str]:
    with closing(HTTPConnection(urlsplit(server.url).netloc, timeout=30)) as http:
        http.request("GET", path)
        answer = http.getresponse()
        return answer.status, answer.read().decode()


def make_room(project: SmallProject) -> None:
    project.shell(
        "from headgate.chat.models import Room\n"
        "Room.objects.create(slug='orders', title='Orders')"
    )


@pytest.mark.parametrize("command", [BY_APP, BY_MANAGE], ids=["app", "manage"])
def test_a_project_is_served_with_its_chat_and_its_pages(
    project: SmallProject,
    serve_project: ServeProject,
    command: tuple[object, ...],
) -> None:
    make_room(project)
    server = serve_project(project, command)

    with connect(f"{server.ws_url}/ws/chat/orders/") as one:
        one.send(json.dumps({"message": "Order 7 has left the house."}))
        assert json.loads(one.recv(timeout=30))["seq"] == 1
    assert get(server, "/healthz") == (200, "ok\n")
    assert get(server, "/readyz") == (200, "ok\n")
    assert get(server, "/admin/login/")[0] == 200
    assert get(server, "/nowhere/")[0] == 404
    assert server.stop() == 0
    assert server.stderr == ""
    assert server.stdout.count("\n") == 1
    # The message stands in the project's own database, and there is no data folder.
    found = project.shell(
        "from headgate.chat.models import Message\n"
        "found = list(Message.objects.values_list('text', flat=True))"
    )
    assert found == ["Order 7 has left the house."]
    assert not (project.folder / "headgate-data").exists()


_ROUTER = """
class Router:
    def db_for_read(self, model, **_):
        return "chat" if model._meta.app_label.startswith("headgate_") else None

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, **_):
        return (db == "chat") == app_label.startswith("headgate_")
"""
_TWO_DATABASES = """
DATABASES["chat"] = dj_database_url.parse(f"sqlite:///{FILE.with_name('chat.sqlite3')}")
DATABASE_ROUTERS = ["mysite.router.Router"]
"""


def test_a_chat_may_have_a_database_of_its_own(
    tmp_path: Path, serve_project: ServeProject
) -> None:
    project = SmallProject(tmp_path)
    project.write("mysite/router.py", _ROUTER)
    project.add("mysite/settings.py", _TWO_DATABASES)
    project.migrate()
    said = fails(project, 5)
    assert "missing: 0001_initial" in said
    assert "Run `python manage.py migrate --database chat`" in said
    project.manage("migrate", "--database", "chat", code=0)
    make_room(project)
    server = serve_project(project, BY_APP)

    with connect(f"{server.ws_url}/ws/chat/orders/") as one:
        one.send(json.dumps({"message": "Order 7 has left the house."}))
        assert json.loads(one.recv(timeout=30)).get("seq") == 1
        # What another process writes is seen by comparing heads.
        project.shell(
            "import headgate\nfrom headgate.chat.people import SYSTEM\n"
            "headgate.send_message('orders', SYSTEM, 'Order 8, too.')"
        )
        heard = [json.loads(one.recv(timeout=30)) for _ in range(2)]
    assert [each["seq"] for each in heard] == [1, 2]


async def test_it_drains_with_1012(
    project: SmallProject, serve_project: ServeProject
) -> None:
    make_room(project)
    server = serve_project(project, BY_APP)
    async with aconnect(f"{server.ws_url}/ws/chat/orders/") as one:
        await one.send(json.dumps({"message": "hi"}))
        await one.recv()
        assert server.stop() == 0
        with suppress(ConnectionClosed):
            while True:
                await one.recv()
    assert one.close_code == 1012


def test_frames_go_out_ready_made(
    project: SmallProject, serve_project: ServeProject
) -> None:
    """The fast way out is offered to the project's application as well."""
    project.add(
        "mysite/asgi.py",
        "\nchat = application\n\n"
        "async def application(scope, receive, send):\n"
        "    if scope['type'] == 'websocket':\n"
        "        print(sorted(scope['extensions']), flush=True)\n"
        "    await chat(scope, receive, send)\n",
    )
    make_room(project)
    server = serve_project(project, BY_APP)
    with connect(f"{server.ws_url}/ws/chat/orders/") as one:
        one.send(json.dumps({"message": "hi"}))
        one.recv(timeout=30)
    assert "headgate.ready_frames" in server.stdout


def test_a_throttle_around_the_chat_counts_every_message(
    project: SmallProject, serve_project: ServeProject
) -> None:
    project.add("mysite/settings.py", "\nHEADGATE = {'GUESTS': True}\n")
    project.add(
        "mysite/asgi.py",
        "\nfrom headgate.contrib.asgi import ThrottleMiddleware\n\n"
        "application = ThrottleMiddleware(application, '3/day', key='address')\n",
    )
    make_room(project)
    server = serve_project(project, BY_APP)
    url = f"{server.ws_url}/ws/chat/orders/"
    with connect(url) as one, suppress(ConnectionClosed):
        for number in range(8):
            one.send(json.dumps({"message": str(number)}))
        while True:
            one.recv(timeout=30)
    assert (one.close_code, one.close_reason) == (4000, "Rate limit exceeded.")
    assert server.stop() == 0
    found = project.shell(
        "from headgate.chat.models import Message\n"
        "found = list(Message.objects.order_by('seq').values_list('text', flat=True))"
    )
    assert found == ["0", "1", "2"]


def test_demo_rooms_are_made_where_they_are_wanted(
    project: SmallProject, serve_project: ServeProject
) -> None:
    server = serve_project(project, [*BY_APP, "--demo"])
    with connect(f"{server.ws_url}/ws/chat/help/") as one:
        one.send(json.dumps({"message": "hi"}))
        assert json.loads(one.recv(timeout=30))["seq"] == 1


def test_its_lifespan_is_run(
    project: SmallProject, serve_project: ServeProject
) -> None:
    project.add(
        "mysite/asgi.py",
        "\nchat = application\n\n"
        "async def application(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        for part in 'startup', 'shutdown':\n"
        "            await receive()\n"
        "            open(part, 'w').close()\n"
        "            await send({'type': f'lifespan.{part}.complete'})\n"
        "    else:\n"
        "        await chat(scope, receive, send)\n",
    )
    server = serve_project(project, BY_APP)
    assert (project.folder / "startup").exists()
    assert not (project.folder / "shutdown").exists()
    assert server.stop() == 0
    assert (project.folder / "shutdown").exists()


def test_a_lifespan_that_fails_ends_it(project: SmallProject) -> None:
    project.write(
        "mysite/asgi.py",
        "from mysite.chat import application as chat\n\n"
        "async def application(scope, receive, send):\n"
        "    if scope['type'] == 'lifespan':\n"
        "        await receive()\n"
        "        why = 'no disk'\n"
        "        await send({'type': 'lifespan.startup.failed', 'message': why})\n"
        "    else:\n"
        "        await chat(scope, receive, send)\n",
    )
    project.write("mysite/chat.py", _ASGI)
    said = fails(project, 6)
    assert "no disk" in said
    assert "headgate: The application refused to start" in said


_ASGI = """
import os
from django.core.asgi import get_asgi_application
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
django = get_asgi_application()
from headgate.asgi import with_chat
application = with_chat(django)
"""


# --- what cannot be served says why, and with which code ---


def fails(
    project: SmallProject, code: int, app: str = APP, *, traceback: bool = False
) -> str:
    """Serve what cannot be served; return what is said on stderr."""
    done = project.headgate("serve", "--port", 0, "--app", app, code=code)
    assert done.stdout == ""
    assert ("Traceback" in done.stderr) is traceback
    assert "headgate: " in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("nowhere.asgi:application", "There is no module 'nowhere'"),
        ("mysite.asgy:application", "There is no module 'mysite.asgy'"),
        ("mysite.asgi:app", "mysite.asgi has no 'app'"),
        ("mysite.asgi:application.chat", "mysite.asgi has no 'application.chat'"),
        ("mysite.asgi:os.name", "is no ASGI application: 'posix'"),
        ("mysite.wsgi:application", "is a WSGI application"),
        ("mysite.plain:application", "Django's own application, which serves no"),
        ("mysite.bare:application", "does not set Django up"),
    ],
)
def test_an_application_that_is_none(tmp_path: Path, app: str, said: str) -> None:
    project = SmallProject(tmp_path)
    project.write("mysite/plain.py", _ASGI.replace("with_chat(django)", "django"))
    project.write("mysite/bare.py", "async def application(*asgi): pass")
    assert said in fails(project, 6, app)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ValueError('no such vault')", "ValueError: no such vault"),
        ("import nothing_at_all", "No module named 'nothing_at_all'"),
        ("from mysite import nothing", "cannot import name 'nothing'"),
    ],
)
def test_an_application_that_raises(tmp_path: Path, code: str, said: str) -> None:
    project = SmallProject(tmp_path)
    project.add("mysite/asgi.py", f"\n{code}\n")
    told = fails(project, 6, traceback=True)
    assert "headgate: Importing mysite.asgi failed: " in told
    assert said in told.splitlines()[-1]
    # The traceback begins where the project's own code does.
    assert told.splitlines()[1].strip().startswith('File "')
    assert "mysite/asgi.py" in told.splitlines()[1]


def test_a_syntax_error_shows_its_line(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.write("mysite/asgi.py", "def application(:\n")
    told = fails(project, 6)
    assert "def application(:" in told
    assert "SyntaxError" in told.splitlines()[-1]


def test_settings_that_are_missing(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    (project.folder / "mysite/settings.py").unlink()
    assert "mysite.settings" in fails(project, 6, traceback=True)


@pytest.mark.parametrize("app", [APP, "mysite.plain:application"])
def test_a_project_without_the_app(tmp_path: Path, app: str) -> None:
    project = SmallProject(tmp_path)
    project.add("mysite/settings.py", "\nINSTALLED_APPS.remove('headgate.chat')\n")
    project.add("mysite/settings.py", "\nINSTALLED_APPS.remove('headgate.web')\n")
    project.write("mysite/plain.py", _ASGI.replace("with_chat(django)", "django"))
    project.write(
        "mysite/plain.py",
        "import os\nfrom django.core.asgi import get_asgi_application\n"
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\n"
        "application = get_asgi_application()\n",
    )
    said = fails(project, 6, app)
    assert "'headgate.chat' is not among the INSTALLED_APPS of mysite.settings" in said


def test_checks_that_fail(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.add("mysite/settings.py", "\nHEADGATE = {'GUEST': True}\n")
    said = fails(project, 6)
    assert "headgate.E001" in said
    assert "HEADGATE has no key 'GUEST'" in said


_CHECK = """
from django.core.checks import register
from django.core.exceptions import ImproperlyConfigured


@register()
def check(**_):
    CODE
"""


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        (
            "raise ImproperlyConfigured('Set SHOP_KEY.')",
            6,
            "The checks of the project failed: ImproperlyConfigured: Set SHOP_KEY.",
        ),
        (
            "Messages.objects.exists()",
            5,
            "no such table: app_messages. In a project, run `python manage.py migrate`",
        ),
    ],
)
def test_a_check_that_raises_is_not_taken_for_a_database_that_is_away(
    tmp_path: Path, code: str, exit_code: int, said: str
) -> None:
    project = SmallProject(tmp_path)
    project.add("app/models.py", _CHECK.replace("CODE", code))
    told = fails(project, exit_code, traceback=exit_code == 6)
    assert said in told.splitlines()[-1]
    assert "postgres" not in told
    assert "password" not in told


def test_urls_without_patterns(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.write("mysite/urls.py", "")
    told = fails(project, 6, traceback=True).splitlines()[-1]
    assert "does not appear to have any patterns in it" in told
    assert "postgres" not in told


def test_a_driver_that_is_missing_is_named() -> None:
    def load() -> None:
        try:
            raise ModuleNotFoundError("No module named 'psycopg2'", name="psycopg2")
        except ImportError:  # as Django's backend does
            raise ImproperlyConfigured(  # noqa: B904
                "Error loading psycopg2 or psycopg module"
            )

    with pytest.raises(CannotStart) as caught, telling_of_the_database():
        load()
    assert str(caught.value).endswith(
        "module. Install what PostgreSQL needs: pip install 'headgate[postgres]'."
    )


@pytest.mark.database
@pytest.mark.django_db
def test_a_table_that_is_missing_is_to_be_made() -> None:
    with (
        pytest.raises(CannotStart) as caught,
        telling_of_the_database(),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT 1 FROM app_nothing")
    (said,) = str(caught.value).splitlines()
    assert "app_nothing" in said
    assert said.endswith(". In a project, run `python manage.py migrate`.")
    assert "password" not in said


def test_tables_that_are_missing_are_not_made(tmp_path: Path) -> None:
    project = SmallProject(tmp_path)
    project.manage("makemigrations", "people", "app", code=0)
    said = fails(project, 5)
    assert "missing: 0001_initial" in said
    assert "python manage.py migrate" in said
    project.manage("migrate", "headgate_chat", "0001", code=0)
    said = fails(project, 5)
    assert "0001_initial" not in said
    tables = project.shell(
        "from django.db import connection\n"
        "found = connection.introspection.table_names()"
    )
    assert isinstance(tables, list)
    assert "headgate_chat_room" in tables
    assert "headgate_chat_accesschange" not in tables


def test_migrations_that_cannot_be_read(tmp_path: Path) -> None:
    """Such as the user model's, which somebody forgot to make."""
    said = fails(SmallProject(tmp_path), 6, traceback=True)
    assert "Dependency on app with no migrations: people" in said.splitlines()[-1]


def test_a_database_that_is_away(tmp_path: Path) -> None:
    url = "postgres://ada:secret-word@127.0.0.1:9/chat"
    project = SmallProject(tmp_path, url)
    said = fails(project, 5)
    assert "Cannot use the database at 127.0.0.1" in said
    assert "secret-word" not in said


# --- options ---


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "folder"], "set DATABASES and SECRET_KEY"),
        (["--database", "sqlite:///file"], "set DATABASES"),
        (["--guests"], "set HEADGATE"),
        (["--no-guests"], "set HEADGATE"),
        (["--origin", "https://chat.example.com"], "set ALLOWED_HOSTS"),
        (["--limit", "send=1/s"], "set HEADGATE = {'LIMITS': {…}}"),
        (["--redis", "redis://127.0.0.1"], "set HEADGATE = {'REDIS': …}"),
        (["--trusted-proxies", "1"], "set HEADGATE = {'TRUSTED_PROXIES': …}"),
    ],
)
def test_options_that_settings_stand_for(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--app", APP, *arguments])
    assert ended.value.code == 2
    by_app = capsys.readouterr().err
    project = SmallProject(tmp_path)
    done = project.manage("headgate", "serve", *arguments, code=2)
    for told in (by_app, done.stderr):
        assert said in told
        assert "a project's settings rule" in told
    assert arguments[0] not in project.manage("headgate", "serve", "--help").stdout


@pytest.mark.parametrize(
    "app", ["mysite.asgi", "mysite/asgi.py:application", "mysite.asgi:", ":x", "a:b:c"]
)
def test_an_app_that_is_no_name(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--app", app])
    assert ended.value.code == 2
    assert "is no MODULE:NAME" in capsys.readouterr().err
