"""Spotting: a whole cue sheet rendered and placed as one run, which survives whatever interrupts it.

A run is a file that says what is to be done; what has been done, the jobs know. Each cue's job is named by its
content, so a run that is started again, even from a sheet that was edited, does only what is new. Clips are
rendered one after the other and placed together at the end, in one step of the host where it can.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dcldm_plugin.cues import CueError, CueSheet
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.jobs import Job, JobState
from dcldm_plugin.session import JobChanged, Session, SessionEvent
from dcldm_plugin.settings import writable_folder
from dcldm_plugin.types import GenerationRequest, TimelineTarget

log = logging.getLogger(__name__)

MAX_ID_CHARACTERS = 40
_DIGEST_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do: a request per cue, by its row in the sheet. Rows with errors have none."""

    id: str
    title: str
    requests: Mapping[int, GenerationRequest]
    errors: tuple[CueError, ...] = ()


@dataclass(frozen=True, slots=True)
class RowState:
    """One cue of a run. `job` is None before it was submitted."""

    row: int
    request: GenerationRequest
    job: Job | None

    @property
    def done(self) -> bool:
        """Rendered, and on the timeline if it has a place there."""
        job = self.job
        return job is not None and job.state is JobState.FINISHED and (not self.request.target or bool(job.placements))

    @property
    def rendered(self) -> bool:
        return self.job is not None and self.job.state in {JobState.FINISHED, JobState.PLACING}


@dataclass(frozen=True, slots=True)
class Run:
    """A run and how far it is. `status` as in the OSC API: progress, done, error, cancelled, interrupted."""

    plan: Plan
    rows: tuple[RowState, ...]
    status: str

    @property
    def id(self) -> str:
        return self.plan.id

    @property
    def failures(self) -> list[CueError]:
        """What went wrong, by row: lines that could not be read and jobs that failed or were not placed."""
        jobs = [CueError(row.row, row.job.error) for row in self.rows if row.job is not None and row.job.error]
        return sorted([*self.plan.errors, *jobs], key=lambda error: error.row)


Listener = Callable[[Run], None]


def run_name(sheet: Path | None, host: str, project: str) -> str:
    """One name for a sheet in a project, None for the project's own markers: spotted again, it is the same run."""
    return hashlib.sha256(f"{sheet}\n{host}\n{project}".encode()).hexdigest()[:32]


def make_plan(sheet: CueSheet, *, id: str, model: str, target: TimelineTarget | None) -> Plan:
    """What spotting a sheet will do. `target` gives host, project and sample rate; None only renders.

    What the model can't do becomes an error of its row. Raises `InvalidInput` for the id or an unknown model.
    """
    if not re.fullmatch(rf"[A-Za-z0-9_.-]{{1,{MAX_ID_CHARACTERS}}}", id):
        raise InvalidInput(f"The id of a run must be 1 to {MAX_ID_CHARACTERS} letters, digits, '-', '_' or '.'.")
    info = registry.describe(model)
    errors = list(sheet.errors)
    requests: dict[int, GenerationRequest] = {}
    seen: Counter[str] = Counter()
    for cue in sheet.cues:
        try:
            content = json.dumps([str(cue.at), asdict(cue.prompt), cue.seconds, cue.variations, cue.track, cue.snap])
            content += json.dumps([model, cue.seed, target.host if target else "", target.project if target else ""])
            seen[content] += 1
            digest = hashlib.sha256(f"{content}{seen[content]}".encode()).hexdigest()[:_DIGEST_CHARACTERS]
            request = cue.request(f"{id}-{digest}", model, None if target is None else replace(target, run=id))
            info.check(request)
            requests[cue.row] = request
        except InvalidInput as error:
            errors.append(CueError(cue.row, str(error)))
    return Plan(id, sheet.title, requests, tuple(sorted(errors, key=lambda error: error.row)))


