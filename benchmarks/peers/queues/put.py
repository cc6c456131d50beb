"""Put calls into a queue: python -m benchmarks.peers.queues.put celery 1000."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.peers.queues.call import arguments


def main() -> None:
    """Put them in, and end."""
    queue, count = sys.argv[1], int(sys.argv[2])
    if queue == "celery":
        from benchmarks.peers.queues.on_celery import call

        for number in range(count):
            call.delay(**arguments(number))
    else:
        asyncio.run(_procrastinate(count))


async def _procrastinate(count: int) -> None:
    from benchmarks.peers.queues.on_procrastinate import app, call

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for begin in range(0, count, 1000):
            numbers = range(begin, min(begin + 1000, count))
            await call.batch_defer_async(*map(arguments, numbers))


if __name__ == "__main__":
    main()
