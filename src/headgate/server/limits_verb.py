"""`headgate limits`: what is limited, who is refused, and resetting somebody.

On a stand-alone server's data, in a project, or without either: then it shows what
the processes of this user report.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headgate.server.exits import EXIT_DATA, EXIT_PROJECT, CannotStart
from headgate.server.options import add_data_arguments
from headgate.server.tables import print_json, print_table
from headgate.server.whose_data import set_up_here

if TYPE_CHECKING:
    from headgate.contrib.shared import LimitSettings
    from headgate.limits.reports import Reports

__all__ = ["add_arguments", "show_limits"]

_PAST = {
    "reject": "refused",
    "close": "closed",
    "drop": "dropped",
    "delay": "waits",
}
_WITHOUT_CHAT = (
    "The policies of the chat are not shown: no server's data and no project with "
    "headgate.chat is here. Name the data with --data, or call this in a project as "
    "`python manage.py headgate limits`. --who works without."
)


def add_arguments(parser: argparse.ArgumentParser, *, project: bool = False) -> None:
    """Add the options of `headgate limits`."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--who",
        action="store_true",
        help="who was refused in the last 10 minutes, in all processes",
    )
    what.add_argument(
        "--show",
        type=_text,
        metavar="KEY",
        help="what is known of u:5, of an address, or of a user's name",
    )
    what.add_argument(
        "--reset",
        type=_text,
        metavar="KEY",
        help="forget what is counted of somebody, so that they are let in again",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--redis",
        metavar="URL",
        help="the Redis in which is counted, where the settings do not say it",
    )
    add_data_arguments(parser, project=project)


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty: write u:5, an address or a name.")
    return text.strip()


def show_limits(options: argparse.Namespace) -> int:
    """Carry out `headgate limits`; return the exit code."""
    from headgate.limits.reports import ReportsUnusable

    try:
        django = set_up_here(options)
        if options.who or options.show or options.reset:
            return _people(options, django=django)
        return _policies(options, django=django)
    except CannotStart as exc:
        print(f"headgate: {exc}", file=sys.stderr)
        return exc.code
    except ReportsUnusable as exc:
        print(f"headgate: {exc}", file=sys.stderr)
        return EXIT_DATA


# --- whose limits ---


def _limit_settings(options: argparse.Namespace) -> LimitSettings:
    from headgate.contrib.shared import settings_in_force

    found = settings_in_force()
    return found if options.redis is None else replace(found, redis=options.redis)


# --- people ---


def _people(options: argparse.Namespace, *, django: bool) -> int:
    """Show or reset people."""
    from headgate.server.limited_people import LimitedPeople

    settings = _limit_settings(options)
    with _reports(settings) as found:
        people = LimitedPeople(found, names=django, as_json=options.json)
        if options.who:
            return people.who()
        if options.show:
            return people.show(options.show)
        return people.reset(options.reset)


@contextlib.contextmanager
def _reports(settings: LimitSettings) -> Iterator[Reports]:
    """Give the place of the reports, and close it."""
    from headgate.contrib.shared import reports

    try:
        found = reports(settings)
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != "redis":
            raise
        raise CannotStart(
            "Limits in Redis need its client: pip install 'headgate[redis]'.",
            EXIT_PROJECT,
        ) from exc
    try:
        yield found
    finally:
        found.close()


# --- the policies ---


def _policies(options: argparse.Namespace, *, django: bool) -> int:
    """Print the policies in force."""
    from headgate.server.limits_in_force import WORST_CASE, in_force

    found = in_force() if django else None
    settings = _limit_settings(options)
    if options.json:
        print_json(
            throttling_enabled=settings.throttling_enabled,
            http_rate=settings.http_rate,
            policies=None if found is None else found.policies,
            caps=None if found is None else found.caps,
        )
        return 0
    if not settings.throttling_enabled:
        print("Nothing is limited: THROTTLING_ENABLED is off.\n")
    if settings.http_rate is not None:
        print(f"Requests to the views of the project: {settings.http_rate}\n")
    if found is None:
        print(_WITHOUT_CHAT)
        return 0
    columns = ("policy", "rate", "burst", "most", "for each", "past it", "limits")
    print_table(columns, [_policy_row(each) for each in found.policies])
    print(f"\n{WORST_CASE}\n")
    caps = [
        (name, "off" if most is None else str(most), _CAPS.get(name, ""))
        for name, most in found.caps.items()
    ]
    print_table(("open connections", "most at once", "limits"), caps)
    return 0


_CAPS = {
    "connect.open": "connections of one person",
    "connect.address.open": "connections from one address",
}


def _policy_row(policy: dict[str, Any]) -> tuple[str, ...]:
    if policy["rate"] is None:
        return (policy["name"], "off", "", "", policy["key"], "", policy["what"])
    count_and_period = policy["rate"].partition(":")[0]
    past = _PAST[policy["past"]]
    return (
        policy["name"],
        policy["rate"],
        str(policy["burst"]),
        f"{policy['worst_case']}/{count_and_period.partition('/')[2]}",
        policy["key"],
        f"let pass (dry run of: {past})" if policy["dry_run"] else past,
        policy["what"],
    )