class Spotting:
    """The runs of one program. Every public method may be called from any thread."""

    def __init__(self, session: Session, folder: Path) -> None:
        """Runs are kept in `folder`. Subscribes to the session; `close` undoes that."""
        self._session = session
        self._folder = folder
        self._lock = threading.RLock()
        self._plans: dict[str, Plan] = {}  # runs that are under way
        self._by_job: dict[str, str] = {}
        self._placed: set[str] = set()  # runs that were handed to the host since they were started
        self._listeners: list[Listener] = []
        self._unsubscribe = session.subscribe(self._follow)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` whenever a run that is under way changes, on the session's event thread. Returns the undo."""
        self._listeners = [*self._listeners, listener]

        def unsubscribe() -> None:
            self._listeners = [one for one in self._listeners if one is not listener]

        return unsubscribe

    def start(self, plan: Plan, *, leave_out_errors: bool = False, rows: Collection[int] | None = None) -> Run:
        """Begin a run, or go on with it: what is done already stays as it is.

        `rows`: only these of it, beside what is under way of it; a later start does the rest.

        Raises `InvalidInput` if rows have errors and are not to be left out, or if there is nothing to do.
        """
        if plan.errors and not leave_out_errors:
            raise InvalidInput(
                f"{_rows(plan.errors)} of {plan.title} can't be done; correct them, or leave them out. "
                + " ".join(str(error) for error in plan.errors[:3])
            )
        if not plan.requests:
            raise InvalidInput(f"{plan.title} has no cues; give it lines with a time and a prompt.")
        with self._lock:
            self._store(plan)
            chosen = {row: request for row, request in plan.requests.items() if rows is None or row in rows}
            if rows is not None and (under_way := self._plans.get(plan.id)) is not None:
                plan = replace(plan, requests={**under_way.requests, **chosen})
            else:
                plan = replace(plan, requests=chosen)
            self._plans[plan.id] = plan
            self._placed.discard(plan.id)
            for request in plan.requests.values():
                self._by_job[request.id] = plan.id
            try:
                for request in chosen.values():
                    job = self._session.submit(request)
                    if job.state in {JobState.INTERRUPTED, JobState.CANCELLED, JobState.FAILED} and not job.refused:
                        self._session.resume(job.id)
            except DcldmError:
                self._forget(plan)  # what was submitted is rendered; a resume goes on from there
                raise
        self._advance(plan.id)
        return self._state(plan)

    def resume(self, run_id: str) -> Run:
        """Go on with a run of an earlier time. Raises `InvalidInput` if there is none of that name."""
        return self.start(self._known(run_id), leave_out_errors=True)

    def run(self, run_id: str) -> Run | None:
        """A run as it is now, or None."""
        plan = self._plan(run_id)
        return None if plan is None else self._state(plan)

    def runs(self) -> list[Run]:
        """All runs, the newest first."""
        files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [run for path in files if (run := self.run(path.stem)) is not None]

    def cancel(self, run_id: str) -> None:
        """Stop a run: clips that are there stay, and nothing more is rendered or placed."""
        with self._lock:
            plan = self._known(run_id)
            self._placed.add(run_id)
            for request in plan.requests.values():
                job = self._session.job(request.id)
                if job is not None and not job.state.over:
                    self._session.cancel(request.id)

    def close(self) -> None:
        self._unsubscribe()

    # Behind the scenes

    def _follow(self, event: SessionEvent) -> None:
        if isinstance(event, JobChanged) and (event.job.state.over or event.job.state is JobState.RUNNING):
            run_id = self._by_job.get(event.job.id)
            if run_id is not None:
                self._advance(run_id)

    def _advance(self, run_id: str) -> None:
        """Place the clips once all are rendered; tell how far it is."""
        with self._lock:
            plan = self._plans.get(run_id)
            if plan is None:
                return
            run = self._state(plan)
            over = all(row.job is not None and row.job.state.over for row in run.rows)
            waiting = [row.job.id for row in run.rows if row.job and row.rendered and row.job.clip_ids and not row.done]
            if over and waiting and run_id not in self._placed:
                self._placed.add(run_id)
                run = replace(run, status="progress")
                try:
                    self._session.place_together(waiting)
                except DcldmError as error:  # the program is closing: a resume places them
                    log.info("the clips of the run %s are not placed yet: %s", run_id, error)
            elif over:
                self._forget(plan)
        for listener in self._listeners:
            listener(run)

    def _forget(self, plan: Plan) -> None:
        self._plans.pop(plan.id, None)
        for request in plan.requests.values():
            self._by_job.pop(request.id, None)

    def _state(self, plan: Plan) -> Run:
        rows = tuple(
            RowState(row, request, self._session.job(request.id)) for row, request in sorted(plan.requests.items())
        )
        return Run(plan, rows, _status(rows))

    def _plan(self, run_id: str) -> Plan | None:
        return self._plans.get(run_id) or self._load(run_id)

    def _known(self, run_id: str) -> Plan:
        plan = self._plan(run_id)
        if plan is None:
            raise InvalidInput(f"There is no run {run_id[:64]!r}; start it with a cue sheet.")
        return plan

    def _path(self, run_id: str) -> Path:
        return self._folder / f"{run_id}.json"

    def _store(self, plan: Plan) -> None:
        requests = {str(row): request.to_json() for row, request in plan.requests.items()}
        values = {"id": plan.id, "title": plan.title, "requests": requests, "errors": [asdict(e) for e in plan.errors]}
        writable_folder(self._folder)
        part = self._path(plan.id).with_suffix(".part")
        try:
            part.write_text(json.dumps(values), encoding="utf-8")
            os.replace(part, self._path(plan.id))
        except OSError as error:
            raise DcldmError(
                f"The run can't be stored in {self._folder} ({error.strerror}); make room there."
            ) from error

    def _load(self, run_id: str) -> Plan | None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", run_id):
            return None
        try:
            values: dict[str, Any] = json.loads(self._path(run_id).read_text(encoding="utf-8"))
            requests = {int(row): GenerationRequest.from_json(one) for row, one in values["requests"].items()}
            return Plan(values["id"], values["title"], requests, tuple(CueError(**one) for one in values["errors"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, InvalidInput) as error:
            log.warning("the run %s is left out, it can't be read: %s", run_id, error)
            return None


def _status(rows: Sequence[RowState]) -> str:
    if all(row.done for row in rows):
        return "done"
    states = {row.job.state if row.job is not None else JobState.INTERRUPTED for row in rows}
    if not all(state.over for state in states):
        return "progress"
    if JobState.INTERRUPTED in states:
        return "interrupted"
    return "cancelled" if JobState.CANCELLED in states else "error"


def _rows(errors: Sequence[CueError]) -> str:
    names = [str(error.row) for error in errors]
    if len(names) == 1:
        return f"Row {names[0]}"
    return f"Rows {', '.join(names[:-1])} and {names[-1]}"
