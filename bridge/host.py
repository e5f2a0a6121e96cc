"""What a host is: a DAW, or what stands in for one, that clips can be placed in.

A host's scripts speak to us over OSC (`bridge.api` turns that into `HostWord`s) and we speak to them in
whatever way they can hear: a spool folder, a watched folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dcldm_plugin.audio.moment import moment
from dcldm_plugin.errors import DcldmError, InvalidInput
from dcldm_plugin.session import Placer
from dcldm_plugin.types import Clip, TimelineTarget


class HostError(DcldmError):
    """A host did not do what it was asked for: one sentence, which says what to do."""


def slot_of(item: str) -> str:
    """The item, if it is a slot ("slot <track> <scene>" in Live), which may be empty: a place, not a clip. Else ""."""
    return item if item.startswith("slot ") else ""


@dataclass(frozen=True, slots=True)
class Hello:
    """A host's heartbeat: what it is, which session it has open, and where the user is in it.

    `sample_rate` in Hz, `position` (of the playhead) in samples. `folder` is the project's media folder.
    `item` is the host's own name for what is selected on the timeline, `file` the sound that it plays. The range
    (in samples; a length of 0 for none) is the selected one, or else that of the selected item.
    """

    project: str
    sample_rate: int
    application: str = ""
    folder: str = ""
    track: str = ""
    position: int = 0
    item: str = ""
    file: str = ""
    range_start: int = 0
    range_length: int = 0

    def target(self, host: str) -> TimelineTarget:
        """Where something new goes: to the playhead on the selected track, or into the slot that is selected."""
        return TimelineTarget(host, self.project, self.track, self.position, self.sample_rate, slot_of(self.item))


@dataclass(frozen=True, slots=True)
class Placed:
    """A host's word that one clip of a job is on its timeline, at `position` in the session's samples."""

    job_id: str
    clip_id: str
    item: str
    track: str
    position: int


@dataclass(frozen=True, slots=True)
class PlacingFailed:
    """A host's word that it could not place a job, and why."""

    job_id: str
    sentence: str


HostWord = Hello | Placed | PlacingFailed

Group = tuple[Sequence[Clip], TimelineTarget]
"""The clips of one job and where they go."""


@dataclass(frozen=True, slots=True)
class News:
    """How a job that was asked for inside a host is getting on. `status` as in the OSC API."""

    job_id: str
    project: str
    status: str
    text: str
    fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class Spot:
    """Where one clip of a job goes, snapping done: what every host needs to know of it.

    `position` in samples at the target's rate. `skip`: seconds of the clip that would lie before the start of
    the timeline and are left out. `moment`: seconds into the clip of what falls on the asked position.
    """

    clip: Clip
    position: int
    skip: float
    moment: float


def spots(clips: Sequence[Clip], target: TimelineTarget) -> list[Spot]:
    """Where each clip of a job goes. Raises `HostError` for a file that is gone, `InvalidInput` for a bad one."""
    found = []
    for clip in clips:
        if not clip.path.is_file():
            raise HostError(f"The clip {clip.path} is not there any more; render it again, then place it.")
        seconds = moment(clip.path, target.snap)
        position = target.position - round(seconds * target.sample_rate)
        found.append(Spot(clip, max(0, position), max(0, -position) / target.sample_rate, seconds))
    return found


class Host(Placer, Protocol):
    """A `Placer` that can be started, stopped, spoken to and asked how it is; most of that is optional.

    `place` puts the clips of one job on the timeline, the first as the one that is heard. It returns when the
    host has confirmed each. Placing what is there already confirms it again and places nothing twice. Raises
    `HostError`.
    """

    def choose(self, clips: Sequence[Clip], index: int, target: TimelineTarget) -> None:
        """Tell the host to let the one of a job's placed clips that has this index be heard; waits for nothing.

        Raises `HostError` if the host is not there or can't do it.
        """
        raise HostError(f"In {self.name} a take can't be chosen from outside; choose it there.")

    def cue_sheet(self, project: str = "") -> Path:
        """The markers of a session that is open, as a cue sheet in a file of the host's. Without a name, of the first.

        Raises `HostError` if the host is not there or can't tell them.
        """
        raise HostError(f"{self.name} does not tell its markers from outside; name a cue sheet.")

    def start(self) -> None:
        """Begin to listen. Raises `DcldmError` if that is not possible."""
        return

    def stop(self) -> None:
        """Let go of everything; whoever waits in `place` gets a `HostError` at once."""
        return

    def hear(self, word: HostWord) -> None:
        """Take a word from the scripts inside the host."""
        return

    def show(self, news: News) -> None:
        """Let the user see, inside the host, how a job is getting on."""
        return

    def open_sessions(self) -> Mapping[str, Hello]:
        """What is open in the host, by the name of the session."""
        return {}

    def describe(self) -> Mapping[str, object]:
        """Plain values for people and scripts: is it there, what does it have open.

        A DAW says `connected` and `sessions`: name -> `Hello` as a mapping.
        """
        ...


def find_host(hosts: Mapping[str, Host], name: str) -> Host:
    """The host of that name. Raises `InvalidInput` with the names that there are."""
    if name not in hosts:
        raise InvalidInput(f"There is no host {name[:64]!r}; the hosts are: {', '.join(hosts)}.")
    return hosts[name]
