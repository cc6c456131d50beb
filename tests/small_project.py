"""A Django project of somebody else's: e-mail login, an old chat's table, no settings
of ours but the app's. Made in a folder, and driven by its `manage.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.processes import spawn
from tests.servers import HeadgateServer

__all__ = ["ProjectServer", "SmallProject"]

_SETTINGS = """
from pathlib import Path

import dj_database_url

SECRET_KEY = "only for tests"
DEBUG = False
USE_TZ = True
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "headgate.chat",
    "headgate.web",
    "people",
    "app",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTH_USER_MODEL = "people.Person"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "mysite.urls"
ASGI_APPLICATION = "mysite.asgi.application"
STATIC_URL = "static/"
LOGIN_URL = "headgate_web:sign-in"
HEADGATE = {"GUESTS": True, "THROTTLING_ENABLED": False}
FILE = Path(__file__).parents[1] / "db.sqlite3"
DATABASES = {"default": dj_database_url.parse("DATABASE_URL" or f"sqlite:///{FILE}")}
OPTIONS = {} if "DATABASE_URL" else {"transaction_mode": "IMMEDIATE"}
DATABASES["default"].setdefault("OPTIONS", {}).update(OPTIONS)
"""

_FILES = {
    "manage.py": """
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
""",
    "mysite/__init__.py": "",
    "mysite/urls.py": """
from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("", include("headgate.urls"))]
""",
    "mysite/asgi.py": """
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = get_asgi_application()

from headgate.asgi import with_chat

application = with_chat(application)
""",
    "mysite/wsgi.py": """
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
application = get_wsgi_application()
""",
    "people/__init__.py": "",
    "people/migrations/__init__.py": "",
    "people/models.py": """
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models


class Person(AbstractBaseUser, PermissionsMixin):
    email = models.EmailField(unique=True)
    full_name = models.CharField(max_length=100, blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)

    USERNAME_FIELD = "email"
    objects = BaseUserManager()

    def get_full_name(self):
        return self.full_name
""",
    "app/__init__.py": "",
    "app/migrations/__init__.py": "",
    "app/models.py": """
from django.conf import settings
from django.db import models


class Messages(models.Model):
    message = models.TextField()
    chat_id = models.IntegerField(default=1)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL
    )
    at = models.DateTimeField(null=True)
""",
}


class SmallProject:
    """A project in a folder.

    Args:
        folder: Where it is made.
        database_url: By default SQLite, in a file of the folder.
    """

    def __init__(self, folder: Path, database_url: str | None = None) -> None:
        self.folder = folder
        self.database_url = database_url
        for name, content in _FILES.items():
            self.write(name, content)
        settings = _SETTINGS.replace("DATABASE_URL", database_url or "")
        self.write("mysite/settings.py", settings)

    def migrate(self) -> None:
        """Make the project's tables."""
        if not (self.folder / "app/migrations/0001_initial.py").exists():
            self.manage("makemigrations", "people", "app", code=0)
        self.manage("migrate", code=0)

    @property
    def environment(self) -> dict[str, str]:
        """What its processes have: not the settings of these tests."""
        own = {"DJANGO_SETTINGS_MODULE"}
        return {name: value for name, value in os.environ.items() if name not in own}

    def write(self, name: str, content: str) -> None:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def add(self, name: str, content: str) -> None:
        """Add to the end of a file."""
        path = self.folder / name
        self.write(name, path.read_text(encoding="utf-8") + content)

    def manage(
        self,
        *arguments: object,
        given: str = "",
        code: int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `manage.py`; with `code`, that is how it must end."""
        return self.run("manage.py", *arguments, given=given, code=code)

    def headgate(
        self,
        *arguments: object,
        code: int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `headgate` in the project's folder."""
        program = Path(sys.executable).with_name("headgate")
        return self._run([program, *arguments], code=code)

    def run(
        self,
        *arguments: object,
        given: str = "",
        code: int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run Python in the project's folder."""
        return self._run([sys.executable, *arguments], given=given, code=code)

    def shell(self, python: str) -> object:
        """Run code in the project, and return what it puts into `found`."""
        show = "\nimport json; print(json.dumps(found))"
        options = ("shell", "--no-imports", "--verbosity", "0", "--command")
        done = self.manage(*options, f"found = None\n{python}{show}", code=0)
        result: object = json.loads(done.stdout.splitlines()[-1])
        return result

    def _run(
        self, command: Sequence[object], *, given: str = "", code: int | None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            list(map(str, command)),
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            cwd=self.folder,
            env=self.environment,
        )
        if code is not None and done.returncode != code:
            raise AssertionError(
                f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done


class ProjectServer(HeadgateServer):
    """A server of a small project: a command of its own, on a free port."""

    def __init__(self, project: SmallProject, command: Sequence[object]) -> None:
        super().__init__(project.folder / "server")
        self._project = project
        self._command = command

    def _spawn(self) -> None:
        self._output_name = "server"
        with (
            self._output("out").open("wb") as out,
            self._output("err").open("wb") as err,
        ):
            self._process = spawn(
                [*self._command, "--port", self._port],
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                cwd=self._project.folder,
                env=self._project.environment | {"PYTHONUNBUFFERED": "1"},
            )
