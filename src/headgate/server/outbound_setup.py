"""Whether this process calls services, and what is said about it at the start."""

from __future__ import annotations

import sys
import time

from headgate.server.exits import EXIT_PROJECT, EXIT_USAGE, CannotStart
from headgate.server.options import ServeOptions

__all__ = ["calls_services", "check_can_call", "has_services", "told_of_worker"]

SEEN_SECONDS = 600.0  # after which a worker that finished nothing counts as none


def has_services() -> bool:
    """Return whether the app of services is installed."""
    from django.apps import apps

    return apps.is_installed("headgate.outbound")


def check_can_call() -> None:
    """Raise `CannotStart` where what calls webhooks is not installed."""
    from headgate.outbound.senders import NEEDED, can_call

    if not can_call():
        raise CannotStart(
            f"Calling services needs {NEEDED}, which is not installed: "
            "pip install 'headgate[outbound]'.",
            EXIT_USAGE,
        )


def calls_services(options: ServeOptions, *, number: int) -> bool:
    """Return whether a process that serves is to call services, too.

    By default it is so on SQLite, where there is one machine and one server. Where it
    is not, and something waits for it, that is said on stderr.

    Args:
        options: Of the server.
        number: The worker's; 1 where one process serves alone.

    Raises:
        CannotStart: It was asked for, and cannot be.
    """
    from django.db import connections, router

    asked = options.worker is True
    if not has_services():
        if asked:
            raise CannotStart(
                "--worker needs 'headgate.outbound' among the INSTALLED_APPS. Add it "
                "there, and run `python manage.py migrate`.",
                EXIT_PROJECT,
            )
        return False
    if asked:
        check_can_call()
    if number != 1:
        return False
    from headgate.outbound.models import Destination
    from headgate.outbound.senders import can_call

    alias = router.db_for_write(Destination)
    on_sqlite = connections[alias].vendor == "sqlite"
    wanted = on_sqlite if options.worker is None else options.worker
    if wanted and can_call():
        _look_at_handlers(alias)
        return True
    _tell_what_waits(installed=can_call(), verb=_verb(options))
    return False


def told_of_worker() -> str:
    """Return the line that `headgate worker` begins with."""
    from django.db import connections, router

    from headgate.outbound.models import Destination
    from headgate.server.setup import telling_of_the_database

    alias = router.db_for_write(Destination)
    _look_at_handlers(alias)
    with telling_of_the_database(alias):
        count = Destination.objects.filter(enabled=True).count()
        connection = connections[alias]
        where = connection.settings_dict
        place = str(where["NAME"])
        if connection.vendor != "sqlite":
            place = f"{place} at {where.get('HOST') or 'localhost'}"
    services = "1 service" if count == 1 else f"{count} services"
    return f"Headgate worker calls {services}, as {place} says. Ctrl-C ends it."


def _look_at_handlers(alias: str) -> None:
    """Make the destinations of the project's functions, and say what is amiss."""
    from django.db import connections

    from headgate.chat.conf import conf
    from headgate.outbound.bots import bots_with_budgets
    from headgate.outbound.registry import known
    from headgate.outbound.taken_names import log_taken_names
    from headgate.server.setup import telling_of_the_database

    with telling_of_the_database(alias):
        known(connections[alias], keep=False)
        log_taken_names(alias)
    names = bots_with_budgets()
    if names and connections[alias].vendor != "sqlite" and conf().REDIS is None:
        print(
            f"headgate: the budgets of bots ({', '.join(names)}) are counted in this "
            "process alone, so a second worker would grant them again. Set "
            "HEADGATE = {'REDIS': …} before you start one.",
            file=sys.stderr,
        )


def _tell_what_waits(*, installed: bool, verb: str) -> None:
    """Say on stderr that nobody seems to make the calls that are owed."""
    from headgate.outbound.models import Delivery, Destination
    from headgate.server.setup import telling_of_the_database

    with telling_of_the_database():
        if not Destination.objects.filter(enabled=True).exists():
            return
        lately = time.time() - SEEN_SECONDS
        if Delivery.objects.filter(
            state=Delivery.State.DONE, finished_at__gt=lately
        ).exists():
            return
    how = f"Start `{verb} worker`, or give --worker to this server."
    if not installed:
        how = f"Install what calls them: pip install 'headgate[outbound]'. {how}"
    print(
        "headgate: there are services to be told, and in the last "
        f"{SEEN_SECONDS / 60:g} minutes none was: what is owed waits. {how}",
        file=sys.stderr,
    )


def _verb(options: ServeOptions) -> str:
    return "manage.py headgate" if options.project else "headgate"
