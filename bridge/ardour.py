"""Ardour as a host: our Lua scripts inside it talk OSC to us, and look into a spool folder every 0.1 s.

Ardour's own OSC can't import a file, and its Lua can send OSC but not receive it. So requests, heartbeats
and confirmations come as OSC (`bridge.api`), while jobs and news go out as files:

- `place.txt`: the one job that is to be placed; the script takes it away. It is written again every few
  seconds until each clip is confirmed: the script knows what it has placed in the session, so a confirmation
  that got lost is repeated and nothing lands twice.
- `board.txt`: a heartbeat (`time=`, Unix seconds) and a line of news per job.

Several clips of one job lie on one track at one position: the first on top, its alternates under it, muted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from bridge.host import Hello, Host, HostError, HostWord, News, Placed, PlacingFailed
from bridge.spool import Spool, lines, plain
from dcldm_plugin.types import Clip, Placement, TimelineTarget

log = logging.getLogger(__name__)

PLACE, BOARD = "place.txt", "board.txt"
TIMEOUT_SECONDS = 20.0
RESEND_SECONDS = 5.0
BEAT_SECONDS = 2.0
SILENT_SECONDS = 6.0  # a host that said nothing for this long is taken to be gone
NEWS_SECONDS = 60.0  # how long the last news of a job stays on the board
TITLE_CHARACTERS = 40


def spool_folder(home: Path) -> Path:
    """Where the program and the scripts inside Ardour meet; `dcldm install ardour` writes it down there."""
    return home / "spool" / "ardour"


class ArdourHost(Host):
    """Every Ardour on this machine that has our scripts; each takes the jobs of the session it has open."""

    name = "ardour"

    def __init__(
        self,
        folder: Path,
        timeout_seconds: float = TIMEOUT_SECONDS,
        resend_seconds: float = RESEND_SECONDS,
    ) -> None:
        self._spool = Spool(folder)
        self._resend_seconds = resend_seconds
        self._timeout_seconds = timeout_seconds
        self._one_job = threading.Lock()
        self._changed = threading.Condition()
        self._stopping = False
        self._asked = ""  # the job that `place` waits for
        self._placed: dict[str, Placed] = {}  # its confirmations by clip id
        self._failure = ""
        self._sessions: dict[str, tuple[Hello, float]] = {}  # by name, and when heard of last (monotonic seconds)
        self._news: dict[str, tuple[News, float]] = {}
        self._beat = threading.Thread(target=self._beats, name="dcldm ardour", daemon=True)

    def start(self) -> None:
        self._spool.remove(PLACE)  # a job from a program that died; it is offered again, not placed unasked
        self._write_board()
        self._beat.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._beat.is_alive():
            self._beat.join()
        self._spool.remove(BOARD)

    def describe(self) -> Mapping[str, object]:
        sessions = {name: asdict(hello) for name, hello in self._open_sessions().items()}
        return {"connected": bool(sessions), "sessions": sessions}

    def folder(self, target: TimelineTarget) -> Path | None:
        hello = self._open_sessions().get(target.project)
        return Path(hello.folder) if hello is not None and hello.folder and Path(hello.folder).is_dir() else None

    def hear(self, word: HostWord) -> None:
        with self._changed:
            match word:
                case Hello():
                    self._sessions[word.project] = (word, time.monotonic())
                case Placed() if word.job_id == self._asked:
                    self._placed[word.clip_id] = word
                case PlacingFailed() if word.job_id == self._asked:
                    self._failure = word.sentence
                case _:
                    log.info("Ardour answered late: %s", word)
            self._changed.notify_all()

    def show(self, news: News) -> None:
        with self._changed:
            self._news[news.job_id] = (news, time.monotonic())
        self._write_board()

    def place(self, clips: Sequence[Clip], target: TimelineTarget) -> Sequence[Placement]:
        text = job_text(clips, target)
        with self._one_job:
            with self._changed:
                self._asked, self._placed, self._failure = clips[0].request_id, {}, ""
            deadline = time.monotonic() + self._timeout_seconds
            try:
                while (rest_seconds := deadline - time.monotonic()) > 0:
                    self._spool.write(PLACE, text)
                    if self._confirmed(clips, min(rest_seconds, self._resend_seconds)):
                        return [self._placement(clip) for clip in clips]
                raise HostError(self._why_silent(target))
            finally:
                self._asked = ""
                self._spool.remove(PLACE)

    def _confirmed(self, clips: Sequence[Clip], seconds: float) -> bool:
        """Wait for all clips. Raises `HostError` if the script can't place them or we are stopping."""

        def answered() -> bool:
            return bool(self._stopping or self._failure or all(clip.id in self._placed for clip in clips))

        with self._changed:
            complete = self._changed.wait_for(answered, seconds)
            if self._failure:
                raise HostError(self._failure)
            if self._stopping:
                raise HostError("dcldm was closed before Ardour had confirmed the clips; place them again.")
            return complete

    def _placement(self, clip: Clip) -> Placement:
        word = self._placed[clip.id]
        return Placement(clip.id, self.name, word.item, word.track, word.position)

    def _open_sessions(self) -> dict[str, Hello]:
        oldest = time.monotonic() - SILENT_SECONDS
        with self._changed:
            return {name: hello for name, (hello, heard) in sorted(self._sessions.items()) if heard >= oldest}

    def _why_silent(self, target: TimelineTarget) -> str:
        sessions = self._open_sessions()
        if not sessions:
            return (
                f"Ardour did not answer within {self._timeout_seconds:g} s; open the session "
                f"{target.project!r} there (after `dcldm install ardour`) and place the clips again."
            )
        if target.project and target.project not in sessions:
            return (
                f"Ardour has {next(iter(sessions))!r} open, and the clips belong to {target.project!r}; "
                "open that session and place them again."
            )
        return f"Ardour did not confirm the clips within {self._timeout_seconds:g} s; place them again."

    def _beats(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, BEAT_SECONDS):
                    return
            try:
                self._write_board()
            except HostError as error:
                log.warning("%s", error)

    def _write_board(self) -> None:
        with self._changed:
            oldest = time.monotonic() - NEWS_SECONDS
            self._news = {key: entry for key, entry in self._news.items() if entry[1] >= oldest}
            news = [entry[0] for entry in self._news.values()]
            rows = [f"time={int(time.time())}\n"]
            for one in news:
                rows.append("\t".join((f"job={one.job_id}", one.project, one.status, _one_line(one.text))))
                rows.append("\n")
            self._spool.write(BOARD, "".join(rows))


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


def _one_line(text: str) -> str:
    return " ".join(text.split())
