"""Our own OSC API: one table of addresses, what each takes, does and answers.

Replies go to the sender's address and port, under `/reply` + the address that was sent, and carry one JSON
string. Ids make resends safe: a request whose id is known is answered again, never rendered again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bridge.arguments import Argument, described, read
from bridge.cue_api import CHECK, CUES, CueApi
from bridge.gate import Gate, is_local
from bridge.host import Hello, Host, Placed, PlacingFailed
from bridge.osc import OscSocket, Peer
from bridge.spotting import Spotting
from bridge.telling import STATUS, Telling
from dcldm_plugin import __version__
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.jobs import Job, JobState
from dcldm_plugin.library import Library
from dcldm_plugin.session import Session, SessionEvent
from dcldm_plugin.types import DEFAULT_SECONDS, RULES, Clip, Control, GenerationRequest, Kind, TimelineTarget
from dcldm_plugin.variations import AMOUNTS, again, audio_source, clip_at, vary

MAX_ID_CHARACTERS = 64
STATUS_JOBS = 20  # how many of the newest jobs `/dcldm/status` lists


@dataclass(frozen=True, slots=True)
class Row:
    """One address: what it takes, in order, what it does and what comes back."""

    address: str
    arguments: tuple[Argument, ...]
    meaning: str
    reply: str
    handle: Callable[..., None]


class Api:
    """The table at work: messages in, `Session` calls and replies out."""

    def __init__(
        self,
        session: Session,
        library: Library,
        hosts: Mapping[str, Host],
        osc: OscSocket,
        spotting: Spotting,
        model: str = "builtin",
        gate: Gate | None = None,
    ) -> None:
        """`model` is used where a message names none; without a `gate` only this machine is heard."""
        self._model = model
        self._session = session
        self._library = library
        self._hosts = hosts
        self._telling = Telling(library, hosts, osc)
        self._cues = CueApi(spotting, hosts, self._telling, model)
        self._gate = gate or Gate()
        self._rows = {row.address: row for row in TABLE}

    def receive(self, address: str, arguments: Sequence[Any], peer: Peer) -> None:
        """Handle one message. Whatever is wrong with it is told to its sender."""
        if address.startswith("/reply"):
            return  # never answer an answer: two programs could go on for ever
        known = next((value for value in arguments[:1] if isinstance(value, str)), "")[:64]
        try:
            if address != PASSCODE and not self._gate.admits(peer):
                if not self._gate.may_be_told(peer):
                    return
                raise InvalidInput(f"Send {PASSCODE} with this program's passcode first.")
            row = self._rows.get(address)
            if row is None:
                raise InvalidInput(f"There is no address {address[:64]!r}; the addresses are: {', '.join(self._rows)}.")
            row.handle(self, peer, **read(row.arguments, arguments))
        except DcldmError as error:
            self._telling.reply(peer, address[:64], known, "error", error=str(error))

    def refuse(self, sentence: str, peer: Peer) -> None:
        """Answer what was not OSC at all."""
        if self._gate.admits(peer):
            self._telling.reply(peer, "", "", "error", error=sentence)

    def follow(self, event: SessionEvent) -> None:
        """A listener of the session: what happens is told to whoever asked for it."""
        self._telling.follow(event)

    # What each address does

    def _passcode(self, peer: Peer, *, passcode: str) -> None:
        self._gate.open(peer, passcode)
        self._telling.reply(peer, PASSCODE, "", "ok")

    def _ping(self, peer: Peer) -> None:
        hosts = {name: dict(host.describe()) for name, host in self._hosts.items()}
        self._telling.reply(peer, "/dcldm/ping", "", "ok", version=__version__, hosts=hosts)

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
        **place: Any,
    ) -> None:
        """Hand a request to the session and tell its sender, and the host that it is for, how it goes."""
        target = None
        try:
            with self._telling.lock:
                if host:
                    target = TimelineTarget(host, **place)
                job = self._session.submit(request(target))
                if job.state is JobState.INTERRUPTED:
                    job = self._session.resume(id)  # the sender still wants it
                self._telling.watch(job, address, peer)
        except DcldmError as error:
            self._telling.show(id, target, "error", str(error))
            raise

    def _clip(self, name: str) -> Clip:
        """The clip that is meant by its id in the library or the path of its file."""
        found = self._library.get(name) if len(name) <= MAX_ID_CHARACTERS else None
        return found or clip_at(Path(name))

    def _again(self, peer: Peer, *, id: str, clip: str, model: str, **place: Any) -> None:
        def request(target: TimelineTarget | None) -> GenerationRequest:
            return again(self._clip(clip), model=model or None, target=target, id=id)

        self._submit(peer, AGAIN, id, request, **place)

    def _place(self, peer: Peer, *, id: str) -> None:
        with self._telling.lock:
            self._telling.watch(self._session.place_again(id), "/dcldm/place", peer)

    def _choose(self, peer: Peer, *, id: str, variation: int) -> None:
        job = self._job(id)
        if job.request.target is None or not job.placements:
            raise InvalidInput(f"The clips of {id!r} are on no timeline; place them first.")
        clips = sorted(self._library.clips(request_id=id), key=lambda clip: clip.index)
        if variation not in {clip.index for clip in clips}:
            raise InvalidInput(f"There is no variation {variation} of {id!r}; it has 0 to {len(clips) - 1}.")
        self._host(job.request.target.host).choose(clips, variation, job.request.target)
        self._telling.reply(peer, "/dcldm/choose", id, "accepted", variation=variation)

    def _check_cues(self, peer: Peer, **values: Any) -> None:
        self._cues.check(peer, **values)

    def _spot(self, peer: Peer, **values: Any) -> None:
        self._cues.spot(peer, **values)

    def _cancel(self, peer: Peer, *, id: str) -> None:
        if not self._cues.cancel(id):
            self._session.cancel(id)
        self._telling.reply(peer, "/dcldm/cancel", id, "accepted")

    def _status(self, peer: Peer, *, id: str) -> None:
        if not id:
            jobs = [{"id": job.id, "status": STATUS[job.state]} for job in self._session.jobs()[:STATUS_JOBS]]
            self._telling.reply(peer, "/dcldm/status", "", "ok", jobs=jobs)
            return
        if self._cues.status(peer, id):
            return
        job = self._job(id)
        self._telling.reply(peer, "/dcldm/status", id, STATUS[job.state], **self._telling.report(job))

    def _hello(self, peer: Peer, *, host: str, **values: Any) -> None:
        self._host(host, peer).hear(Hello(**values))

    def _placed(self, peer: Peer, *, host: str, id: str, clip: str, item: str, track: str, position: int) -> None:
        self._host(host, peer).hear(Placed(id, clip, item, track, position))

    def _failed(self, peer: Peer, *, host: str, id: str, sentence: str) -> None:
        self._host(host, peer).hear(PlacingFailed(id, sentence))

    def _host(self, name: str, peer: Peer | None = None) -> Host:
        """The host of that name. What a `peer` says for a host counts only from this machine."""
        if peer is not None and not is_local(peer):
            raise InvalidInput("A host speaks from the machine that it runs on.")
        if name not in self._hosts:
            raise InvalidInput(f"There is no host {name[:64]!r}; the hosts are: {', '.join(self._hosts)}.")
        return self._hosts[name]

    def _job(self, id: str) -> Job:
        job = self._session.job(id)
        if job is None:
            raise InvalidInput(f"There is no job {id[:64]!r}; ask /dcldm/status without an id for a list.")
        return job


def markdown() -> str:
    """The table as the README prints it."""
    rows = ["| address | arguments | meaning | reply |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{row.address}` | {', '.join(map(described, row.arguments)) or 'none'} | {row.meaning} | {row.reply} |"
        for row in TABLE
    ]
    return "\n".join(rows) + "\n"


def _switch(name: str, value: int) -> bool:
    if value not in (0, 1):
        raise InvalidInput(f"The argument {name!r} must be 0 or 1.")
    return value == 1


GENERATE, VARY, AGAIN, PASSCODE = "/dcldm/generate", "/dcldm/vary", "/dcldm/again", "/dcldm/passcode"
_ID = Argument("id", "text", required=True)
_HOST = Argument("host", "text", required=True)
_PLACE = (
    Argument("host", "text", ""),
    Argument("track", "text", ""),
    Argument("position", "whole", 0),
    Argument("sample_rate", "whole", 48_000),
    Argument("project", "text", ""),
)
_ON_PLACE = (Argument("item", "text", ""), Argument("snap", "text", ""))  # came later, so they stand last
_SHEET = (
    Argument("host", "text", ""),
    Argument("project", "text", ""),
    Argument("sample_rate", "whole", 0),
    Argument("fps", "text", ""),
    Argument("start", "text", ""),
    Argument("track", "text", ""),
    Argument("seconds", "number", DEFAULT_SECONDS),
    Argument("variations", "whole", 1),
    Argument("snap", "text", ""),
    Argument("model", "text", ""),
)
_PROGRESS = (
    "`accepted` at once; `progress` (`variation`, `stage`, `fraction`) and `clip` on the way; then "
    "`done` (`clips`, `placements`), `error`, `cancelled` or `interrupted`"
)

TABLE = (
    Row("/dcldm/ping", (), "Is the program there?", "`ok`, `version`, `hosts`", Api._ping),
    Row(
        PASSCODE,
        (Argument("passcode", "text", required=True),),
        "From another machine, where that is allowed: before anything else, and again after 12 hours.",
        "`ok`",
        Api._passcode,
    ),
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
            *_ON_PLACE,
        ),
        "Make clips of a prompt and, if a host is named, place them: `position` in samples at "
        "`sample_rate`, the session's. The sender makes the `id`; the same id again is the same job. `like` is "
        "an audio file whose timing is followed. `item` is the host's name for what the clips take the place of, "
        "which is kept as a take; `snap` (onset, peak) is the moment of each clip that falls on `position`.",
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
            *_ON_PLACE,
        ),
        "Make variations of clips of ours, named by id or path, one a line; place them as `/dcldm/generate` does. "
        f"`control` is one of {', '.join(RULES)}; `start` and `end` in seconds are the part that `rearrange` and "
        "`repair` change; what is left out is as in the first clip.",
        _PROGRESS,
        Api._vary,
    ),
    Row(
        AGAIN,
        (_ID, Argument("clip", "text", required=True), Argument("model", "text", ""), *_PLACE, *_ON_PLACE),
        "Make a clip once more from what its own file says of it, also years later; or the same words and seeds "
        "with another model.",
        _PROGRESS,
        Api._again,
    ),
    Row(
        "/dcldm/place",
        (_ID,),
        "Place the clips of a job again, where it was asked for; what is there already is left alone.",
        "as of `/dcldm/generate`",
        Api._place,
    ),
    Row(
        "/dcldm/choose",
        (_ID, Argument("variation", "whole", required=True)),
        "Let another variation of a placed job be heard, counted from 0; the others stay beside it.",
        "`accepted`, `variation`",
        Api._choose,
    ),
    Row(
        CHECK,
        (_ID, Argument("path", "text", ""), *_SHEET),
        "Say what spotting a cue sheet (CSV) would do; without a path, the open session's own markers, where the host "
        "tells them (Live's locators). `fps` and `start` (the timecode of the timeline's beginning) "
        "are for sheets that don't say; `track` to `model` hold for rows that don't. Project and rate default to the "
        "open session's. The host shows it and asks whether to go on.",
        "`ok`, `cues`, `clips`, `rows`, `errors` by row",
        Api._check_cues,
    ),
    Row(
        CUES,
        (_ID, Argument("path", "text", ""), *_SHEET, Argument("leave_out", "whole", 0)),
        "Spot a cue sheet: render every row, then place all in one step. The same id again goes on where it was; "
        "without a path it is the sheet that was checked, or a run of an earlier time. Rows with errors stop it, "
        "unless `leave_out` is 1.",
        "`accepted`; `progress` (`cues`, `rendered`, `done`, `errors`); then `done`, `error`, `cancelled` or "
        "`interrupted`",
        Api._spot,
    ),
    Row("/dcldm/cancel", (_ID,), "Stop a job or run at its next step; its clips stay.", "`accepted`", Api._cancel),
    Row(
        "/dcldm/status",
        (Argument("id", "text", ""),),
        "How is a job or run, or without an id: which jobs are the newest?",
        "the job's status with `clips`, `placements`; or `ok` with `jobs`",
        Api._status,
    ),
    Row(
        "/dcldm/hello",
        (
            _HOST,
            Argument("project", "text", ""),
            Argument("sample_rate", "whole", 48_000),
            Argument("application", "text", ""),
            Argument("folder", "text", ""),
            Argument("track", "text", ""),
            Argument("position", "whole", 0),
            Argument("item", "text", ""),
            Argument("file", "text", ""),
        ),
        "A host's heartbeat, every 2 s: the session that is open, what the host is, the project's media folder "
        "(clips are written there), the selected track, the playhead, the selected item and the file that it plays.",
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
