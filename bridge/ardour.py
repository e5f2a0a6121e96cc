"""Ardour as a host: our Lua scripts inside it talk OSC to us, and look into a spool folder every 0.1 s.

Ardour's own OSC can't import a file, and its Lua can send OSC but not receive it. So requests, heartbeats
and confirmations come as OSC (`bridge.api`), while jobs and news go out as files (`bridge.daw.SpoolHost`).

Several clips of one job lie on one track at one position: the first on top, its alternates under it, muted,
and under them the region that they took the place of. `choose.txt` asks for another one to be heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge.daw import CHOOSE, SpoolHost, title_of, track_of
from bridge.host import Group, HostError, spots
from bridge.spool import lines, plain
from dcldm_plugin.types import Clip, TimelineTarget


def spool_folder(home: Path) -> Path:
    """Where the program and the scripts inside Ardour meet; `dcldm install ardour` writes it down there."""
    return home / "spool" / "ardour"


class ArdourHost(SpoolHost):
    """Every Ardour on this machine that has our scripts; each takes the jobs of the session it has open."""

    name = "ardour"
    title = "Ardour"
    hint = "after `dcldm install ardour`"

    def text(self, groups: Sequence[Group]) -> str:
        return job_text(groups)

    def choose(self, clips: Sequence[Clip], index: int, target: TimelineTarget) -> None:
        if target.project not in self.open_sessions():
            raise HostError(f"Ardour does not have {target.project!r} open; open that session and choose again.")
        rows = [
            {"job": clip.request_id, "id": clip.id, "path": clip.path.absolute().as_posix()}
            | {"alternate": int(clip.index != index)}
            for clip in clips
        ]
        self._spool.write(CHOOSE, _text({"job": clips[0].request_id, "project": target.project}, rows))


def job_text(groups: Sequence[Group]) -> str:
    """What the script reads of what it is to place in one step. Raises `HostError` for what can't be told."""
    clips, target = groups[0]
    title = title_of(clips)
    step = f"Generate: {title}"
    if target.run:
        step = f"Spot: {len(groups)} cues"
    elif target.item:
        step = f"Vary: {title}"
    head = {"job": clips[0].request_id, "title": title, "step": step, "project": target.project}
    rows: list[Mapping[str, str | int | float]] = []
    for clips, target in groups:
        for number, spot in enumerate(spots(clips, target)):
            rows.append(
                {
                    "job": spot.clip.request_id,
                    "id": spot.clip.id,
                    "path": spot.clip.path.absolute().as_posix(),
                    "rate": spot.clip.sample_rate,
                    "track": track_of(target),
                    "position": spot.position,
                    "timeline_rate": target.sample_rate,
                    "skip": f"{spot.skip:.9f}",
                    "moment": f"{spot.moment:.9f}",
                    "item": target.item,
                    "alternate": int(number > 0),
                }
            )
    return _text(head, rows)


def _text(head: Mapping[str, str | int], clips: Sequence[Mapping[str, str | int | float]]) -> str:
    """`name=value` lines; those of each clip on one line, a tab between them."""
    rows = ["\t".join(f"{name}={plain(str(value))}" for name, value in clip.items()) for clip in clips]
    numbered = "".join(f"clip{number}={row}\n" for number, row in enumerate(rows, 1))
    return lines({**head, "clips": len(rows)}) + numbered
