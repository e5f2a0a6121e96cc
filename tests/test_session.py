"""The session with the real library, store and engine; the `tone` backend and small hosts at its ends."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from dcldm_plugin.engine.process import EngineProcess
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.jobs import Job, JobState, JobStore
from dcldm_plugin.library import Library
from dcldm_plugin.session import ClipReady, JobChanged, JobProgress, Placer, Session, SessionEvent
from dcldm_plugin.types import Clip, GenerationRequest, Placement, Sampling, TimelineTarget

PATIENCE_SECONDS = 30.0
TARGET = TimelineTarget("timeline", "/session", "Track", 96_000)


class Timeline(Placer):
    """A host that remembers what it was given; `trouble` happens instead, if there is any."""

    name = "timeline"

    def __init__(self, trouble: Callable[[], None] = lambda: None) -> None:
        self.placed: list[str] = []
        self.trouble = trouble

    def place(self, clips: Sequence[Clip], target: TimelineTarget) -> Sequence[Placement]:
        self.trouble()
        self.placed += [clip.id for clip in clips]
        return [Placement(clip.id, self.name, f"item {clip.id}", target.track, 96_000) for clip in clips]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    folder = tmp_path_factory.mktemp("renders")
    with closing(EngineProcess(folder, log=folder / "engine.log")) as engine:
        yield engine
    assert [path.name for path in folder.iterdir() if path.suffix != ".log"] == []


@pytest.fixture
def start(tmp_path: Path, engine: EngineProcess) -> Iterator[Callable[..., Session]]:
    with ExitStack() as stack:

        def begin(placers: Mapping[str, Placer] | None = None, clip_folder: Path | None = None) -> Session:
            library = stack.enter_context(closing(Library(tmp_path / "library")))
            jobs = stack.enter_context(closing(JobStore(library.index)))
            return stack.enter_context(closing(Session(library, jobs, engine, placers, clip_folder)))

        yield begin


def request(
    text: str = "rain",
    *,
    variations: int = 1,
    target: TimelineTarget | None = None,
    identifier: str | None = None,
) -> GenerationRequest:
    return GenerationRequest.create(
        text,
        seconds=0.2,
        variations=variations,
        seed=1,
        model="tone",
        sampling=Sampling(steps=5),
        target=target,
        id=identifier,
    )


def slow(*, variations: int = 3, target: TimelineTarget | None = None) -> GenerationRequest:
    """About 0.4 s per variation."""
    return request("slow rain", variations=variations, target=target)


def finished(session: Session, job: Job) -> Job:
    job = session.wait(job.id, PATIENCE_SECONDS)
    assert (job.state, job.error) == (JobState.FINISHED, "")
    return job


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "this took too long"
        time.sleep(0.01)


def clips(session: Session, job: Job) -> int:
    known = session.job(job.id)
    return 0 if known is None else len(known.clip_ids)


def test_a_job_from_submission_to_the_timeline(start: Callable[..., Session], tmp_path: Path) -> None:
    timeline = Timeline()
    session = start({"timeline": timeline})
    events: list[SessionEvent] = []
    session.subscribe(events.append)
    submitted = session.submit(request(variations=2, target=TARGET))
    assert submitted.state is JobState.QUEUED
    job = finished(session, submitted)
    session.close()
    assert timeline.placed == list(job.clip_ids) and len(job.clip_ids) == 2
    assert [placement.clip_id for placement in job.placements] == list(job.clip_ids)
    states = [event.job.state for event in events if isinstance(event, JobChanged)]
    assert list(dict.fromkeys(states)) == [
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.PLACING,
        JobState.FINISHED,
    ]
    ready = [event.clip for event in events if isinstance(event, ClipReady)]
    assert [clip.id for clip in ready] == list(job.clip_ids)
    assert [clip.index for clip in ready] == [0, 1]
    assert all(clip.path.is_file() and clip.path.is_relative_to(tmp_path / "library") for clip in ready)
    stages = {(event.index, event.stage) for event in events if isinstance(event, JobProgress)}
    for index in (0, 1):
        assert {(index, stage) for stage in ("planning", "denoising", "decoding", "finishing")} <= stages
    assert (0, "placing") in stages
    assert events[-1] == JobChanged(job)


def test_clips_go_where_they_are_wanted(start: Callable[..., Session], tmp_path: Path) -> None:
    session = start(clip_folder=tmp_path / "out")
    finished(session, session.submit(request()))
    assert len(list((tmp_path / "out").glob("*.wav"))) == 1


def test_jobs_run_in_order(start: Callable[..., Session]) -> None:
    session = start()
    ended: list[str] = []

    def follow(event: SessionEvent) -> None:
        if isinstance(event, JobChanged) and event.job.state.over:
            ended.append(event.job.id)

    session.subscribe(follow)
    jobs = [session.submit(request(f"rain {number}", identifier=str(number))) for number in range(5)]
    for job in jobs:
        finished(session, job)
    session.close()
    assert ended == ["0", "1", "2", "3", "4"]
    assert [job.id for job in session.jobs()] == ["4", "3", "2", "1", "0"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "nonesuch"}, "no model named 'nonesuch'"),
        ({"model": "tone", "stereo": 0.5}, "does not have the control 'stereo'"),
        ({"model": "tone", "target": TARGET}, "No host named 'timeline'"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    start: Callable[..., Session], changes: dict[str, object], words: str
) -> None:
    session = start()
    with pytest.raises(InvalidInput, match=words):
        session.submit(GenerationRequest.create("rain", **changes))  # type: ignore[arg-type]
    assert session.jobs() == []


def test_an_id_that_is_known_gives_the_job_that_there_is(start: Callable[..., Session]) -> None:
    session = start()
    job = session.submit(request(identifier="same"))
    assert session.submit(request("another prompt", identifier="same")).request == job.request
    done = finished(session, job)
    assert session.submit(request(identifier="same")) == done
    assert len(session.jobs()) == 1


def test_a_resend_from_many_threads_is_one_job(start: Callable[..., Session]) -> None:
    session = start()
    threads = [threading.Thread(target=session.submit, args=(request(identifier="same"),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(finished(session, session.jobs()[0]).clip_ids) == 1


def test_a_crash_in_the_worker_fails_one_job_and_the_next_runs(start: Callable[..., Session]) -> None:
    session = start()
    bad, good = session.submit(request("tone-crash")), session.submit(request())
    failed = session.wait(bad.id, PATIENCE_SECONDS)
    assert failed.state is JobState.FAILED and failed.error.endswith(".")
    finished(session, good)


def test_a_worker_that_is_killed_in_mid_job_costs_nothing(start: Callable[..., Session], engine: EngineProcess) -> None:
    session = start()
    job = session.submit(slow())
    until(lambda: clips(session, job))
    assert engine.pid is not None
    kill = "import os, signal, sys; os.kill(int(sys.argv[1]), getattr(signal, 'SIGKILL', signal.SIGTERM))"
    subprocess.run([sys.executable, "-c", kill, str(engine.pid)], check=True)
    assert len(finished(session, job).clip_ids) == 3


def test_a_queued_job_is_cancelled_at_once(start: Callable[..., Session]) -> None:
    session = start()
    first, second = session.submit(slow()), session.submit(request())
    session.cancel(second.id)
    cancelled = session.job(second.id)
    assert cancelled is not None and cancelled.state is JobState.CANCELLED
    assert len(finished(session, first).clip_ids) == 3
    assert clips(session, second) == 0


def test_a_running_job_is_cancelled_and_keeps_its_clips(start: Callable[..., Session]) -> None:
    timeline = Timeline()
    session = start({"timeline": timeline})
    job = session.submit(slow(variations=8, target=TARGET))
    until(lambda: clips(session, job))
    session.cancel(job.id)
    cancelled = session.wait(job.id, 2.0)
    assert cancelled.state is JobState.CANCELLED and cancelled.error == ""
    assert 1 <= len(cancelled.clip_ids) < 8 and not timeline.placed
    session.cancel(job.id)  # harmless
    finished(session, session.submit(request()))


def test_takes_that_are_ready_but_not_finished_do_not_delay_a_cancel(start: Callable[..., Session]) -> None:
    session = start()
    job = session.submit(request(variations=32))  # rendered faster than they are finished
    until(lambda: clips(session, job) >= 1)
    session.cancel(job.id)
    known = clips(session, job)
    job = session.wait(job.id, PATIENCE_SECONDS)
    assert job.state is JobState.CANCELLED and len(job.clip_ids) <= known + 1


def test_what_was_cancelled_stays_so_when_the_session_closes(start: Callable[..., Session]) -> None:
    session = start()
    job = session.submit(slow())
    until(lambda: clips(session, job) >= 1)
    session.cancel(job.id)
    session.close()
    assert (known := session.job(job.id)) is not None and known.state is JobState.CANCELLED


def test_a_cancelled_job_is_resumed_where_it_stopped(start: Callable[..., Session]) -> None:
    session = start()
    job = session.submit(slow())
    until(lambda: clips(session, job))
    session.cancel(job.id)
    before = session.wait(job.id, PATIENCE_SECONDS).clip_ids
    ready: list[int] = []
    session.subscribe(lambda event: ready.append(event.clip.index) if isinstance(event, ClipReady) else None)
    assert session.resume(job.id).state is JobState.QUEUED
    after = finished(session, job).clip_ids
    session.close()
    assert after[: len(before)] == before and len(after) == 3
    assert ready == list(range(len(before), 3))


def test_all_are_cancelled(start: Callable[..., Session]) -> None:
    session = start()
    jobs = [session.submit(slow()) for _ in range(3)]
    until(lambda: clips(session, jobs[0]))
    session.cancel_all()
    assert {session.wait(job.id, PATIENCE_SECONDS).state for job in jobs} == {JobState.CANCELLED}


@pytest.mark.parametrize("method", ["cancel", "resume", "place_again", "wait"])
def test_an_unknown_job_is_told(start: Callable[..., Session], method: str) -> None:
    with pytest.raises(InvalidInput, match="no job 'nonesuch'"):
        getattr(start(), method)("nonesuch")


def refuse() -> None:
    raise DcldmError("The track is locked; unlock it and place the clips again.")


def stumble() -> None:
    raise LookupError("nobody expected this")


def time_out() -> None:
    time.sleep(0.3)
    raise DcldmError("Nothing was heard within 0.3 s; place the clips again.")


@pytest.mark.parametrize(
    ("trouble", "words"), [(refuse, "unlock it"), (stumble, "LookupError"), (time_out, "within 0.3 s")]
)
def test_clips_that_cannot_be_placed_are_kept_and_placed_again(
    start: Callable[..., Session],
    trouble: Callable[[], None],
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    timeline = Timeline(trouble)
    session = start({"timeline": timeline})
    job = session.wait(session.submit(request(variations=2, target=TARGET)).id, PATIENCE_SECONDS)
    assert job.state is JobState.FINISHED and words in job.error
    assert len(job.clip_ids) == 2 and not job.placements
    assert ("nobody expected this" in caplog.text) == (trouble is stumble)
    timeline.trouble = lambda: None
    assert session.place_again(job.id).state is JobState.PLACING
    again = finished(session, job)
    assert timeline.placed == list(again.clip_ids) == list(job.clip_ids)
    assert len(again.placements) == 2


def test_a_host_that_has_gone_leaves_the_clips(start: Callable[..., Session]) -> None:
    hosts: dict[str, Placer] = {"timeline": Timeline()}
    session = start(hosts)
    job = session.submit(slow(target=TARGET))
    until(lambda: clips(session, job))
    del hosts["timeline"]
    job = session.wait(job.id, PATIENCE_SECONDS)
    assert job.state is JobState.FINISHED and "No host named 'timeline'" in job.error
    assert len(job.clip_ids) == 3
    with pytest.raises(InvalidInput, match="No host named"):
        session.place_again(job.id)


def test_other_jobs_are_taken_while_a_host_is_slow(start: Callable[..., Session]) -> None:
    gate = threading.Event()

    def wait() -> None:
        gate.wait(PATIENCE_SECONDS)

    session = start({"timeline": Timeline(wait)})
    job = session.submit(request(target=TARGET))
    until(lambda: (known := session.job(job.id)) is not None and known.state is JobState.PLACING)
    other = session.submit(request())
    session.cancel(job.id)  # too late: what the host has begun stays
    gate.set()
    finished(session, job)
    finished(session, other)


def test_only_a_job_with_clips_and_a_target_can_be_placed(start: Callable[..., Session]) -> None:
    session = start({"timeline": Timeline()})
    job = finished(session, session.submit(request()))
    with pytest.raises(InvalidInput, match="no place on a timeline"):
        session.place_again(job.id)
    failed = session.wait(session.submit(request("tone-bug", target=TARGET)).id, PATIENCE_SECONDS)
    assert failed.state is JobState.FAILED
    with pytest.raises(InvalidInput, match="no clips yet"):
        session.place_again(failed.id)
    assert session.resume(job.id) == job  # finished is finished


def test_a_listener_that_raises_harms_nobody(start: Callable[..., Session], caplog: pytest.LogCaptureFixture) -> None:
    session = start()
    heard: list[SessionEvent] = []

    def fail(event: SessionEvent) -> None:
        raise LookupError("a listener's own trouble")

    session.subscribe(fail)
    session.subscribe(heard.append)
    finished(session, session.submit(request()))
    session.close()
    assert heard and "a listener's own trouble" in caplog.text


def test_a_listener_may_ask_for_more_and_leave(start: Callable[..., Session]) -> None:
    session = start()
    heard: list[SessionEvent] = []

    def once(event: SessionEvent) -> None:
        heard.append(event)
        leave()
        session.submit(request("more", identifier="more"))

    leave = session.subscribe(once)
    session.submit(request())
    until(lambda: session.job("more"))
    finished(session, session.submit(request(identifier="more")))
    session.close()
    assert len(heard) == 1


def test_a_folder_that_cannot_be_written_fails_the_job_and_the_next_runs(
    start: Callable[..., Session], tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    session = start(clip_folder=tmp_path / "out")
    failed = session.wait(session.submit(request()).id, PATIENCE_SECONDS)
    assert failed.state is JobState.FAILED and str(tmp_path / "out") in failed.error
    (tmp_path / "out").unlink()
    session.resume(failed.id)
    finished(session, failed)


def test_waiting_ends_in_time(start: Callable[..., Session]) -> None:
    session = start()
    assert not session.wait(session.submit(slow()).id, 0.01).state.over


def test_closing_interrupts_and_a_new_session_resumes(start: Callable[..., Session]) -> None:
    first = start()
    running, waiting = first.submit(slow()), first.submit(request())
    until(lambda: clips(first, running))
    first.close()
    with pytest.raises(DcldmError, match="closing"):
        first.submit(request())
    second = start()
    assert {job.state for job in second.jobs()} == {JobState.INTERRUPTED}
    for job in (running, waiting):
        second.resume(job.id)
        finished(second, job)


def test_a_job_of_another_process_is_left_to_it(start: Callable[..., Session]) -> None:
    here, there = start(), start()
    job = here.submit(slow())
    with pytest.raises(DcldmError, match="another dcldm process"):
        there.cancel(job.id)
    assert not there.resume(job.id).state.over
    finished(here, job)


def test_kill_of_the_app_in_mid_job_loses_nothing(tmp_path: Path, engine: EngineProcess) -> None:
    command = [sys.executable, "-m", "dcldm_plugin", "generate", "slow rain", "--home", str(tmp_path)]
    command += ["--model", "tone", "--seconds", "0.2", "--steps", "5", "--variations", "4"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first_path = Path(process.stdout.readline().strip())
        process.kill()
    with (
        closing(Library(tmp_path / "library")) as library,
        closing(JobStore(library.index)) as jobs,
        closing(Session(library, jobs, engine)) as session,
    ):
        (job,) = session.jobs()
        assert job.state is JobState.INTERRUPTED
        first = library.clips()[-1]
        assert first.path == first_path
        session.resume(job.id)
        done = finished(session, job)
        assert len(done.clip_ids) == 4 and done.clip_ids[0] == first.id
        assert [clip.seeds for clip in reversed(library.clips())] == list(job.request.seeds)


def test_the_jobs_of_a_run_are_placed_together(start: Callable[..., Session]) -> None:
    class Steps(Timeline):
        steps: list[int]

        def place_run(self, groups: Sequence[tuple[Sequence[Clip], TimelineTarget]]) -> Sequence[Placement]:
            self.steps = [*getattr(self, "steps", []), len(groups)]
            return super().place_run(groups)

    timeline = Steps()
    session = start({"timeline": timeline})
    target = TimelineTarget("timeline", "/session", "Track", 5, run="sheet")
    jobs = [session.submit(request(identifier=f"sheet-{row}", variations=2, target=target)) for row in range(3)]
    for job in jobs:
        assert finished(session, job).placements == ()
    assert timeline.placed == []
    session.place_together([job.id for job in jobs])
    for job in jobs:
        assert len(finished(session, job).placements) == 2
    assert timeline.steps == [3]
    timeline.trouble = refuse
    session.place_together([job.id for job in jobs])
    for job in jobs:
        told = session.wait(job.id, PATIENCE_SECONDS)
        assert (told.state, told.error) == (JobState.FINISHED, "No room there.")
        assert len(told.placements) == 2  # what was said before still stands


def refuse() -> None:
    raise DcldmError("No room there.")
