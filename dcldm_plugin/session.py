"""The session: runs jobs one after the other, keeps what they make, places it, and tells whoever listens.

One thread owns all jobs; another delivers events, in order and one at a time, so that a slow listener
holds up no job. Every public method may be called from any thread, also from a listener.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from dcldm_plugin.engine import registry
from dcldm_plugin.engine.process import EngineProcess
from dcldm_plugin.engine.protocol import EngineEvent, Progress
from dcldm_plugin.errors import Cancelled, DcldmError, EngineFailed, InvalidInput
from dcldm_plugin.jobs import Job, JobState, JobStore
from dcldm_plugin.library import Library
from dcldm_plugin.rights import check_commercial
from dcldm_plugin.types import Clip, GenerationRequest, Placement, TimelineTarget, Variation

log = logging.getLogger(__name__)

MAX_WAITING_JOBS = 1000
CLOSE_SECONDS = 10.0  # how long `close` waits for a placer that does not come back


class Placer(Protocol):
    """What a host looks like from here."""

    def folder(self, target: TimelineTarget) -> Path | None:
        """The media folder of the target's project, if it is known and clips should lie there."""
        return None

    @property
    def name(self) -> str: ...

    def place(self, clips: Sequence[Clip], target: TimelineTarget) -> Sequence[Placement]:
        """Put clips on the timeline; return when the host has confirmed. Raises `DcldmError`, in time."""
        ...

    def place_run(self, groups: Sequence[tuple[Sequence[Clip], TimelineTarget]]) -> Sequence[Placement]:
        """The clips of several jobs, as one step where the host can. What is there already is not placed twice."""
        return [placement for clips, target in groups for placement in self.place(clips, target)]


