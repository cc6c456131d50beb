from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headgate.server.replay import add_arguments, main

Replay = Callable[..., tuple[int, dict[str, Any]]]


def options_of(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="headgate replay")
    add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


@pytest.fixture
def chat_log(tmp_path: Path) -> Path:
    """600 messages by 40 people, some of whom say much at once."""
    lines = ["t_ms,author,bytes"]
    for row in range(600):
        author = row // 7 % 11 if row % 3 else row % 40
        lines.append(f"{row * 2},{author + 1},{1 + row * 7 % 90}")
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def replay(chat_log: Path, capsys: pytest.CaptureFixture[str]) -> Replay:
    """Replay the log; give the exit code and the report."""

    def replay(url: str, *more: object) -> tuple[int, dict[str, Any]]:
        code = main(
            options_of(
                chat_log,
                *("--url", url),
                *("--watchers", 8),
                *("--senders", 6),
                *("--speed", 4),
                *("--timeout-seconds", 1),
                "--json",
                *more,
            )
        )
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else {"err": printed.err}

    return replay
