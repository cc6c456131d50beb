"""The limits that the how-to shows let through what it says."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import Settings

from headgate.chat.limit_checks import check_limits, check_raised_limits
from headgate.chat.models import Event, LimitOverride, Room
from headgate.chat.overrides import overrides
from headgate.testing.limits_clock import LimitsClock
from tests.chat.talker import Talker, Talkers, in_thread, talk_fixture  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.limits]

PAGE = Path(__file__).parents[2] / "docs/how-to/limits.md"
ROW = re.compile(r"^\| `(.+)` \| `(.+)` \|$", re.MULTILINE)
SECONDS = 30


@pytest.fixture(autouse=True)
def _limited(settings: Settings, limits_clock: LimitsClock) -> None:
    settings.HEADGATE = {}
    overrides().outdate()


def section(title: str) -> str:
    """Return what the page says under a heading."""
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def block(language: str, title: str) -> str:
    """Return the first code of that language under a heading."""
    begin = f"\n```{language}\n"
    return section(title).partition(begin)[2].partition("\n```\n")[0]


def settings_shown() -> dict[str, Any]:
    """Return the first settings under "For everybody"."""
    made: dict[str, Any] = {}
    exec(block("python", "For everybody"), made)
    return dict(made["HEADGATE"])


async def send_steadily(
    talker: Talker, clock: LimitsClock, each_second: int
) -> tuple[int, int]:
    """Send for half a minute; return how many were sent and how many saved."""
    sent = each_second * SECONDS
    for n in range(sent):
        await talker.ask("send", room="general", text=f"m{n}")
        clock.advance(1 / each_second)
    return sent, int(await in_thread(Event.objects.count))


async def test_for_everybody(
    talk: Talkers, room: Room, ada: User, settings: Settings, limits_clock: LimitsClock
) -> None:
    settings.HEADGATE = settings_shown()
    assert [*check_limits(), *check_raised_limits()] == []

    sent, saved = await send_steadily(await talk(ada), limits_clock, 2)
    assert saved == sent


def test_the_command_line_sets_the_same() -> None:
    words = shlex.split(block("sh", "For everybody"))
    options = [value for name, value in pairwise(words) if name == "--limit"]

    assert dict(each.split("=") for each in options) == settings_shown()["LIMITS"]


async def test_for_one_person(
    talk: Talkers, room: Room, ada: User, limits_clock: LimitsClock
) -> None:
    rows = ROW.findall(section("For one person"))
    assert dict(rows)["send"] == "10/s"
    for policy, rate in rows:
        await in_thread(
            LimitOverride.objects.create, user=ada, policy=policy, rate=rate
        )

    sent, saved = await send_steadily(await talk(ada), limits_clock, 10)
    assert saved == sent
