"""Write messages that owe calls: python -m benchmarks.peers.queues.put_headgate.

They are written as the journal writes them, in batches of 64, into a data folder or a
database that `headgate worker` is started on afterwards.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import dj_database_url

from headgate.server.options import ServeOptions
from headgate.server.setup import set_up


def main() -> None:
    """Set up, write, and end: DATA URL-OF-DATABASE-OR-EMPTY COUNT."""
    data, url, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    database = dict(dj_database_url.parse(url)) if url else None
    set_up(ServeOptions(data=data, database=database))
    from django.db import connection, transaction

    from headgate.chat.append import append
    from headgate.chat.entries import Draft
    from headgate.chat.models import Room
    from headgate.chat.people import Actor
    from headgate.outbound.models import Destination

    room = Room.objects.create(slug="general")
    Destination.objects.create(
        name="receiver",
        url=os.environ["BENCHMARK_RECEIVER"],
        secrets=[os.environ["BENCHMARK_SECRET"]],
        events=["message"],
        rooms=["*"],
        concurrency=int(os.environ["BENCHMARK_CONCURRENCY"]),
    )
    ada = Actor("g:ada", "Ada")
    for begin in range(0, count, 64):
        drafts = [
            Draft(room.pk, ada, "x" * 64) for _ in range(begin, min(begin + 64, count))
        ]
        with transaction.atomic():
            append(connection, drafts)


if __name__ == "__main__":
    main()
