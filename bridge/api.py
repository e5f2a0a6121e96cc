"""Our own OSC API: what stands in `bridge.table`, done.

Replies go to the sender's address and port, under `/reply` + the address that was sent, and carry one JSON
string. Ids make resends safe: a request whose id is known is answered again, never rendered again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from bridge import table
from bridge.arguments import read
from bridge.cue_api import CueApi
from bridge.gate import Gate, is_local
from bridge.host import Hello, Host, Placed, PlacingFailed, find_host
from bridge.osc import OscSocket, Peer
from bridge.spotting import Spotting
from bridge.telling import STATUS, Telling
from dcldm_plugin import __version__
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.jobs import Job, JobState
from dcldm_plugin.library import Library
from dcldm_plugin.session import Session, SessionEvent
from dcldm_plugin.types import RULES, Clip, Control, GenerationRequest, Kind, TimelineTarget
from dcldm_plugin.variations import again, audio_source, clip_at, vary

MAX_ID_CHARACTERS = 64
STATUS_JOBS = 20  # how many of the newest jobs `/dcldm/status` lists


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
        handlers: dict[str, Callable[..., None]] = {
            table.PING: self._ping,
            table.PASSCODE: self._passcode,
            table.GENERATE: self._generate,
            table.VARY: self._vary,
            table.AGAIN: self._again,
            **{f"{table.SELECTED}{kind}": partial(self._selected, kind) for kind in table.ON_SELECTED},
            table.PLACE: self._place,
            table.CHOOSE: self._choose,
            table.CHECK: self._cues.check,
            table.CUES: self._cues.spot,
            table.CANCEL: self._cancel,
            table.STATUS: self._status,
            table.MODELS: self._models,
            table.HELLO: self._hello,
            table.PLACED: self._placed,
            table.FAILED: self._failed,
        }
        self._rows = {row.address: (row.arguments, handlers[row.address]) for row in table.TABLE}

    def receive(self, address: str, arguments: Sequence[Any], peer: Peer) -> None:
        """Handle one message. Whatever is wrong with it is told to its sender."""
        if address.startswith("/reply"):
            return  # never answer an answer: two programs could go on for ever
        known = next((value for value in arguments[:1] if isinstance(value, str)), "")[:64]
        try:
            if address != table.PASSCODE and not self._gate.admits(peer):
                if not self._gate.may_be_told(peer):
                    return
                raise InvalidInput(f"Send {table.PASSCODE} with this program's passcode first.")
            row = self._rows.get(address)
            if row is None:
                raise InvalidInput(f"There is no address {address[:64]!r}; the addresses are: {', '.join(self._rows)}.")
            expected, handle = row
            handle(peer, **read(expected, arguments))
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
        self._telling.reply(peer, table.PASSCODE, "", "ok")

    def _ping(self, peer: Peer) -> None:
        hosts = {name: dict(host.describe()) for name, host in self._hosts.items()}
        self._telling.reply(peer, table.PING, "", "ok", version=__version__, hosts=hosts)

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
        def request(id: str, target: TimelineTarget | None) -> GenerationRequest:
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

        self._submit(peer, table.GENERATE, id, request, **place)

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

        def request(id: str, target: TimelineTarget | None) -> GenerationRequest:
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

        self._submit(peer, table.VARY, id, request, **place)

    def _submit(
        self,
        peer: Peer,
        address: str,
        id: str,
        request: Callable[[str, TimelineTarget | None], GenerationRequest],
        *,
        host: str,
        **place: Any,
    ) -> None:
        """Hand a request to the session and tell its sender, and the host that it is for, how it goes."""
        id, target = id or uuid.uuid4().hex, None
        try:
            with self._telling.lock:
                if host:
                    target = self._target(host, **place)
                job = self._session.submit(request(id, target))
                if job.state is JobState.INTERRUPTED:
                    job = self._session.resume(id)  # the sender still wants it
                self._telling.watch(job, address, peer)
        except DcldmError as error:
            self._telling.show(id, target, "error", str(error))
            raise

    def _target(self, host: str, position: int | None, **place: Any) -> TimelineTarget:
        """Where clips are to land: what a message says of it, and without a position where the user is now."""
        if position is None:
            hello = next(iter(self._heard(host, place["project"])), None)
            if hello is not None:
                here = hello.target(host)
                track, item = place["track"] or here.track, place["item"] or here.item
                return replace(here, track=track, item=item, snap=place["snap"])
        return TimelineTarget(host, position=position or 0, **place)

    def _heard(self, host: str, project: str = "") -> list[Hello]:
        """What a host said last of the sessions that are open in it, or of the one of that name."""
        sessions = self._host(host).open_sessions()
        return [hello for name, hello in sessions.items() if project in {"", name}]

    def _clip(self, name: str) -> Clip:
        """The clip that is meant by its id in the library or the path of its file."""
        found = self._library.get(name) if len(name) <= MAX_ID_CHARACTERS else None
        return found or clip_at(Path(name))

    def _again(self, peer: Peer, *, id: str, clip: str, model: str, **place: Any) -> None:
        def request(id: str, target: TimelineTarget | None) -> GenerationRequest:
            return again(self._clip(clip), model=model or None, target=target, id=id)

        self._submit(peer, table.AGAIN, id, request, **place)

    def _selected(self, kind: str, peer: Peer, *, pressed: float, variations: int, host: str) -> None:
        if not pressed:
            return
        names = [host] if host else list(self._hosts)
        there = [(name, hello) for name in names for hello in self._heard(name)]
        found = next(((name, hello) for name, hello in there if hello.item and hello.file), None)
        if found is None:
            what = "a clip of ours" if there else "a clip of ours in a DAW that has our scripts"
            raise InvalidInput(f"Nothing is selected there; select {what}, and send this again after two seconds.")
        name, hello = found
        target = replace(hello.target(name), item=hello.item)
        values = {field: getattr(target, field) for field in ("track", "position", "sample_rate", "project", "item")}

        def request(id: str, target: TimelineTarget | None) -> GenerationRequest:
            clip = self._clip(hello.file)
            if kind == "again":
                return again(clip, target=target, id=id)
            return vary([clip], cast(Kind, kind), variations=variations, target=target, id=id)

        self._submit(peer, f"{table.SELECTED}{kind}", "", request, host=name, snap="", **values)

    def _place(self, peer: Peer, *, id: str) -> None:
        with self._telling.lock:
            self._telling.watch(self._session.place_again(id), table.PLACE, peer)

    def _choose(self, peer: Peer, *, id: str, variation: int) -> None:
        job = self._job(id)
        if job.request.target is None or not job.placements:
            raise InvalidInput(f"The clips of {id!r} are on no timeline; place them first.")
        clips = sorted(self._library.clips(request_id=id), key=lambda clip: clip.index)
        if variation not in {clip.index for clip in clips}:
            raise InvalidInput(f"There is no variation {variation} of {id!r}; it has 0 to {len(clips) - 1}.")
        self._host(job.request.target.host).choose(clips, variation, job.request.target)
        self._telling.reply(peer, table.CHOOSE, id, "accepted", variation=variation)

    def _cancel(self, peer: Peer, *, id: str) -> None:
        if not self._cues.cancel(id):
            self._session.cancel(id)
        self._telling.reply(peer, table.CANCEL, id, "accepted")

    def _status(self, peer: Peer, *, id: str) -> None:
        if not id:
            jobs = [{"id": job.id, "status": STATUS[job.state]} for job in self._session.jobs()[:STATUS_JOBS]]
            self._telling.reply(peer, table.STATUS, "", "ok", jobs=jobs)
            return
        if self._cues.status(peer, id):
            return
        job = self._job(id)
        self._telling.reply(peer, table.STATUS, id, STATUS[job.state], **self._telling.report(job))

    def _models(self, peer: Peer, *, name: str) -> None:
        if not name:
            infos = [entry.info for entry in registry.models().values()]
            models = [{"name": info.name, "title": info.title, "commercial_use": info.commercial_use} for info in infos]
            self._telling.reply(peer, table.MODELS, "", "ok", models=models)
            return
        info = registry.describe(registry.full_name(name))
        reasons = {control: info.why_not(control) for control in (*RULES, "loop", "stereo", "negative")}
        lacks = {control: reason for control, reason in reasons.items() if reason}
        self._telling.reply(peer, table.MODELS, "", "ok", model=asdict(info), lacks=lacks)

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
        return find_host(self._hosts, name)

    def _job(self, id: str) -> Job:
        job = self._session.job(id)
        if job is None:
            raise InvalidInput(f"There is no job {id[:64]!r}; ask /dcldm/status without an id for a list.")
        return job


def _switch(name: str, value: int) -> bool:
    if value not in (0, 1):
        raise InvalidInput(f"The argument {name!r} must be 0 or 1.")
    return value == 1
