"""A project's own ASGI application, found and looked over before it is served.

The project's settings rule, and its database is the project's: nothing is configured
here and nothing migrated. Whatever is wrong raises `CannotStart` with what to do.
"""

from __future__ import annotations

import contextlib
import importlib
import traceback
from collections.abc import Iterator
from functools import reduce
from typing import Any

from headgate.server.exits import EXIT_DATABASE, EXIT_PROJECT, CannotStart

__all__ = ["application_setting", "check_migrated", "project_application"]

_CHAT = "headgate.chat"
_WITH_TABLES = (_CHAT, "headgate.outbound")
_MOUNT = (
    "Write into its file: from headgate.asgi import with_chat, and at the end "
    "application = with_chat(application)."
)


def application_setting() -> str:
    """Return the ASGI_APPLICATION of the settings as MODULE:NAME."""
    from django.conf import settings

    dotted = getattr(settings, "ASGI_APPLICATION", None)
    module, _, name = str(dotted or "").rpartition(".")
    if not module:
        package = str(settings.ROOT_URLCONF or "mysite").partition(".")[0]
        raise CannotStart(
            "The settings do not say what to serve. Set "
            f'ASGI_APPLICATION = "{package}.asgi.application" there, or give '
            f"--app {package}.asgi:application.",
            EXIT_PROJECT,
        )
    return f"{module}:{name}"


def project_application(app: str) -> Any:
    """Return the application MODULE:NAME of a project that is ready for the chat.

    Importing it sets Django up, as every `asgi.py` does.
    """
    module, _, name = app.partition(":")
    found = _attribute(_module(module), app, name)
    _check_installed(app)
    _check_kind(app, found)
    _check_project()
    check_migrated()
    return found


# --- the application ---


def _module(name: str) -> Any:
    try:
        with _telling_of_the_project(f"Importing {name} failed"):
            return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        raise CannotStart(
            f"There is no module {exc.name!r}. Call this in the folder that "
            f"{name.partition('.')[0]!r} is in, or check the name.",
            EXIT_PROJECT,
        ) from exc


@contextlib.contextmanager
def _telling_of_the_project(what: str) -> Iterator[None]:
    """Raise what the project's code raises as `CannotStart`, after its traceback.

    A module that is not there at all is raised as it is.
    """
    try:
        yield
    except CannotStart:
        raise
    except ModuleNotFoundError as exc:
        if _own_frames(exc) is None:
            raise
        raise _failed(what, exc) from exc
    except Exception as exc:
        if _chat_is_missing():
            # Its models cannot be imported then, and say so in Django's words.
            raise _not_installed() from exc
        raise _failed(what, exc) from exc


def _failed(what: str, exc: Exception) -> CannotStart:
    shown = exc.with_traceback(_own_frames(exc))
    traceback.print_exception(shown)
    return CannotStart(f"{what}: {type(exc).__name__}: {exc}", EXIT_PROJECT)


def _own_frames(exc: Exception) -> Any:
    """Return an error's traceback from the project's code on; None without any."""
    frames = exc.__traceback__
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if file not in {__file__, contextlib.__file__, importlib.__file__} and (
            not file.startswith("<frozen importlib")
        ):
            break
        frames = frames.tb_next
    return frames


def _attribute(module: Any, app: str, name: str) -> Any:
    try:
        found = reduce(getattr, name.split("."), module)
    except AttributeError as exc:
        raise CannotStart(
            f"{app}: {module.__name__} has no {name!r}. Give the name of the ASGI "
            "application in that module; Django calls it 'application'.",
            EXIT_PROJECT,
        ) from exc
    if not callable(found):
        raise CannotStart(f"{app} is no ASGI application: {found!r}.", EXIT_PROJECT)
    return found


def _check_kind(app: str, application: Any) -> None:
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler

    if isinstance(application, WSGIHandler):
        raise CannotStart(
            f"{app} is a WSGI application, which cannot serve WebSockets. Give the "
            "ASGI application of the project, mostly in its asgi.py.",
            EXIT_PROJECT,
        )
    if isinstance(application, ASGIHandler):
        raise CannotStart(
            f"{app} is Django's own application, which serves no WebSockets. {_MOUNT}",
            EXIT_PROJECT,
        )


# --- the project ---


def _check_installed(app: str) -> None:
    from django.apps import apps

    if not apps.ready:
        raise CannotStart(
            f"Importing {app} does not set Django up. Its file has to call "
            "get_asgi_application() of django.core.asgi.",
            EXIT_PROJECT,
        )
    if _chat_is_missing():
        raise _not_installed()


def _chat_is_missing() -> bool:
    from django.apps import apps

    return apps.ready and not apps.is_installed(_CHAT)


def _not_installed() -> CannotStart:
    from django.conf import settings

    return CannotStart(
        f"{_CHAT!r} is not among the INSTALLED_APPS of {settings.SETTINGS_MODULE}. "
        "Add it there, and 'headgate.web' for the page; then run "
        "`python manage.py migrate`.",
        EXIT_PROJECT,
    )


def _check_project() -> None:
    """Run Django's checks, which `manage.py` runs before each command."""
    from django.core import checks

    from headgate.server.setup import telling_of_the_database

    with (
        _telling_of_the_project("The checks of the project failed"),
        telling_of_the_database(),
    ):
        found = checks.run_checks(databases=["default", *_own_apps()])
    wrong = [each for each in found if each.is_serious() and not each.is_silenced()]
    if wrong:
        raise CannotStart(
            "The project has mistakes, which `python manage.py check` shows too.\n"
            + "\n".join(map(str, wrong)),
            EXIT_PROJECT,
        )


def check_migrated() -> None:
    """Look, without migrating, whether our tables are as they must be."""
    for alias, own in _own_apps().items():
        _check_migrated(alias, own)


def _own_apps() -> dict[str, dict[str, str]]:
    """Return our apps' names by their labels, by the alias of their database."""
    from django.apps import apps
    from django.db import router

    found: dict[str, dict[str, str]] = {}
    for app in apps.get_app_configs():
        if app.name in _WITH_TABLES:
            alias = router.db_for_write(next(iter(app.get_models())))
            found.setdefault(alias, {})[app.label] = app.name
    return found


def _check_migrated(alias: str, own: dict[str, str]) -> None:
    from django.db import DEFAULT_DB_ALIAS, connections
    from django.db.migrations.executor import MigrationExecutor

    from headgate.server.setup import telling_of_the_database

    with (
        _telling_of_the_project("The migrations of the project cannot be read"),
        telling_of_the_database(alias),
    ):
        executor = MigrationExecutor(connections[alias])
        leaves = [x for label in own for x in executor.loader.graph.leaf_nodes(label)]
        plan = [step for step, _ in executor.migration_plan(leaves)]
    missing = [step for step in plan if step.app_label in own]
    if missing:
        names = ", ".join(step.name for step in missing)
        behind = " and ".join(sorted({own[step.app_label] for step in missing}))
        there = "" if alias == DEFAULT_DB_ALIAS else f" --database {alias}"
        raise CannotStart(
            f"The tables of {behind} are not up to date; missing: {names}. "
            f"Run `python manage.py migrate{there}`: a project's database is never "
            "migrated by itself.",
            EXIT_DATABASE,
        )
