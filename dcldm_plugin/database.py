"""SQLite as the library and the list of jobs use it: one file, any number of threads and processes at once."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

BUSY_SECONDS = 30.0  # how long to wait for another process that writes


def connect(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode for any thread, each statement a transaction of its own. Raises `sqlite3.Error`.

    What is committed outlives the process at once; a power cut may take the last commits, and leaves the file
    whole: https://www.sqlite.org/pragma.html#pragma_synchronous.
    """
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    # Of two processes that make a new file at once, one is refused here without the wait that `timeout` asks for.
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)
