from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.jobs import Job, JobState, JobStore
from dcldm_plugin.types import GenerationRequest, Placement, TimelineTarget

ADD = """
import sys, pathlib
from dcldm_plugin.jobs import JobState, JobStore
from dcldm_plugin.types import GenerationRequest
store = JobStore(pathlib.Path(sys.argv[1]))
for state in JobState:
    store.update(store.add(GenerationRequest.create("rain", id=state.value)), state=state)
print("added", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return tmp_path / "library" / "index.sqlite"


@pytest.fixture
def store(index: Path) -> Iterator[JobStore]:
    with closing(JobStore(index)) as store:
        yield store


def added(store: JobStore, identifier: str) -> Job:
    job = store.add(GenerationRequest.create("rain", id=identifier))
    assert job is not None
    return job


def spoil(index: Path, statement: str) -> None:
    with closing(sqlite3.connect(index)) as connection, connection:
        connection.execute(statement)


def test_a_new_job_is_queued(store: JobStore) -> None:
    job = added(store, "a")
    assert job.state is JobState.QUEUED and not job.state.over and job.created.endswith("+00:00")
    assert store.get("a") == job and store.get("b") is None


def test_an_id_is_taken_once(store: JobStore) -> None:
    job = added(store, "a")
    assert store.add(GenerationRequest.create("wind", id="a")) is None
    assert store.get("a") == job


def test_everything_of_a_job_survives(index: Path) -> None:
    target = TimelineTarget("ardour", "/session", "Track", 48_000)
    request = GenerationRequest.create("🌧️ rain", variations=2, seed=1, target=target)
    with closing(JobStore(index)) as store:
        job = store.add(request)
        assert job is not None
        job = store.update(
            job,
            state=JobState.FINISHED,
            clip_ids=("one", "two"),
            placements=(Placement("one", "ardour", "17", "Track", 48_000),),
            error="Not all is well.",
        )
    with closing(JobStore(index)) as store:
        assert store.get(request.id) == job
        assert store.jobs() == [job]


def test_jobs_come_newest_first_and_not_without_end(store: JobStore) -> None:
    for number in range(5):
        added(store, str(number))
    assert [job.id for job in store.jobs()] == ["4", "3", "2", "1", "0"]
    assert [job.id for job in store.jobs(limit=2)] == ["4", "3"]


def test_jobs_of_a_closed_store_are_interrupted(index: Path) -> None:
    with closing(JobStore(index)) as store:
        for state in JobState:
            store.update(added(store, state.value), state=state)
    with closing(JobStore(index)) as store:
        states = {job.id: job.state for job in store.jobs()}
    for state in JobState:
        assert states[state.value] is (state if state.over else JobState.INTERRUPTED)
    assert not list((index.parent / "owners").iterdir())


def test_only_jobs_of_dead_processes_are_interrupted(index: Path) -> None:
    command = [sys.executable, "-c", ADD, str(index)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "added\n"
        with closing(JobStore(index)) as store:
            assert {job.id: job.state.value for job in store.jobs()} == {s.value: s.value for s in JobState}
        process.kill()
        process.wait()
    with closing(JobStore(index)) as store:
        states = {job.id: job.state for job in store.jobs()}
    assert {states[name] for name in ("queued", "running", "placing")} == {JobState.INTERRUPTED}
    assert states["failed"] is JobState.FAILED


def test_threads_may_share_a_store(store: JobStore) -> None:
    def work(name: str) -> None:
        for number in range(20):
            store.update(added(store, f"{name}{number}"), state=JobState.FINISHED)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.jobs()) == 80
    assert all(job.state is JobState.FINISHED for job in store.jobs())


def test_a_disk_that_refuses_stops_nobody_who_waits(index: Path, store: JobStore) -> None:
    job = added(store, "a")
    spoil(index, "ALTER TABLE jobs RENAME TO gone")
    assert store.update(job, state=JobState.FINISHED).state is JobState.FINISHED
    ended = store.get("a")
    assert ended is not None and ended.state is JobState.FINISHED
    with pytest.raises(DcldmError, match="make room"):
        added(store, "b")
    with pytest.raises(DcldmError, match="can't be read"):
        store.jobs()
    spoil(index, "ALTER TABLE gone RENAME TO jobs")
    assert [job.state for job in store.jobs()] == [JobState.FINISHED]
    store.update(ended, error="Stored now.")
    assert [job.error for job in store.jobs()] == ["Stored now."]


@pytest.mark.parametrize("request_json", ["", "[]", "{}", json.dumps({"id": 5}), "\0"])
def test_a_row_that_makes_no_sense_is_left_out(index: Path, store: JobStore, request_json: str) -> None:
    added(store, "good")
    added(store, "bad")
    with closing(sqlite3.connect(index)) as connection, connection:
        connection.execute("UPDATE jobs SET request = ? WHERE id = 'bad'", (request_json,))
    assert [job.id for job in store.jobs()] == ["good"]
    assert store.get("bad") is None


def test_a_file_that_is_no_database_is_told(index: Path) -> None:
    index.parent.mkdir()
    index.write_bytes(b"this is not a database, it only says so" * 100)
    with pytest.raises(DcldmError, match="move that file away"):
        JobStore(index)
    assert not list((index.parent / "owners").iterdir())


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DcldmError, match="choose another one"):
        JobStore(tmp_path / "file" / "index.sqlite")