@dataclass(frozen=True, slots=True)
class JobChanged:
    job: Job


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a stage of one variation is: `fraction` from 0 to 1."""

    job_id: str
    index: int
    stage: str
    fraction: float


@dataclass(frozen=True, slots=True)
class ClipReady:
    job_id: str
    clip: Clip


SessionEvent = JobChanged | JobProgress | ClipReady
Listener = Callable[[SessionEvent], None]


class Session:
    """Jobs from submission to the timeline."""

    def __init__(
        self,
        library: Library,
        jobs: JobStore,
        engine: EngineProcess,
        placers: Mapping[str, Placer] | None = None,
        clip_folder: Path | None = None,
        *,
        commercial_only: bool = False,
    ) -> None:
        """`placers` by host name; clips go to `clip_folder`, or to the library's own.

        `commercial_only`: refuse requests whose clips may not be sold; may be changed at any time.

        The session closes none of what it is given.
        """
        self._library = library
        self._store = jobs
        self._engine = engine
        self._placers = {} if placers is None else placers
        self._clip_folder = clip_folder
        self.commercial_only = commercial_only
        self._changed = threading.Condition(threading.RLock())
        self._waiting: dict[str, Job] = {}  # in the order in which they will run
        self._current: Job | None = None
        self._cancel_asked = False  # for the current job
        self._closing = False
        self._interrupted = False  # the current job was stopped by closing, not by who asked for it
        self._listeners: list[Listener] = []
        self._events: SimpleQueue[SessionEvent | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run_jobs, name="dcldm session", daemon=True),
            threading.Thread(target=self._tell, name="dcldm events", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # What others may ask for

    def submit(self, request: GenerationRequest) -> Job:
        """Queue a request. One whose id is known already gives the job that there is, whatever its state.

        Raises `InvalidInput` at once for what can't work: unknown model or host, too long for the model.
        """
        with self._changed:
            known = self.job(request.id)
            if known is not None:
                return known
            self._check(request)
            job = self._store.add(request)
            if job is None:  # another process was quicker
                raise InvalidInput(f"The request id {request.id!r} is taken; send it again with a new one.")
            self._enqueue(job)
            return job

    def resume(self, job_id: str) -> Job:
        """Run an interrupted, failed or cancelled job again. Variations that are there are not redone."""
        with self._changed:
            job = self._known(job_id)
            if job.state.over and job.state is not JobState.FINISHED:
                self._check(job.request)
                job = self._store.update(job, state=JobState.QUEUED, error="", refused=False)
                self._enqueue(job)
            return job

    def place_again(self, job_id: str) -> Job:
        """Place the clips of a job once more, where its request says."""
        return self.place_together([job_id])[0]

    def place_together(self, job_ids: Sequence[str]) -> list[Job]:
        """Place the clips of jobs of one cue run, in one step of the host; see `place_again`."""
        with self._changed:  # held over all, or the session thread would take the first alone
            return [self._offer(job_id) for job_id in job_ids]

    def _offer(self, job_id: str) -> Job:
        with self._changed:
            job = self._known(job_id)
            if job.request.target is None:
                raise InvalidInput("This job has no place on a timeline; drag its clips there instead.")
            if not job.clip_ids:
                raise InvalidInput("This job has made no clips yet; run it again first.")
            if job.state.over:
                self._check(job.request)
                job = self._store.update(job, state=JobState.PLACING, error="")
                self._enqueue(job)
            return job

    def cancel(self, job_id: str) -> None:
        """Stop a job: one that waits at once, one that renders at its next step. Its clips are kept.

        A job that is over, or already being placed, stays as it is.
        """
        with self._changed:
            job = self._known(job_id)
            if job_id in self._waiting:
                self._change(self._waiting.pop(job_id), state=JobState.CANCELLED)
            elif self._current is not None and self._current.id == job_id:
                self._cancel_current()
            elif not job.state.over:
                raise DcldmError("This job runs in another dcldm process; cancel it there.")

    def cancel_all(self) -> None:
        """Stop every job of this session."""
        with self._changed:
            for job_id in [*self._waiting, *([self._current.id] if self._current else [])]:
                self.cancel(job_id)

    def cancel_waiting(self) -> None:
        """Stop every job that has not begun."""
        with self._changed:
            for job_id in list(self._waiting):
                self.cancel(job_id)

    def place_in_queue(self, job_id: str) -> int:
        """How many jobs of those that wait come before this one; -1 for one that does not wait."""
        with self._changed:
            return list(self._waiting).index(job_id) if job_id in self._waiting else -1

    def move(self, job_id: str, places: int) -> None:
        """Let a job that waits come earlier (negative) or later by some places. Any other stays as it is."""
        with self._changed:
            order = list(self._waiting)
            if job_id not in order:
                return
            place = order.index(job_id)
            order.insert(min(max(0, place + places), len(order) - 1), order.pop(place))
            self._waiting = {one: self._waiting[one] for one in order}
            for one in order:
                self._events.put(JobChanged(self._waiting[one]))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` for every event from now on, on the session's event thread. Returns the undo."""
        with self._changed:
            self._listeners = [*self._listeners, listener]

        def unsubscribe() -> None:
            with self._changed:
                self._listeners = [one for one in self._listeners if one is not listener]

        return unsubscribe

    def job(self, job_id: str) -> Job | None:
        """A job in its present state."""
        with self._changed:
            if self._current is not None and self._current.id == job_id:
                return self._current
            return self._waiting.get(job_id) or self._store.get(job_id)

    def jobs(self) -> list[Job]:
        """The newest jobs, newest first, those of earlier sessions among them."""
        return self._store.jobs()

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Block until the job is over, or for `timeout` seconds; return it as it is then."""
        with self._changed:
            self._changed.wait_for(lambda: self._known(job_id).state.over, timeout)
            return self._known(job_id)

    def close(self) -> None:
        """Stop. Jobs that are not over become INTERRUPTED, to be offered again."""
        with self._changed:
            self._closing = True
            for job_id in list(self._waiting):
                self._change(self._waiting.pop(job_id), state=JobState.INTERRUPTED)
            if self._current is not None:
                self._interrupted = not self._cancel_asked
                self._cancel_current()
            self._changed.notify_all()
        runner, messenger = self._threads
        runner.join(CLOSE_SECONDS)
        self._events.put(None)
        messenger.join(CLOSE_SECONDS)

    # Behind the lock

    def _known(self, job_id: str) -> Job:
        job = self.job(job_id)
        if job is None:
            raise InvalidInput(f"There is no job {job_id!r}; look at the list of jobs.")
        return job

    def _check(self, request: GenerationRequest) -> None:
        if self._closing:
            raise DcldmError("dcldm is closing; start it again and repeat the request.")
        if len(self._waiting) >= MAX_WAITING_JOBS:
            raise DcldmError(f"{MAX_WAITING_JOBS} jobs are waiting already; cancel some or try again later.")
        registry.describe(request.model).check(request)
        if self.commercial_only:
            check_commercial(request)
        if request.target is not None:
            self._placer(request.target.host)

    def _placer(self, host: str) -> Placer:
        placer = self._placers.get(host)
        if placer is None:
            there = ", ".join(sorted(self._placers)) or "none"
            raise InvalidInput(f"No host named {host!r} is connected here (there are: {there}).")
        return placer

    def _enqueue(self, job: Job) -> None:
        self._waiting[job.id] = job
        self._events.put(JobChanged(job))
        self._changed.notify_all()

    def _change(self, job: Job, **changes: Any) -> Job:
        """Store, remember and announce a new state of a job."""
        with self._changed:
            job = self._store.update(job, **changes)
            if self._current is not None and self._current.id == job.id:
                self._current = None if job.state.over else job
            self._events.put(JobChanged(job))
            self._changed.notify_all()
            return job

    def _cancel_current(self) -> None:
        self._cancel_asked = True
        if self._current is not None and self._current.state is JobState.RUNNING:
            self._engine.cancel(self._current.id)

    # The session thread

    def _run_jobs(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if self._closing:
                    return
                job = self._waiting.pop(next(iter(self._waiting)))
                run = self._same_run(job)
                self._current, self._cancel_asked = job, False
            if run:
                self._place_run([job, *run])
                continue
            changes = self._outcome(job)
            with self._changed:
                if self._interrupted and changes["state"] is not JobState.FINISHED:
                    changes = {"state": JobState.INTERRUPTED}
                self._change(self._current or job, **changes)

    def _same_run(self, job: Job) -> list[Job]:
        """Take the jobs that are to be placed in one step with this one from those that wait."""

        def run(one: Job) -> tuple[str, str] | None:
            target = one.request.target
            return (target.host, target.run) if one.state is JobState.PLACING and target and target.run else None

        wanted = run(job)
        found = [one.id for one in self._waiting.values() if wanted is not None and run(one) == wanted]
        return [self._waiting.pop(job_id) for job_id in found]

    def _place_run(self, jobs: Sequence[Job]) -> None:
        groups, placements, error_text = [], [], ""
        try:
            for job in jobs:
                clips = self._clips(job)
                assert job.request.target is not None
                groups.append(([clips[index] for index in sorted(clips)], job.request.target))
            placements = list(self._placer(groups[0][1].host).place_run([group for group in groups if group[0]]))
        except DcldmError as error:
            error_text = str(error)
        except Exception as error:
            log.exception("placing the clips of %d jobs failed", len(jobs))
            error_text = _unexpected(error)
        self._mark_placed(placements)
        with self._changed:
            for job in jobs:
                own = tuple(placement for placement in placements if placement.clip_id in job.clip_ids)
                changes: dict[str, Any] = {"state": JobState.FINISHED, "error": error_text}
                self._change(job, **changes, **({"placements": own} if own else {}))
            self._current = None

    def _mark_placed(self, placements: Sequence[Placement]) -> None:
        for placement in placements:
            with suppress(DcldmError):  # it is on the timeline; the mark only keeps its file from being moved
                self._library.mark(placement.clip_id, placed=True)

    def _outcome(self, job: Job) -> dict[str, Any]:
        """Do all of a job; return the changes that end it. Nothing that goes wrong may reach the next job."""
        try:
            again = job.state is JobState.PLACING
            clips = self._clips(job) if again else self._render(job)
            target = job.request.target
            if target is not None and target.run and not again:
                return {"state": JobState.FINISHED}  # placed with the others of its run, when all are there
            error_text = self._place(job, [clips[index] for index in sorted(clips)])
            return {"state": JobState.FINISHED, "error": error_text}
        except Cancelled:
            return {"state": JobState.CANCELLED}
        except DcldmError as error:
            return {"state": JobState.FAILED, "error": str(error), "refused": isinstance(error, InvalidInput)}
        except Exception as error:
            log.exception("job %s failed", job.id)
            return {"state": JobState.FAILED, "error": _unexpected(error)}

    def _clips(self, job: Job) -> dict[int, Clip]:
        """The job's clips that are still there, by the index of their variation."""
        found = self._library.clips(request_id=job.id, rejected=None)
        return {clip.index: clip for clip in reversed(found) if clip.path.is_file()}

    def _render(self, job: Job) -> dict[int, Clip]:
        """Render and adopt the variations that are missing; return all of the job's clips by index."""
        clips = self._clips(job)
        seeds = job.request.seeds
        missing = [index for index in range(len(seeds)) if index not in clips]
        with self._changed:
            if self._cancel_asked:
                raise Cancelled
            self._change(job, state=JobState.RUNNING, clip_ids=_ids(clips))
        if not missing:
            return clips

        def receive(event: EngineEvent) -> None:
            if isinstance(event, Progress):
                self._progress(job.id, missing[event.index], event.stage, event.fraction)
                return
            take = event.variation
            index = missing[take.index]
            self._progress(job.id, index, "finishing", 0.0)
            clip = self._adopt(replace(take, request=job.request, index=index))
            with suppress(OSError):  # a file in use; the take's own next run writes over it
                take.path.unlink(missing_ok=True)
            clips[index] = clip
            with self._changed:
                self._events.put(ClipReady(job.id, clip))
                self._change(self._current or job, clip_ids=_ids(clips))

        self._engine.run(replace(job.request, seeds=tuple(seeds[index] for index in missing)), receive)
        return clips

    def _adopt(self, take: Variation) -> Clip:
        """Into the media folder of the project that it is for, or among the other clips if that can't be."""
        target = take.request.target
        placer = None if target is None else self._placers.get(target.host)
        if target is not None and placer is not None and (folder := placer.folder(target)) is not None:
            try:
                return self._library.adopt(take, folder)
            except EngineFailed:
                raise
            except DcldmError as error:
                log.warning("a clip goes into the library in place of the project's folder: %s", error)
        return self._library.adopt(take, self._clip_folder)

    def _place(self, job: Job, clips: Sequence[Clip]) -> str:
        """Place clips where the job says. Returns why that failed, or an empty text: the clips stay."""
        target = job.request.target
        if target is None or not clips:
            return ""
        with self._changed:
            if self._cancel_asked:
                raise Cancelled
            placing = self._change(self._current or job, state=JobState.PLACING)
        self._progress(job.id, 0, "placing", 0.0)
        try:
            placements = tuple(self._placer(target.host).place(clips, target))
        except DcldmError as error:
            return str(error)
        except Exception as error:
            log.exception("placing the clips of job %s failed", job.id)
            return _unexpected(error)
        self._change(placing, placements=placements)
        self._mark_placed(placements)
        self._progress(job.id, 0, "placing", 1.0)
        return ""

    def _progress(self, job_id: str, index: int, stage: str, fraction: float) -> None:
        self._events.put(JobProgress(job_id, index, stage, fraction))

    # The event thread

    def _tell(self) -> None:
        while (event := self._events.get()) is not None:
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception:
                    log.exception("a listener failed at %s", type(event).__name__)


def _ids(clips: Mapping[int, Clip]) -> tuple[str, ...]:
    return tuple(clips[index].id for index in sorted(clips))


def _unexpected(error: Exception) -> str:
    return f"Something went wrong inside dcldm ({type(error).__name__}); the log says more, please report it."
