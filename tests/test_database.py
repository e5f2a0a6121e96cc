"""One SQLite file, several who open it at once."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from dcldm_plugin.database import connect


def test_a_new_file_that_another_makes_at_the_same_moment_is_waited_for(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "new", isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE things (name)")
        timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        timer.start()
        with closing(connect(tmp_path / "new")) as connection:
            timer.join()
            assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("things",)]
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
