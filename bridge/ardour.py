"""Ardour as a host: our Lua scripts inside it talk OSC to us, and look into a spool folder every 0.1 s.

Ardour's own OSC can't import a file, and its Lua can send OSC but not receive it. So requests, heartbeats
and confirmations come as OSC (`bridge.api`), while jobs and news go out as files (`bridge.daw.SpoolHost`).

Several clips of one job lie on one track at one position: the first on top, its alternates under it, muted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bridge.daw import TITLE_CHARACTERS, SpoolHost
from bridge.host import Group, HostError
from bridge.spool import lines, plain
from dcldm_plugin.types import Clip, Placement, TimelineTarget


def spool_folder(home: Path) -> Path:
    """Where the program and the scripts inside Ardour meet; `dcldm install ardour` writes it down there."""
    return home / "spool" / "ardour"


class ArdourHost(SpoolHost):
    """Every Ardour on this machine that has our scripts; each takes the jobs of the session it has open."""

    name = "ardour"
    title = "Ardour"
    hint = "after `dcldm install ardour`"

    def place_run(self, groups: Sequence[Group]) -> Sequence[Placement]:
        return [placement for group in groups for placement in super(ArdourHost, self).place_run([group])]

    def text(self, groups: Sequence[Group]) -> str:
        ((clips, target),) = groups
        return job_text(clips, target)


def job_text(clips: Sequence[Clip], target: TimelineTarget) -> str:
    """What the script reads of a job. Raises `HostError` for a clip that is not there or not to be told."""
    fields: dict[str, str | int] = {
        "job": clips[0].request_id,
        "title": clips[0].prompt.text[:TITLE_CHARACTERS].strip(),
        "project": target.project,
        "track": target.track,
        "position": target.position,
        "sample_rate": target.sample_rate,
        "clips": len(clips),
    }
    for number, clip in enumerate(clips, 1):
        path = clip.path.absolute()
        if not path.is_file():
            raise HostError(f"The clip {path} is not there any more; render it again, then place it.")
        fields[f"clip{number}_id"] = plain(clip.id)
        fields[f"clip{number}_path"] = path.as_posix()
    return lines(fields)
