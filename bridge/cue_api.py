"""Cue sheets over OSC: a sheet is looked at first, then spotted, and whoever asked is told how it goes."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from bridge.host import Host, find_host
from bridge.osc import Peer
from bridge.spotting import Plan, Run, Spotting, make_plan
from bridge.table import CHECK, CUES, STATUS
from bridge.telling import Telling
from dcldm_plugin.cues import Defaults, read_sheet
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.jobs import JobState
from dcldm_plugin.timecode import FrameRate, frame_rate, timecode
from dcldm_plugin.types import GenerationRequest, TimelineTarget

SHOWN_ROWS = 30  # of a preview, in a reply
ASKED_ROWS = 12  # in a dialog of the DAW
CHECKED = 20  # plans that are kept until somebody says go


class CueApi:
    """The addresses of cue sheets at work."""

    def __init__(self, spotting: Spotting, hosts: Mapping[str, Host], telling: Telling, model: str) -> None:
        self._spotting = spotting
        self._hosts = hosts
        self._telling = telling
        self._model = model
        self._checked: dict[str, Plan] = {}
        self._peers: dict[str, Peer] = {}
        self._shown: dict[str, tuple[int, str]] = {}  # how many rows of a run were rendered when it was last told
        spotting.subscribe(self._follow)

    def check(self, peer: Peer, *, id: str, **values: Any) -> None:
        """Say what spotting a sheet would do; in the host, ask whether to go on."""
        plan, rate = self._plan(id, **values)
        self._checked = dict([*self._checked.items(), (id, plan)][-CHECKED:])
        rows = [_preview(row, request, rate) for row, request in plan.requests.items()]
        clips = sum(len(request.seeds) for request in plan.requests.values())
        errors = [{"row": error.row, "error": error.sentence} for error in plan.errors[:SHOWN_ROWS]]
        target = next((request.target for request in plan.requests.values()), None)
        if target is None and plan.errors:
            target = self._target(values["host"], values["project"], values["sample_rate"]) if values["host"] else None
            self._telling.show(id, target, "error", " ".join(str(error) for error in plan.errors[:3]))
        else:
            lines = [f"{len(rows)} cues, {clips} clips from {plan.title}:"]
            lines += [f"{row['time']}  {row['prompt']}" for row in rows[:ASKED_ROWS]]
            lines += [f"and {len(rows) - ASKED_ROWS} more"] if len(rows) > ASKED_ROWS else []
            lines += [f"{error} (left out)" for error in plan.errors[:ASKED_ROWS]]
            self._telling.show(id, target, "preview", " | ".join(lines))
        self._telling.reply(
            peer, CHECK, id, "ok", title=plan.title, cues=len(rows), clips=clips, errors=errors, rows=rows[:SHOWN_ROWS]
        )

    def spot(self, peer: Peer, *, id: str, path: str, leave_out: int, **values: Any) -> None:
        """Begin or go on with a run: of a sheet, of one that was checked, or of an earlier time."""
        target: TimelineTarget | None = None
        try:
            with self._telling.lock:
                self._peers.pop(id, None)  # whoever asks now is told, after "accepted"
                if path:
                    plan = self._plan(id, path=path, **values)[0]
                    run = self._spotting.start(plan, leave_out_errors=bool(leave_out))
                elif (checked := self._checked.pop(id, None)) is not None:
                    target = next((request.target for request in checked.requests.values()), None)
                    run = self._spotting.start(checked, leave_out_errors=True)
                else:
                    run = self._spotting.resume(id)
                self._telling.reply(peer, CUES, id, "accepted", cues=len(run.rows), title=run.plan.title)
                self._peers[id] = peer
                self._shown.pop(id, None)
                self._tell(run)
        except DcldmError as error:
            self._telling.show(id, target, "error", str(error))
            raise

    def status(self, peer: Peer, id: str) -> bool:
        """Answer for a run; whether there is one of that name."""
        run = self._spotting.run(id)
        if run is not None:
            self._telling.reply(peer, STATUS, id, run.status, **_report(run))
        return run is not None

    def cancel(self, id: str) -> bool:
        """Stop a run; whether there is one of that name."""
        known = self._spotting.run(id) is not None
        if known:
            self._spotting.cancel(id)
        return known

    def _plan(
        self,
        id: str,
        *,
        path: str,
        host: str,
        project: str,
        sample_rate: int,
        fps: str,
        start: str,
        track: str,
        seconds: float,
        variations: int,
        snap: str,
        model: str,
    ) -> tuple[Plan, FrameRate]:
        defaults = Defaults(frame_rate(fps) if fps else None, start, seconds, variations, track, snap)
        target = self._target(host, project, sample_rate) if host else None
        place = target.project if target is not None else ""
        sheet = read_sheet(Path(path) if path else find_host(self._hosts, host).cue_sheet(place), defaults)
        return make_plan(sheet, id=id, model=model or self._model, target=target), sheet.rate

    def _target(self, host: str, project: str, sample_rate: int) -> TimelineTarget:
        """Project and rate as the host said them last, where the sender leaves them open."""
        sessions = find_host(self._hosts, host).describe().get("sessions")
        if isinstance(sessions, Mapping):
            if not project and len(sessions) != 1:
                there = ", ".join(map(repr, sessions)) or "none"
                raise InvalidInput(f"Open one session in {host}, or name the project (open are: {there}).")
            project = project or next(iter(sessions))
            sample_rate = sample_rate or int(sessions.get(project, {}).get("sample_rate", 0))
        return TimelineTarget(host, project, sample_rate=sample_rate or 48_000)

    def _follow(self, run: Run) -> None:
        with self._telling.lock:
            self._tell(run)

    def _tell(self, run: Run) -> None:
        report = _report(run)
        state = (int(str(report["rendered"])), run.status)
        if run.status == "progress" and self._shown.get(run.id) == state:
            return
        self._shown[run.id] = state
        # The host first: whoever has the reply may rely on it that the user was told.
        target = next((row.request.target for row in run.rows), None)
        self._telling.show(run.id, target, run.status, _sentence(run), state[0] / max(1, len(run.rows)))
        if (peer := self._peers.get(run.id)) is not None:
            self._telling.reply(peer, CUES, run.id, run.status, **report)
        if run.status != "progress":
            self._peers.pop(run.id, None)
            self._shown.pop(run.id, None)


def _preview(row: int, request: GenerationRequest, rate: FrameRate) -> dict[str, object]:
    target = request.target
    at = Fraction(target.position, target.sample_rate) if target is not None else None
    return {
        "row": row,
        "time": "" if at is None else timecode(at, rate),
        "seconds": request.seconds,
        "variations": len(request.seeds),
        "track": "" if target is None else target.track,
        "prompt": request.prompt.text,
    }


def _report(run: Run) -> dict[str, object]:
    rendered = sum(row.rendered for row in run.rows)
    failures = [{"row": error.row, "error": error.sentence} for error in run.failures]
    report: dict[str, object] = {"cues": len(run.rows), "rendered": rendered, "errors": failures[:SHOWN_ROWS]}
    report["done"] = sum(row.done for row in run.rows)
    return report


def _sentence(run: Run) -> str:
    count = len(run.rows)
    if run.status == "progress":
        for number, row in enumerate(run.rows, 1):
            if row.job is not None and row.job.state is JobState.RUNNING:
                return f"cue {number} of {count}: {row.request.prompt.text}"
        rendered = sum(row.rendered for row in run.rows)
        return "placing" if rendered == count else f"{rendered} of {count} cues are there"
    if run.status == "done":
        return f"{run.plan.title}: all {count} cues are there"
    errors = " ".join(str(error) for error in run.failures[:3])
    return f"{run.plan.title}: {sum(row.done for row in run.rows)} of {count} cues are there. {errors}".strip()
