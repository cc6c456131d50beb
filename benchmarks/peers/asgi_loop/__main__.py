"""Run the bare loop: python -m benchmarks.peers.asgi_loop --port N."""

from __future__ import annotations

import argparse

import uvicorn

from benchmarks.peers.asgi_loop.app import application


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.asgi_loop")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    config = uvicorn.Config(
        application,
        port=options.port,
        loop="uvloop",
        ws="websockets-sansio",
        lifespan="off",
        log_level="warning",
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
