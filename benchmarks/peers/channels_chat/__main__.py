"""Run the plain chat: python -m benchmarks.peers.channels_chat --port N --data DIR."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import uvicorn


def main() -> None:
    """Migrate the database and serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.channels_chat")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument(
        "--tuned", action="store_true", help="SQLite as Headgate has it"
    )
    options = parser.parse_args()
    options.data.mkdir(parents=True, exist_ok=True)
    os.environ["CHANNELS_CHAT_DATA"] = str(options.data)
    os.environ["CHANNELS_CHAT_TUNED"] = "yes" if options.tuned else ""
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.peers.channels_chat.settings"

    from django.core.management import call_command

    from benchmarks.peers.channels_chat.asgi import application

    call_command("migrate", verbosity=0)
    config = uvicorn.Config(
        application,
        port=options.port,
        loop="uvloop",
        ws="websockets-sansio",
        lifespan="off",
        log_level="warning",
    )
    print(f"Listening on http://127.0.0.1:{options.port}", flush=True)
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
