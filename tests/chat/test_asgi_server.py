"""What is known of servers; what they do is in tests/e2e/test_other_servers.py."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from headgate.chat import asgi_server
from headgate.chat.asgi_server import close_code, outdated, warn_without_flow_control


def install(folder: Path, name: str, version: str) -> None:
    """Make a folder of packages have a distribution, in so far as it is named."""
    about = folder / f"{name}-{version}.dist-info"
    about.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (about / "METADATA").write_text(text, encoding="utf-8")


def test_the_servers_of_the_tests_will_do() -> None:
    assert outdated() == {}


@pytest.mark.parametrize(
    ("name", "version", "will_do"),
    [
        ("daphne", "3.0.2", False),
        ("daphne", "4.2.1", False),
        ("daphne", "4.2.2", True),
        ("daphne", "4.10", True),
        ("uvicorn", "0.52", False),
        ("uvicorn", "0.52.0", False),
        ("uvicorn", "0.52.1", True),
        ("uvicorn", "1.0.0", True),
    ],
)
def test_versions(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    version: str,
    will_do: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    install(tmp_path, name, version)
    monkeypatch.syspath_prepend(tmp_path)

    assert outdated() == ({} if will_do else {name: version})


def test_what_is_not_installed_is_not_too_old(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])

    assert outdated() == {}


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody was warned yet, in a process that has loaded both servers."""
    import daphne.server  # noqa: F401
    import uvicorn.server  # noqa: F401

    monkeypatch.setattr(asgi_server, "_told", set())


def on_daphnes_loop(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls where Daphne would make them, and return what they return."""
    from daphne.server import twisted_loop

    async def make() -> list[Any]:
        return [call() for call in calls]

    return list(twisted_loop.run_until_complete(make()))


@pytest.mark.usefixtures("untold")
def test_daphne_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    import daphne

    on_daphnes_loop(*[warn_without_flow_control] * 3)

    (record,) = caplog.records
    assert (record.name, record.levelno) == ("headgate.server", logging.WARNING)
    assert f"server=daphne version={daphne.__version__}:" in record.getMessage()


@pytest.mark.usefixtures("untold")
async def test_an_old_uvicorn_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Daphne is loaded as well, as with a place in INSTALLED_APPS."""
    warn_without_flow_control()
    assert caplog.records == []

    monkeypatch.setattr(uvicorn, "__version__", "0.52.0")
    for _ in range(3):
        warn_without_flow_control()

    first, second = caplog.records
    assert "server=uvicorn version=0.52.0:" in first.getMessage()
    assert "server=uvicorn version=0.52.0 wanted=0.52.1:" in second.getMessage()


@pytest.mark.usefixtures("untold")
def test_an_old_daphne_is_warned_of_as_such(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody runs Django's checks under `daphne mysite.asgi:application`."""
    import daphne

    monkeypatch.setattr(daphne, "__version__", "4.2.1")
    on_daphnes_loop(*[warn_without_flow_control] * 2)

    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert said == [
        "no_write_flow_control server=daphne version=4.2.1",
        "outdated_server server=daphne version=4.2.1 wanted=4.2.2",
    ]


@pytest.mark.usefixtures("untold")
async def test_codes_that_any_other_server_sends() -> None:
    assert [close_code(code) for code in (1009, 1011, 4501)] == [1009, 1011, 4501]


@pytest.mark.usefixtures("untold")
def test_codes_that_daphne_sends() -> None:
    codes = [partial(close_code, code) for code in (1009, 1011, 4501)]

    assert on_daphnes_loop(*codes) == [4500, 4002, 4501]
