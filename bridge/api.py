"""Our own OSC API: one table of addresses, what each takes, does and answers.

Replies go to the sender's address and port, under `/reply` + the address that was sent, and carry one JSON
string. Ids make resends safe: a request whose id is known is answered again, never rendered again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from bridge.arguments import Argument, described, read
from bridge.host import Hello, Host, News, Placed, PlacingFailed
from bridge.osc import MAX_DATAGRAM_BYTES, OscSocket, Peer
from dcldm_plugin import __version__
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.jobs import Job, JobState
from dcldm_plugin.library import Library
from dcldm_plugin.session import ClipReady, JobChanged, JobProgress, Session, SessionEvent
from dcldm_plugin.types import DEFAULT_SECONDS, RULES, Clip, Control, GenerationRequest, Kind, TimelineTarget
from dcldm_plugin.variations import AMOUNTS, audio_source, clip_at, vary

PROGRESS_SECONDS = 0.1  # at most one progress reply per job in this time, except at a new stage
MAX_ID_CHARACTERS = 64
STATUS_JOBS = 20  # how many of the newest jobs `/dcldm/status` lists

STATUS = {
    JobState.QUEUED: "accepted",
    JobState.RUNNING: "progress",
    JobState.PLACING: "progress",
    JobState.FINISHED: "done",
    JobState.FAILED: "error",
    JobState.CANCELLED: "cancelled",
    JobState.INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One address: what it takes, in order, what it does and what comes back."""

    address: str
    arguments: tuple[Argument, ...]
    meaning: str
    reply: str
    handle: Callable[..., None]


@dataclass
class _Watch:
    """Who is told about a job, and how far the telling is."""

    address: str  # where it was asked for
    peer: Peer | None
    target: TimelineTarget | None
    stage: tuple[int, str] = (-1, "")
    told: float = 0.0  # monotonic seconds


