"""Jobs: what was asked for, how far it is, and what came of it. They survive the process that ran them.

Several processes may share one database (a window and a `dcldm generate` beside it). Each holds a lock file
for as long as it lives, and its jobs bear the name of that lock; so whoever opens the store can tell jobs
that are under way elsewhere from those whose process died, without trusting process ids.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any

from dcldm_plugin.database import connect
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.settings import writable_folder
from dcldm_plugin.types import GenerationRequest, Placement

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    request TEXT NOT NULL,      -- JSON of the whole GenerationRequest
    state TEXT NOT NULL,
    clip_ids TEXT NOT NULL,     -- JSON
    placements TEXT NOT NULL,   -- JSON
    error TEXT NOT NULL,
    refused INTEGER NOT NULL,
    created TEXT NOT NULL,
    updated TEXT NOT NULL,
    owner TEXT NOT NULL         -- name of the lock file of the process that runs it
)
"""


class JobState(Enum):
    """Where a job is. `INTERRUPTED`: its process ended first; it is offered again."""

    QUEUED = "queued"
    RUNNING = "running"
    PLACING = "placing"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"

    @property
    def over(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self not in UNFINISHED


UNFINISHED = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.PLACING})


@dataclass(frozen=True, slots=True)
class Job:
    """One request and its fate.

    A FINISHED job may have an `error`: its clips are there, but not placed. A FAILED one may be `refused`:
    the request itself can't be done, so that it is no use to try again.
    """

    request: GenerationRequest
    state: JobState
    clip_ids: tuple[str, ...] = ()
    placements: tuple[Placement, ...] = ()
    error: str = ""
    refused: bool = False
    created: str = ""  # ISO 8601, UTC
    updated: str = ""

    @property
    def id(self) -> str:
        return self.request.id


class JobStore:
    """The jobs of one database file. Safe to use from any thread and from several processes."""

    def __init__(self, index: Path) -> None:
        """Open the store; unfinished jobs of processes that are gone become INTERRUPTED.

        Raises `DcldmError` if the file can't be opened or is not a database.
        """
        from filelock import FileLock

        self._lock = threading.RLock()
        self._index = index
        self._unsaved: dict[str, Job] = {}  # newest state of jobs that a full disk refused
        self._owners = writable_folder(writable_folder(index.parent) / "owners")
        self._owner = uuid.uuid4().hex
        self._alive = FileLock(self._owners / self._owner, thread_local=False)
        self._alive.acquire()
        try:
            self._connection = connect(index)
        except sqlite3.Error as error:
            self._leave()
            raise _cannot_open(index, error) from error
        try:
            self._connection.execute(_SCHEMA)
            self._interrupt_orphans()
        except sqlite3.Error as error:
            self.close()
            raise _cannot_open(index, error) from error

    def add(self, request: GenerationRequest) -> Job | None:
        """Store a new QUEUED job. None, and nothing is changed, if the request's id is already there."""
        now = _now()
        job = Job(request, JobState.QUEUED, created=now, updated=now)
        row = _row(job, self._owner)
        statement = f"INSERT OR IGNORE INTO jobs ({', '.join(row)}) VALUES ({_marks(row)})"
        try:
            with self._lock:
                added = self._connection.execute(statement, tuple(row.values())).rowcount == 1
        except sqlite3.Error as error:
            raise DcldmError(
                f"The job can't be stored in {self._index} ({error}); make room on that disk and try again."
            ) from error
        return job if added else None

    def update(self, job: Job, **changes: Any) -> Job:
        """The job with some fields changed, stored. From now on it is this process's job.

        The caller gets the new state even if the disk refuses it, so that a full disk stops nobody who
        waits for the job; the database then still has the old state and the next start says INTERRUPTED.
        """
        job = replace(job, updated=_now(), **changes)
        row = _row(job, self._owner)
        columns = ", ".join(f"{name} = ?" for name in row)
        with self._lock:
            try:
                self._connection.execute(f"UPDATE jobs SET {columns} WHERE id = ?", (*row.values(), job.id))
            except sqlite3.Error as error:
                log.warning("job %s is %s, which can't be stored: %s", job.id, job.state.value, error)
                self._unsaved[job.id] = job
            else:
                self._unsaved.pop(job.id, None)
        return job

    def get(self, job_id: str) -> Job | None:
        with self._lock:
            if job_id in self._unsaved:
                return self._unsaved[job_id]
            found = self._rows("WHERE id = ?", job_id)
        return found[0] if found else None

    def jobs(self, limit: int = 200) -> list[Job]:
        """The newest jobs, newest first."""
        with self._lock:
            return [self._unsaved.get(job.id, job) for job in self._rows("ORDER BY rowid DESC LIMIT ?", limit)]

    def close(self) -> None:
        """Let go of the file. Jobs of ours that are not over will be INTERRUPTED for the next to open it."""
        with self._lock:
            self._connection.close()
        self._leave()

    def _rows(self, clause: str, *values: object) -> list[Job]:
        try:
            columns = "request, state, clip_ids, placements, error, refused, created, updated"
            cursor = self._connection.execute(f"SELECT {columns} FROM jobs {clause}", values)
            return [job for row in cursor if (job := _job(row)) is not None]
        except sqlite3.Error as error:
            raise DcldmError(f"The list of jobs in {self._index} can't be read ({error}); check that disk.") from error

    def _interrupt_orphans(self) -> None:
        states = [state.value for state in UNFINISHED]
        owners = self._connection.execute(
            f"SELECT DISTINCT owner FROM jobs WHERE state IN ({_marks(states)})", states
        ).fetchall()
        for (owner,) in owners:
            if not self._lives(owner):
                self._connection.execute(
                    f"UPDATE jobs SET state = ?, updated = ? WHERE owner = ? AND state IN ({_marks(states)})",
                    (JobState.INTERRUPTED.value, _now(), owner, *states),
                )

    def _leave(self) -> None:
        self._alive.release()
        (self._owners / self._owner).unlink(missing_ok=True)

    def _lives(self, owner: str) -> bool:
        from filelock import FileLock, Timeout

        file = self._owners / Path(owner).name
        if not file.is_file():
            return False
        try:
            with FileLock(file).acquire(timeout=0):
                pass
        except Timeout:
            return True
        file.unlink(missing_ok=True)  # names are never used twice, so nobody is waiting for this one
        return False


def _cannot_open(index: Path, error: sqlite3.Error) -> DcldmError:
    return DcldmError(
        f"The list of jobs in {index} can't be opened ({error}); "
        "move that file away and start again: clips stay where they are."
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _row(job: Job, owner: str) -> dict[str, str | bool]:
    return {
        "id": job.id,
        "request": json.dumps(job.request.to_json()),
        "state": job.state.value,
        "clip_ids": json.dumps(job.clip_ids),
        "placements": json.dumps([asdict(placement) for placement in job.placements]),
        "error": job.error,
        "refused": job.refused,
        "created": job.created,
        "updated": job.updated,
        "owner": owner,
    }


def _job(row: tuple[Any, ...]) -> Job | None:
    """A row as a job; None, and a word in the log, for one that this version does not understand."""
    request, state, clip_ids, placements, error, refused, created, updated = row
    try:
        return Job(
            request=GenerationRequest.from_json(json.loads(request)),
            state=JobState(state),
            clip_ids=tuple(json.loads(clip_ids)),
            placements=tuple(Placement(**placement) for placement in json.loads(placements)),
            error=error,
            refused=bool(refused),
            created=created,
            updated=updated,
        )
    except (InvalidInput, ValueError, TypeError) as problem:
        log.warning("a stored job is left out, it can't be read: %s", problem)
        return None
