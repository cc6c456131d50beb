"""A function whose destination's name is another's is not called, and that is said."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.db import connection

import headgate
from headgate.chat import hooks
from headgate.chat.hooks import RoomEvent
from headgate.outbound import bots, checks
from headgate.outbound.models import Destination
from headgate.outbound.taken_names import log_taken_names, taken_names
from headgate.server.options import ServeOptions
from headgate.server.outbound_setup import calls_services, told_of_worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture(autouse=True)
def _no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bots, "_bots", {})
    monkeypatch.setattr(hooks, "_owed", {})


def make_bot(name: str, **more: Any) -> None:
    @headgate.bot(name, **more)
    async def answer(message: RoomEvent, history: Any, reply: Any) -> None: ...


def test_names_of_their_own_are_not_taken() -> None:
    make_bot("helper")
    assert taken_names("default") == {}
    assert told_of_worker().startswith("Headgate worker calls 1 service, ")
    assert Destination.objects.get().handler == "bot:helper"
    assert taken_names("default") == {}


def test_a_webhook_has_the_name_already(caplog: pytest.LogCaptureFixture) -> None:
    Destination.objects.create(name="bot-helper", url="https://crm.example/")
    make_bot("helper")
    make_bot("clerk")
    with caplog.at_level(logging.ERROR, "headgate.outbound"):
        assert calls_services(ServeOptions(worker=True), number=1)
    (line,) = caplog.messages
    assert line.startswith("handler_not_called handler=bot:helper: ")
    assert "'bot-helper'" in line
    assert "a webhook's" in line
    assert "delete that destination" in line
    assert Destination.objects.filter(handler="bot:clerk").exists()


def test_another_handler_has_the_name_already(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Destination.objects.create(name="bot-helper", kind="handler", handler="bot:old")
    make_bot("helper")
    with caplog.at_level(logging.ERROR, "headgate.outbound"):
        log_taken_names("default")
    assert "of bot:old" in caplog.text


def test_the_checks_of_the_database_say_so() -> None:
    Destination.objects.create(name="bot-helper", url="https://crm.example/")
    make_bot("helper")
    (found,) = checks.check_names(databases=["default"])
    assert (found.id, found.level) == ("headgate.W008", 30)
    assert found.msg.startswith("bot:helper: It is not called")
    assert checks.check_names() == []  # the database was not to be asked


def test_that_budgets_are_of_one_process_is_said(
    capsys: pytest.CaptureFixture[str], settings: Any
) -> None:
    make_bot("expert", limits={"user": "20/h:5"})
    make_bot("helper")
    told_of_worker()
    said = capsys.readouterr().err
    if connection.vendor == "sqlite":  # where there is one worker
        assert not said
    else:
        assert said.startswith("headgate: the budgets of bots (expert) are counted in ")
    settings.HEADGATE = {"REDIS": "redis://127.0.0.1:1"}
    told_of_worker()
    assert not capsys.readouterr().err