class Api:
    """The table at work: messages in, `Session` calls and replies out."""

    def __init__(
        self,
        session: Session,
        library: Library,
        hosts: Mapping[str, Host],
        osc: OscSocket,
        model: str = "builtin",
    ) -> None:
        """`model` is used where a message names none."""
        self._model = model
        self._session = session
        self._library = library
        self._hosts = hosts
        self._osc = osc
        self._rows = {row.address: row for row in TABLE}
        self._lock = threading.RLock()  # "accepted" comes before any other reply about a job
        self._watches: dict[str, _Watch] = {}

    def receive(self, address: str, arguments: Sequence[Any], peer: Peer) -> None:
        """Handle one message. Whatever is wrong with it is told to its sender."""
        if address.startswith("/reply"):
            return  # never answer an answer: two programs could go on for ever
        known = next((value for value in arguments[:1] if isinstance(value, str)), "")[:64]
        try:
            row = self._rows.get(address)
            if row is None:
                raise InvalidInput(f"There is no address {address[:64]!r}; the addresses are: {', '.join(self._rows)}.")
            row.handle(self, peer, **read(row.arguments, arguments))
        except DcldmError as error:
            self._reply(peer, address[:64], known, "error", error=str(error))

    def refuse(self, sentence: str, peer: Peer) -> None:
        """Answer what was not OSC at all."""
        self._reply(peer, "", "", "error", error=sentence)

    def follow(self, event: SessionEvent) -> None:
        """A listener of the session: progress and results go to whoever asked, and into the host."""
        with self._lock:
            match event:
                case JobProgress() if event.job_id in self._watches:
                    self._progress(event, self._watches[event.job_id])
                case ClipReady() if event.job_id in self._watches:
                    self._tell(event.job_id, "clip", clip=_clip(event.clip))
                case JobChanged() if event.job.state.over and event.job.id in self._watches:
                    job = event.job
                    self._tell(job.id, STATUS[job.state], **self._report(job))
                    self._show(job.id, job.request.target, *_outcome(job))
                    del self._watches[job.id]

    # What each address does

    def _ping(self, peer: Peer) -> None:
        hosts = {name: dict(host.describe()) for name, host in self._hosts.items()}
        self._reply(peer, "/dcldm/ping", "", "ok", version=__version__, hosts=hosts)

    def _generate(
        self,
        peer: Peer,
        *,
        id: str,
        prompt: str,
        seconds: float,
        variations: int,
        seed: int | None,
        model: str,
        like: str,
        weight: float,
        loop: int,
        stereo: float,
        **place: Any,
    ) -> None:
        def request(target: TimelineTarget | None) -> GenerationRequest:
            return GenerationRequest.create(
                prompt,
                id=id,
                seconds=seconds,
                variations=variations,
                seed=seed,
                model=model or self._model,
                target=target,
                control=Control("like", amount=weight, audio=audio_source(Path(like))) if like else None,
                loop=_switch("loop", loop),
                stereo=stereo,
            )

        self._submit(peer, GENERATE, id, request, **place)

    def _vary(
        self,
        peer: Peer,
        *,
        id: str,
        clips: str,
        control: str,
        amount: float | None,
        start: float,
        end: float,
        audio: str,
        prompt: str,
        seconds: float | None,
        variations: int,
        seed: int | None,
        model: str,
        loop: int | None,
        stereo: float | None,
        **place: Any,
    ) -> None:
        if control not in RULES:
            raise InvalidInput(f"There is no control {control[:40]!r}; send one of: {', '.join(RULES)}.")

        def request(target: TimelineTarget | None) -> GenerationRequest:
            return vary(
                [self._clip(name) for name in clips.splitlines()],
                cast(Kind, control),
                amount=amount,
                start=start,
                end=end,
                audio=Path(audio) if audio else None,
                text=prompt,
                seconds=seconds,
                loop=None if loop is None else _switch("loop", loop),
                stereo=stereo,
                variations=variations,
                seed=seed,
                model=model or None,
                target=target,
                id=id,
            )

        self._submit(peer, VARY, id, request, **place)

    def _submit(
        self,
        peer: Peer,
        address: str,
        id: str,
        request: Callable[[TimelineTarget | None], GenerationRequest],
        *,
        host: str,
        track: str,
        position: int,
        sample_rate: int,
        project: str,
    ) -> None:
        """Hand a request to the session and tell its sender, and the host that it is for, how it goes."""
        target = None
        try:
            with self._lock:
                if host:
                    target = TimelineTarget(host, project, track, position, sample_rate)
                made = request(target)
                job = self._session.submit(made)
                if job.state is JobState.INTERRUPTED:
                    job = self._session.resume(id)  # the sender still wants it
                self._reply(peer, address, id, STATUS[job.state], **self._report(job))
                if not job.state.over:
                    self._watches.setdefault(id, _Watch(address, peer, target)).peer = peer
                    self._show(id, target, "accepted", f"{made.prompt.text}: accepted")
        except DcldmError as error:
            self._show(id, target, "error", str(error))
            raise

    def _clip(self, name: str) -> Clip:
        """The clip that is meant by its id in the library or the path of its file."""
        found = self._library.get(name) if len(name) <= MAX_ID_CHARACTERS else None
        return found or clip_at(Path(name))

    def _cancel(self, peer: Peer, *, id: str) -> None:
        self._session.cancel(id)
        self._reply(peer, "/dcldm/cancel", id, "accepted")

    def _status(self, peer: Peer, *, id: str) -> None:
        if not id:
            jobs = [{"id": job.id, "status": STATUS[job.state]} for job in self._session.jobs()[:STATUS_JOBS]]
            self._reply(peer, "/dcldm/status", "", "ok", jobs=jobs)
            return
        job = self._session.job(id)
        if job is None:
            raise InvalidInput(f"There is no job {id[:64]!r}; ask /dcldm/status without an id for a list.")
        self._reply(peer, "/dcldm/status", id, STATUS[job.state], **self._report(job))

    def _hello(self, peer: Peer, *, host: str, project: str, sample_rate: int) -> None:
        self._host(host).hear(Hello(project, sample_rate))

    def _placed(self, peer: Peer, *, host: str, id: str, clip: str, item: str, track: str, position: int) -> None:
        self._host(host).hear(Placed(id, clip, item, track, position))

    def _failed(self, peer: Peer, *, host: str, id: str, sentence: str) -> None:
        self._host(host).hear(PlacingFailed(id, sentence))

    # Telling

    def _host(self, name: str) -> Host:
        if name not in self._hosts:
            raise InvalidInput(f"There is no host {name[:64]!r}; the hosts are: {', '.join(self._hosts)}.")
        return self._hosts[name]

    def _progress(self, event: JobProgress, watch: _Watch) -> None:
        now, stage = time.monotonic(), (event.index, event.stage)
        if stage == watch.stage and now - watch.told < PROGRESS_SECONDS:
            return
        new_stage = stage != watch.stage
        watch.stage, watch.told = stage, now
        self._tell(
            event.job_id,
            "progress",
            variation=event.index,
            stage=event.stage,
            fraction=round(event.fraction, 3),
        )
        if new_stage:
            text = f"variation {event.index + 1}: {event.stage}"
            self._show(event.job_id, watch.target, "progress", text, event.fraction)

    def _tell(self, job_id: str, status: str, **values: object) -> None:
        watch = self._watches[job_id]
        if watch.peer is not None:
            self._reply(watch.peer, watch.address, job_id, status, **values)

    def _show(self, job_id: str, target: TimelineTarget | None, status: str, text: str, fraction: float = 0.0) -> None:
        if target is not None and target.host in self._hosts:
            self._hosts[target.host].show(News(job_id, target.project, status, text, fraction))

    def _report(self, job: Job) -> dict[str, object]:
        """What a reply says of a job beside its status: clips that are there, placements, what went wrong."""
        report: dict[str, object] = {}
        clips = self._library.clips(request_id=job.id) if job.clip_ids else []
        if clips:
            report["clips"] = [_clip(clip) for clip in sorted(clips, key=lambda clip: clip.index)]
        if job.placements:
            report["placements"] = [asdict(placement) for placement in job.placements]
        if job.error:
            report["error"] = job.error
        return report

    def _reply(self, peer: Peer, address: str, job_id: str, status: str, **values: object) -> None:
        answer = {"id": job_id, "status": status, **values}
        text = json.dumps(answer, ensure_ascii=False)
        if len(text.encode()) > MAX_DATAGRAM_BYTES - 256:  # macOS carries no datagram over 9 KB
            answer = {"id": job_id, "status": status, "shortened": True, "error": values.get("error", "")}
            text = json.dumps(answer, ensure_ascii=False)
        self._osc.send(peer, f"/reply{address}", text)


