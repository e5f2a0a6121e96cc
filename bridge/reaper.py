"""REAPER as a host: our Lua scripts inside it, a spool folder between us, and its OSC as a doorbell.

REAPER's OSC can run an action but carries no file, no answer and at most 1024 bytes; its Lua can send
nothing. So jobs go out as files (`bridge.daw.SpoolHost`), and the scripts' words come as files too
(`bridge.outbox`). A script in the background looks into the spool; where none runs, `/action/str` rings for
one that does it once and starts the other.

The alternates of a job are takes of one item, the first active. What a whole cue run places is one undo step.
(https://github.com/justinfrankel/reaper-sdk, reaper-plugins/reaper_csurf/csurf_osc.cpp)
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bridge.daw import CHOOSE, RESEND_SECONDS, TIMEOUT_SECONDS, SpoolHost, title_of, track_of
from bridge.host import Group, HostError, spots
from bridge.osc import HOST, encode
from bridge.spool import lines
from dcldm_plugin.types import Clip, TimelineTarget

IDS, OUTBOX = "ids.txt", "outbox"
DRAIN = "dcldm/dcldm_drain.lua"  # within REAPER's folder Scripts
PAUSE_SECONDS = 0.2  # between two rings: a script that is started while it still runs makes REAPER ask what to do
MAX_MESSAGE_BYTES = 900  # REAPER drops messages over 1024, with all that came in the same moment


def spool_folder(home: Path) -> Path:
    """Where the program and the scripts inside REAPER meet; `dcldm install reaper` writes it down there."""
    return home / "spool" / "reaper"


def command_id(script: str, section: int = 0) -> str:
    """The name by which REAPER knows a script's action: a hash of its path, relative to its folder Scripts.

    `section` of the action list: 0 is the main one, 32060 the MIDI editor's.
    """
    digest = hashlib.sha1(script.replace("\\", "/").upper().encode(), usedforsecurity=False).hexdigest()
    return f"_RS{f'{section:x}_' if section else ''}{digest}"


class ReaperHost(SpoolHost):
    """Every REAPER on this machine that has our scripts; each takes the jobs of the projects it has open."""

    name = "reaper"
    title = "REAPER"
    hint = "after `dcldm install reaper`"

    def __init__(
        self,
        folder: Path,
        port: int,
        timeout_seconds: float = TIMEOUT_SECONDS,
        resend_seconds: float = RESEND_SECONDS,
    ) -> None:
        """`port` is where REAPER's OSC device listens, if the user has made one."""
        super().__init__(folder, timeout_seconds, resend_seconds)
        self._peer = (HOST, port)
        self._ringing = threading.Lock()
        self._rung = -PAUSE_SECONDS  # monotonic seconds

    @property
    def outbox(self) -> Path:
        """Where the scripts leave their messages. `dcldm install reaper` makes it."""
        return self._spool.folder / OUTBOX

    def ask(self, groups: Sequence[Group]) -> None:
        super().ask(groups)
        self._ring()

    def ask_markers(self, project: str) -> None:
        super().ask_markers(project)
        self._ring()

    def beat(self) -> None:
        super().beat()
        if not self.open_sessions():
            self._ring()

    def choose(self, clips: Sequence[Clip], index: int, target: TimelineTarget) -> None:
        if not self.open_sessions():
            raise HostError(f"REAPER is not there; open the project {target.project!r} in it and choose again.")
        clip = next(one for one in clips if one.index == index)
        self._spool.write(CHOOSE, lines({"project": target.project, "job": clip.request_id, "clip": clip.id}))
        self._ring()

    def text(self, groups: Sequence[Group]) -> str:
        """Per clip, in seconds: `at`, where its item begins; `start`, where its own beginning lies, which may
        be before the item and before zero; `moment`, from that beginning, what falls on the asked position.
        """
        fields: dict[str, str | int | float] = {}
        number = 0
        for clips, target in groups:
            title = title_of(clips)
            for spot in spots(clips, target):
                number += 1
                at = spot.position / target.sample_rate
                values: dict[str, str | int | float] = {
                    "job": spot.clip.request_id,
                    "id": spot.clip.id,
                    "path": spot.clip.path.absolute().as_posix(),
                    "name": spot.clip.path.stem,
                    "prompt": spot.clip.prompt.text,
                    "title": title,
                    "track": track_of(target),
                    "item": target.item,
                    "at": at,
                    "start": at - spot.skip,
                    "moment": spot.moment,
                }
                fields |= {f"clip{number}_{name}": value for name, value in values.items()}
        undo = f"Generate: {fields['clip1_title']}" if len(groups) == 1 else f"Spot: {len(groups)} cues"
        return lines({"project": groups[0][1].project, "undo": undo, "clips": number, **fields})

    def _ring(self) -> None:
        """Ask REAPER to run the script that looks into the spool. Without an OSC device nothing happens."""
        if not self.outbox.is_dir():
            return  # our scripts are not there
        datagram = encode("/action/str", self._drain_id())
        assert len(datagram) <= MAX_MESSAGE_BYTES
        with self._ringing:
            time.sleep(max(0.0, self._rung + PAUSE_SECONDS - time.monotonic()))
            with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell:
                bell.sendto(datagram, self._peer)
            self._rung = time.monotonic()

    def _drain_id(self) -> str:
        """As REAPER itself gave it when the scripts were registered; else by its rule."""
        with suppress(OSError, UnicodeDecodeError):
            found = re.search(r"^dcldm_drain=(_\w+)$", (self._spool.folder / IDS).read_text(encoding="utf-8"), re.M)
            if found:
                return found[1]
        return command_id(DRAIN)
