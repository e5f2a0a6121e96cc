"""Ableton Live as a host: our own control surface inside it, which speaks OSC on 127.0.0.1.

A message to Live carries the path of a job (JSON, in the spool folder), never the job itself: a run of many
cues would not fit into a datagram. Live answers over the OSC API like any other host. Datagrams may get lost,
come twice or late: the job is asked for again until each clip is confirmed, and the script knows clips by
their files.

Live counts in beats and hides its sample rate: positions are samples at 48 kHz under the set's tempo, which is
taken for constant.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bridge.daw import TIMEOUT_SECONDS, DawHost, title_of, track_of
from bridge.host import Group, News, spots
from bridge.osc import HOST, encode

RESEND_SECONDS = 1.0
JOB = "place.json"


def spool_folder(home: Path) -> Path:
    """Where the program leaves jobs for Live; `dcldm install live` writes it down there."""
    return home / "spool" / "live"


class LiveHost(DawHost):
    """The Live on this machine that has our control surface chosen."""

    name = "live"
    title = "Ableton Live"
    hint = "after `dcldm install live`, with DC-LDM chosen as a control surface"
    markers = "locators.csv"

    def __init__(
        self,
        folder: Path,
        port: int,
        timeout_seconds: float = TIMEOUT_SECONDS,
        resend_seconds: float = RESEND_SECONDS,
    ) -> None:
        """`port` is where the control surface listens."""
        super().__init__(folder, timeout_seconds, resend_seconds)
        self._peer = (HOST, port)
        self._job = ""  # that lies in the spool

    def ask(self, groups: Sequence[Group]) -> None:
        text = job_text(groups)
        if text != self._job:  # once: Windows lets no file be replaced while it is read
            self._spool.write(JOB, text)
            self._job = text
        self._send("/dcldm/place", str((self._spool.folder / JOB).absolute()))

    def take_back(self) -> None:
        self._job = ""
        self._spool.remove(JOB)

    def show(self, news: News) -> None:
        part = f"  {news.fraction:.0%}" if news.status == "progress" else ""
        self._send("/dcldm/news", f"DC-LDM: {news.text}{part}", news.status)

    def ask_markers(self, project: str) -> None:
        self._send("/dcldm/locators")

    def _send(self, address: str, *arguments: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(encode(address, *arguments), self._peer)


def job_text(groups: Sequence[Group]) -> str:
    """What the script reads of a job. Times are in seconds: `at`, where a clip is to begin; `start`, where its own
    beginning would lie, which may be before zero. Raises `HostError`.
    """
    told = []
    for clips, target in groups:
        placed = [
            {
                "id": spot.clip.id,
                "path": str(spot.clip.path.absolute()),
                "name": spot.clip.path.stem,
                "seconds": spot.clip.seconds,
                "at": spot.position / target.sample_rate,
                "start": spot.position / target.sample_rate - spot.skip,
            }
            for spot in spots(clips, target)
        ]
        job = {"job": clips[0].request_id, "title": title_of(clips), "track": track_of(target), "item": target.item}
        told.append({**job, "clips": placed})
    return json.dumps({"project": groups[0][1].project, "groups": told}, ensure_ascii=False)
