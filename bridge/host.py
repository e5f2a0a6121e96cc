"""What a host is: a DAW, or what stands in for one, that clips can be placed in.

A host's scripts speak to us over OSC (`bridge.api` turns that into `HostWord`s) and we speak to them in
whatever way they can hear: a spool folder, a watched folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.types import Clip, Placement, TimelineTarget


class HostError(DcldmError):
    """A host did not do what it was asked for: one sentence, which says what to do."""


@dataclass(frozen=True, slots=True)
class Hello:
    """A host's heartbeat: which session it has open, and at which rate in Hz."""

    project: str
    sample_rate: int


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


@dataclass(frozen=True, slots=True)
class News:
    """How a job that was asked for inside a host is getting on. `status` as in the OSC API."""

    job_id: str
    project: str
    status: str
    text: str
    fraction: float = 0.0


class Host(Protocol):
    """A `Placer` that can be started, stopped, spoken to and asked how it is; most of that is optional."""

    @property
    def name(self) -> str:
        """What a `TimelineTarget` calls it."""
        ...

    def place(self, clips: Sequence[Clip], target: TimelineTarget) -> Sequence[Placement]:
        """Put the clips of one job on the timeline, the first as the one that is heard.

        Returns when the host has confirmed each. Placing what is there already confirms it again and
        places nothing twice. Raises `HostError`.
        """
        ...

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

    def describe(self) -> Mapping[str, object]:
        """Plain values for people and scripts: is it there, what does it have open."""
        ...