def markdown() -> str:
    """The table as the README prints it."""
    rows = ["| address | arguments | meaning | reply |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{row.address}` | {', '.join(map(described, row.arguments)) or 'none'} | {row.meaning} | {row.reply} |"
        for row in TABLE
    ]
    return "\n".join(rows) + "\n"


def _clip(clip: Clip) -> dict[str, object]:
    return {"id": clip.id, "variation": clip.index, "path": str(clip.path), "seconds": clip.seconds}


def _switch(name: str, value: int) -> bool:
    if value not in (0, 1):
        raise InvalidInput(f"The argument {name!r} must be 0 or 1.")
    return value == 1


def _outcome(job: Job) -> tuple[str, str]:
    """A status and a sentence for the user inside the host."""
    if job.error:
        return "error", job.error
    return STATUS[job.state], f"{job.request.prompt.text}: {STATUS[job.state]}"


GENERATE, VARY = "/dcldm/generate", "/dcldm/vary"
_ID = Argument("id", "text", required=True)
_HOST = Argument("host", "text", required=True)
_PLACE = (
    Argument("host", "text", ""),
    Argument("track", "text", ""),
    Argument("position", "whole", 0),
    Argument("sample_rate", "whole", 48_000),
    Argument("project", "text", ""),
)
_PROGRESS = (
    "`accepted` at once; `progress` (`variation`, `stage`, `fraction`) and `clip` on the way; then "
    "`done` (`clips`, `placements`), `error`, `cancelled` or `interrupted`"
)

TABLE = (
    Row("/dcldm/ping", (), "Is the program there?", "`ok`, `version`, `hosts`", Api._ping),
    Row(
        GENERATE,
        (
            _ID,
            Argument("prompt", "text", required=True),
            Argument("seconds", "number", DEFAULT_SECONDS),
            Argument("variations", "whole", 1),
            Argument("seed", "whole"),
            Argument("model", "text", ""),
            *_PLACE,
            Argument("like", "text", ""),
            Argument("weight", "number", AMOUNTS["like"]),
            Argument("loop", "whole", 0),
            Argument("stereo", "number", 0.0),
        ),
        "Make clips of a prompt and, if a host is named, place them: `position` in samples at "
        "`sample_rate`, the session's. The sender makes the `id`; the same id again is the same job. `like` is "
        "an audio file whose timing is followed.",
        _PROGRESS,
        Api._generate,
    ),
    Row(
        VARY,
        (
            _ID,
            Argument("clips", "text", required=True),
            Argument("control", "text", required=True),
            Argument("amount", "number"),
            Argument("start", "number", 0.0),
            Argument("end", "number", 0.0),
            Argument("audio", "text", ""),
            Argument("prompt", "text", ""),
            Argument("seconds", "number"),
            Argument("variations", "whole", 1),
            Argument("seed", "whole"),
            Argument("model", "text", ""),
            *_PLACE,
            Argument("loop", "whole"),
            Argument("stereo", "number"),
        ),
        "Make variations of clips of ours, named by id or path, one a line; place them as `/dcldm/generate` does. "
        f"`control` is one of {', '.join(RULES)}; `start` and `end` in seconds are the part that `rearrange` and "
        "`repair` change; what is left out is as in the first clip.",
        _PROGRESS,
        Api._vary,
    ),
    Row("/dcldm/cancel", (_ID,), "Stop a job at its next step; its clips stay.", "`accepted`", Api._cancel),
    Row(
        "/dcldm/status",
        (Argument("id", "text", ""),),
        "How is a job, or without an id: which are the newest?",
        "the job's status with `clips`, `placements`; or `ok` with `jobs`",
        Api._status,
    ),
    Row(
        "/dcldm/hello",
        (_HOST, Argument("project", "text", ""), Argument("sample_rate", "whole", 48_000)),
        "A host's heartbeat, every 2 s.",
        "none",
        Api._hello,
    ),
    Row(
        "/dcldm/placed",
        (
            _HOST,
            _ID,
            Argument("clip", "text", required=True),
            Argument("item", "text", required=True),
            Argument("track", "text", ""),
            Argument("position", "whole", 0),
        ),
        "A host confirms that one clip of a job is on its timeline; `item` is its own name for it.",
        "none",
        Api._placed,
    ),
    Row(
        "/dcldm/failed",
        (_HOST, _ID, Argument("sentence", "text", required=True)),
        "A host could not place a job.",
        "none",
        Api._failed,
    ),
)
