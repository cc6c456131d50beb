"""The API keeps to its own description: schemathesis against a real server.

No answer of 500 and above, none that the description does not name, none that differs
from it; what fits the description is taken, and what does not is refused.
`make soak` tries ten times as much.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve
from tests.e2e.accounts import PASSWORD, make_account
from tests.servers import HeadgateServer

SCHEMATHESIS = Path(sys.executable).with_name("st")
CONFIG = Path(__file__).with_name("schemathesis.toml")
SOAK = "HEADGATE_SOAK" in os.environ
EXAMPLES = 300 if SOAK else 30  # for each operation
PHASES = "examples,coverage,fuzzing" + (",stateful" if SOAK else "")
LIMIT_SECONDS = 3600 if SOAK else 900


def hold_to_its_description(
    server: HeadgateServer, tmp_path: Path, headers: dict[str, str]
) -> None:
    """Run schemathesis with these headers in every request."""
    given = [f"--header={name}: {value}" for name, value in headers.items()]
    done = subprocess.run(
        [
            SCHEMATHESIS,
            f"--config-file={CONFIG}",
            "--no-color",
            "run",
            f"{server.url}/api/v1/openapi.json",
            f"--max-examples={EXAMPLES}",
            f"--phases={PHASES}",
            "--checks=all",
            # Takes the `id` of a command for that of the message which it makes.
            "--exclude-checks=ensure_resource_availability",
            "--generation-deterministic",
            "--generation-allow-x00=false",  # which no schema can forbid in `data`
            "--continue-on-failure",
            "--suppress-health-check=all",
            *given,
        ],
        cwd=tmp_path,
        env=os.environ
        | {"SCHEMATHESIS_HOOKS": "tests.chat.http.schema_hooks"}
        | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "26 selected / 26 total" in done.stdout
    assert "Traceback" not in server.stderr


def write(server: HeadgateServer, headers: dict[str, str]) -> None:
    """Fill the room that the description's examples name, and delete something."""
    room = f"{server.url}/api/v1/rooms/general/messages"
    with httpx.Client(headers=headers) as client:
        for number in range(60):
            said = {"text": f"message {number}", "data": {"number": number}}
            client.post(room, json=said).raise_for_status()
        client.patch(f"{room}/7", json={"text": "edited"}).raise_for_status()
        client.delete(f"{room}/8").raise_for_status()


@pytest.mark.timeout(LIMIT_SECONDS + 30)
def test_for_a_guest(serve: Serve, tmp_path: Path) -> None:
    server = serve("--guests")
    connected = httpx.post(f"{server.url}/api/v1/connect", json={}).json()
    guest = {"Headgate-Guest": connected["guest"]}
    write(server, guest)

    hold_to_its_description(server, tmp_path, guest)


@pytest.mark.timeout(LIMIT_SECONDS + 30)
def test_for_somebody_signed_in(serve: Serve, tmp_path: Path) -> None:
    server = serve("--guests")
    make_account(server, "ada")
    with httpx.Client(base_url=server.url) as browser:
        browser.get("/sign-in/")
        form = {"username": "ada", "password": PASSWORD}
        token = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        browser.post("/sign-in/", data=form | token)
        signed_in = {
            "Cookie": "; ".join(f"{k}={v}" for k, v in browser.cookies.items()),
            "X-CSRFToken": browser.cookies["csrftoken"],
        }
    write(server, signed_in)

    hold_to_its_description(server, tmp_path, signed_in)
