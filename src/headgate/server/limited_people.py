"""People and their limits, for `headgate limits`: who is refused, what is counted.

A key is what they are counted by, such as `{u:5}/general`; all keys with the same part
in braces are one person's, and are shown and reset together.
"""

from __future__ import annotations

import contextlib
import ipaddress
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from headgate.contrib.reported import accounts_of, refused_lately, reset_key
from headgate.limits.owner import is_meant, owner_of, place_of
from headgate.limits.report_files import ReportFiles
from headgate.limits.spans import in_words
from headgate.server.exits import EXIT_FAULTS
from headgate.server.tables import print_json, print_table

if TYPE_CHECKING:
    from headgate.limits.refusals import Refused
    from headgate.limits.reports import Reports

__all__ = ["LimitedPeople"]

_Row = dict[str, Any]


class LimitedPeople:
    """Shows people's limits and resets them; each function returns the exit code.

    Args:
        reports: Where the limits are.
        names: Whether Django is set up, so that there may be names of users.
        as_json: Whether to print JSON.
    """

    def __init__(self, reports: Reports, *, names: bool, as_json: bool) -> None:
        self._reports = reports
        self._names = names
        self._as_json = as_json
        self._in_memory = isinstance(reports, ReportFiles)

    def who(self) -> int:
        """Print who was refused lately."""
        rows = self._rows(refused_lately(self._reports))
        if self._as_json:
            print_json(refused=rows)
        elif rows:
            _print_refused(rows)
        else:
            print(f"Nobody was refused in the last 10 minutes.{self._where()}")
        return 0

    def show(self, asked: str) -> int:
        """Print what is known of a key."""
        key = self._key(asked)
        refused, stored = self._refused(key), self._stored(key)
        if self._as_json:
            print_json(key=key, stored=stored, refused=refused)
        elif stored:
            columns = ("policy", "where", "left", "free again", "whole burst again")
            print_table(columns, [_stored_row(each) for each in stored])
            print()
        if refused and not self._as_json:
            _print_refused(refused)
        return self._exit_code(key, known=bool(refused or stored))

    def reset(self, asked: str) -> int:
        """Forget what is counted of a key, also where nothing is known of it here."""
        key = self._key(asked)
        known = bool(self._refused(key) or self._stored(key))
        reset_key(self._reports, key)
        if self._as_json:
            print_json(key=key, known=known)
        elif self._in_memory:
            print(
                f"{_bare(key)} is reset within about a second by each process that "
                "refuses somebody, and by others at their next refusal within an hour.",
            )
        else:
            print(f"{_bare(key)} was reset: it is let in again within a second.")
        return self._exit_code(key, known=known)

    def _exit_code(self, key: str, *, known: bool) -> int:
        if known:
            return 0
        counted = "" if self._in_memory else ", and nothing of it is counted in Redis"
        print(
            f"headgate: Nothing is known of {_bare(key)}: it was not refused in the "
            f"last 10 minutes{counted}.{self._where()}",
            file=sys.stderr,
        )
        return EXIT_FAULTS

    def _where(self) -> str:
        """Return where was looked, for whoever misses somebody."""
        if not isinstance(self._reports, ReportFiles):
            return ""
        return (
            " What is counted is in the memory of each process, and whom they refuse, "
            f"they report in {self._reports.folder}."
        )

    # --- what is known ---

    def _key(self, asked: str) -> str:
        """Return what somebody is counted as, where their user name was given."""
        if not self._names or _is_key(asked):
            return asked
        from django.apps import apps
        from django.contrib.auth import get_user_model

        from headgate.server.setup import telling_of_the_database

        if not apps.is_installed("django.contrib.auth"):
            return asked
        users: Any = get_user_model()
        by_name = {users.USERNAME_FIELD: asked}
        with telling_of_the_database():
            found = users._default_manager.filter(**by_name).first()  # noqa: SLF001 - public
        return asked if found is None else f"u:{found.pk}"

    def _refused(self, key: str) -> list[_Row]:
        """Return the refusals of a key, or of all keys of a person."""
        found = refused_lately(self._reports)
        return self._rows(each for each in found if is_meant(key, each.key))

    def _rows(self, found: Iterable[Refused]) -> list[_Row]:
        """Return refusals as JSON has them, with people's names."""
        refused = list(found)
        names: dict[str, str] = {}
        if self._names and refused:
            from headgate.server.setup import telling_of_the_database

            with telling_of_the_database():
                accounts = accounts_of({owner_of(each.key) for each in refused})
            names = {owner: user.get_username() for owner, user in accounts.items()}
        return [
            {
                "owner": owner_of(each.key),
                "name": names.get(owner_of(each.key)),
                "where": place_of(each.key),
                **each.as_dict(),
            }
            for each in refused
        ]

    def _stored(self, key: str) -> list[_Row]:
        """Return what Redis has of a key; what memory has, each process knows alone."""
        if self._in_memory:
            return []
        from headgate.limits.redis_reports import RedisReports

        if not isinstance(self._reports, RedisReports):
            return []
        rows = []
        for each in self._reports.stored(key):
            owner, where = owner_of(each.key), place_of(each.key)
            row = {
                "owner": owner,
                "where": where,
                "policy": each.policy,
                "key": each.key,
                "remaining": None,
                "free_after_seconds": None,
                "whole_burst_after_seconds": each.rested_after_us / 1_000_000,
            }
            rows.append(
                row | self._left(each.policy, owner, where, each.rested_after_us)
            )
        return rows

    def _left(self, name: str, owner: str, where: str, rested_us: int) -> _Row:
        """Return what a number means under its policy, where that is the chat's."""
        if not self._names:
            return {}
        from headgate.server.limits_in_force import policy_of
        from headgate.server.setup import telling_of_the_database

        with telling_of_the_database():
            policy = policy_of(name, owner, where)
        if policy is None:
            return {}
        wait_us = rested_us + policy.interval_us - policy.tolerance_us
        return {
            "remaining": max(policy.tolerance_us - rested_us, 0) // policy.interval_us,
            "free_after_seconds": max(wait_us, 0) / 1_000_000,
        }


def _is_key(asked: str) -> bool:
    """Return whether this can only be a key: braces, `u:5`, an address."""
    if any(each in asked for each in "{}:/"):
        return True
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(asked))
    return False


# --- in words ---


def _print_refused(rows: list[_Row]) -> None:
    now = time.time()
    columns = ("who", "name", "where", "policy", "refused", "last", "free again", "")
    print_table(columns, [_refused_row(each, now) for each in rows])


def _refused_row(row: _Row, now: float) -> tuple[str, ...]:
    free_at = row["free_at"]
    return (
        row["owner"],
        row["name"] or "",
        row["where"].removeprefix("/"),
        row["policy"],
        str(row["count"]),
        f"{in_words(now - row['last_at'])} ago",
        "never at that cost" if free_at is None else _soon(free_at - now),
        "would have been refused (dry run)" if row["dry_run"] else "",
    )


def _stored_row(row: _Row) -> tuple[str, ...]:
    remaining, wait = row["remaining"], row["free_after_seconds"]
    return (
        row["policy"],
        row["where"].removeprefix("/"),
        "?" if remaining is None else str(remaining),
        "?" if wait is None else _soon(wait),
        _soon(row["whole_burst_after_seconds"]),
    )


def _soon(seconds: float) -> str:
    return "now" if seconds <= 0 else f"in {in_words(seconds)}"


def _bare(key: str) -> str:
    return owner_of(key) if not place_of(key) else key
