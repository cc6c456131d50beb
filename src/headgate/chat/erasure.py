"""Taking deleted text out of SQLite's log file.

`secure_delete` overwrites what is deleted in the database's pages, but the pages as
they were before stay in the write-ahead log until it is truncated.
"""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError

__all__ = ["truncate_log"]

WAIT_MS = 100  # for those who still read what the log holds


def truncate_log(connection: Any) -> bool:
    """Truncate the write-ahead log; False where somebody holds it: try again later.

    Nothing to do, and True, on other databases. Not inside a transaction. Waits for
    readers for `WAIT_MS`, not for the connection's own, much longer timeout.
    """
    if connection.vendor != "sqlite":
        return True
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            (timeout_ms,) = cursor.fetchone()
            cursor.execute(f"PRAGMA busy_timeout = {WAIT_MS}")
            try:
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                (busy, _log, _checkpointed) = cursor.fetchone()
            finally:
                cursor.execute(f"PRAGMA busy_timeout = {timeout_ms}")
    except DatabaseError:
        return False
    return not busy
