"""What all DAWs with scripts of ours have in common: they are asked, answer in their own time, and may be gone.

`DawHost` keeps asking until every clip is confirmed; scripts know what they have placed, so that asking again
is safe. `SpoolHost` asks through files: for scripts that can open a file but receive nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from bridge.host import Group, Hello, Host, HostError, HostWord, News, Placed, PlacingFailed
from bridge.spool import Spool, lines
from dcldm_plugin.types import Clip, Placement, TimelineTarget

log = logging.getLogger(__name__)

PLACE, BOARD, CHOOSE, MARKERS = "place.txt", "board.txt", "choose.txt", "markers.txt"
TIMEOUT_SECONDS = 20.0  # without a word of what was asked for
RESEND_SECONDS = 5.0
MARKERS_SECONDS = 6.0  # for the markers of a session
BEAT_SECONDS = 2.0
SILENT_SECONDS = 6.0  # a host that said nothing for this long is taken to be gone
NEWS_SECONDS = 60.0  # how long the last news of a job stays on the board
TITLE_CHARACTERS = 40
RUN_TRACK = "Cues"  # for the cues of a run that name no track


def title_of(clips: Sequence[Clip]) -> str:
    """What a job is called in a DAW: the beginning of its prompt."""
    return clips[0].prompt.text[:TITLE_CHARACTERS].strip()


def track_of(target: TimelineTarget) -> str:
    """The track that is asked for; empty for a new one."""
    return target.track or (RUN_TRACK if target.run else "")


class DawHost(Host):
    """Every program of one kind on this machine that has our scripts, told apart by what it has open.

    A kind of DAW says its `name` and `title`, how it is asked (`ask`, again and again) and how that is
    taken back. What it is told by files, and what its scripts write, lies in a folder.
    """

    title = ""
    hint = ""  # how its scripts get there
    markers = "markers.csv"  # what its scripts write of them, a cue sheet

    def __init__(
        self,
        folder: Path,
        timeout_seconds: float = TIMEOUT_SECONDS,
        resend_seconds: float = RESEND_SECONDS,
    ) -> None:
        self._spool = Spool(folder)
        self._timeout_seconds = timeout_seconds
        self._resend_seconds = resend_seconds
        self._one_job = threading.Lock()
        self._one_sheet = threading.Lock()
        self._changed = threading.Condition()
        self._stopping = False
        self._asked: set[tuple[str, str]] = set()  # job and clip ids that `place` waits for
        self._placed: dict[tuple[str, str], Placed] = {}
        self._failure = ""
        self._sessions: dict[str, tuple[Hello, float]] = {}  # by name, and when heard of last (monotonic seconds)
        self._beat = threading.Thread(target=self._beats, name=f"dcldm {self.name}", daemon=True)

    def ask(self, groups: Sequence[Group]) -> None:
        """Tell the scripts what to place, in one step. Called until they have confirmed. Raises `HostError`."""
        raise NotImplementedError

    def take_back(self) -> None:
        """What was asked for is confirmed, or no longer wanted."""

    def ask_markers(self, project: str) -> None:
        """Tell the scripts to write the markers of a session into the folder. Called until they are there."""
        raise NotImplementedError

    def beat(self) -> None:
        """Called every `BEAT_SECONDS` while the program runs. Raises `HostError`."""

    def start(self) -> None:
        self._beat.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._beat.is_alive():
            self._beat.join()

    def describe(self) -> Mapping[str, object]:
        sessions = {name: asdict(hello) for name, hello in self.open_sessions().items()}
        return {"connected": bool(sessions), "sessions": sessions}

    def open_sessions(self) -> dict[str, Hello]:
        """What the scripts said of themselves within the last seconds, by the name of the session."""
        oldest = time.monotonic() - SILENT_SECONDS
        with self._changed:
            return {name: hello for name, (hello, heard) in sorted(self._sessions.items()) if heard >= oldest}

    def folder(self, target: TimelineTarget) -> Path | None:
        hello = self.open_sessions().get(target.project)
        return Path(hello.folder) if hello is not None and hello.folder and Path(hello.folder).is_dir() else None

    def cue_sheet(self, project: str = "") -> Path:
        sessions = self.open_sessions()
        project = project or next(iter(sessions), "")
        if project not in sessions:
            which = f"does not have {project!r} open" if project else "is not there"
            raise HostError(f"{self.title} {which}; open the session there ({self.hint}) and try again.")
        sheet = self._spool.folder / self.markers
        deadline = time.monotonic() + MARKERS_SECONDS
        with self._one_sheet:
            self._spool.remove(self.markers)
            try:
                while time.monotonic() < deadline and not self._stopping:
                    self.ask_markers(project)
                    for _ in range(20):
                        if sheet.is_file():
                            # Each session's has a name of its own: another's does not change what is shown of it.
                            return self._spool.rename(self.markers, f"{project} {self.markers}")
                        time.sleep(0.05)
            finally:
                self._spool.remove(MARKERS)
        raise HostError(f"{self.title} did not tell its {Path(self.markers).stem}; close its dialogs and try again.")

    def hear(self, word: HostWord) -> None:
        with self._changed:
            match word:
                case Hello():
                    self._sessions[word.project] = (word, time.monotonic())
                case Placed() if (word.job_id, word.clip_id) in self._asked:
                    self._placed[word.job_id, word.clip_id] = word
                case PlacingFailed() if any(word.job_id == job_id for job_id, _ in self._asked):
                    self._failure = word.sentence
                case _:
                    log.info("%s answered late: %s", self.title, word)
            self._changed.notify_all()

    def place(self, clips: Sequence[Clip], target: TimelineTarget) -> Sequence[Placement]:
        return self.place_run([(clips, target)])

    def place_run(self, groups: Sequence[Group]) -> Sequence[Placement]:
        wanted = [(clip.request_id, clip.id) for clips, _ in groups for clip in clips]
        with self._one_job:
            with self._changed:
                self._asked, self._placed, self._failure = set(wanted), {}, ""
            try:
                heard, deadline = 0, time.monotonic() + self._timeout_seconds
                while (rest_seconds := deadline - time.monotonic()) > 0:
                    self.ask(groups)
                    if self._confirmed(min(rest_seconds, self._resend_seconds)):
                        return [self._placement(key) for key in wanted]
                    if len(self._placed) > heard:  # a long run, and it is getting on
                        heard, deadline = len(self._placed), time.monotonic() + self._timeout_seconds
                raise HostError(self._why_silent(groups[0][1]))
            finally:
                self._asked = set()
                with suppress(HostError):
                    self.take_back()

    def _confirmed(self, seconds: float) -> bool:
        """Wait for all clips. Raises `HostError` if the scripts can't place them or we are stopping."""

        def answered() -> bool:
            return bool(self._stopping or self._failure or len(self._placed) == len(self._asked))

        with self._changed:
            complete = self._changed.wait_for(answered, seconds)
            if self._failure:
                raise HostError(self._failure)
            if self._stopping:
                raise HostError(f"dcldm was closed before {self.title} had confirmed the clips; place them again.")
            return complete

    def _placement(self, key: tuple[str, str]) -> Placement:
        word = self._placed[key]
        return Placement(word.clip_id, self.name, word.item, word.track, word.position)

    def _why_silent(self, target: TimelineTarget) -> str:
        sessions = self.open_sessions()
        within = f"within {self._timeout_seconds:g} s"
        if not sessions:
            session = f" the session {target.project!r}" if target.project else " it"
            return f"{self.title} did not answer {within}; open{session} there ({self.hint}) and place the clips again."
        if target.project and target.project not in sessions:
            return (
                f"{self.title} has {next(iter(sessions))!r} open, and the clips belong to {target.project!r}; "
                "open that session and place them again."
            )
        return f"{self.title} did not confirm the clips {within}; place them again."

    def _beats(self) -> None:
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._stopping, BEAT_SECONDS):
                    return
            try:
                self.beat()
            except HostError as error:
                log.warning("%s", error)


class SpoolHost(DawHost):
    """A DAW whose scripts look into a spool folder.

    - `place.txt`: what is to be placed; the script takes it away. It is written again every few seconds
      until each clip is confirmed.
    - `choose.txt`: which take of a job is to be heard; the script takes it away.
    - `markers.txt`: of which session the markers are wanted; the script takes it away and writes `markers.csv`.
    - `board.txt`: a heartbeat (`time=`, Unix seconds), a line of news per job (`job=`) and how far it is (`part=`).
    """

    def __init__(
        self,
        folder: Path,
        timeout_seconds: float = TIMEOUT_SECONDS,
        resend_seconds: float = RESEND_SECONDS,
    ) -> None:
        super().__init__(folder, timeout_seconds, resend_seconds)
        self._news: dict[str, tuple[News, float]] = {}

    def text(self, groups: Sequence[Group]) -> str:
        """What the script reads of what it is to place. Raises `HostError`."""
        raise NotImplementedError

    def start(self) -> None:
        self._spool.remove(PLACE)  # from a program that died; it is offered again, not placed unasked
        self.beat()
        super().start()

    def stop(self) -> None:
        super().stop()
        self._spool.remove(BOARD)
        self._spool.remove(CHOOSE)

    def ask(self, groups: Sequence[Group]) -> None:
        self._spool.write(PLACE, self.text(groups))

    def take_back(self) -> None:
        self._spool.remove(PLACE)

    def ask_markers(self, project: str) -> None:
        self._spool.write(MARKERS, lines({"project": project}))

    def show(self, news: News) -> None:
        with self._changed:
            self._news[news.job_id] = (news, time.monotonic())
        self.beat()

    def beat(self) -> None:
        with self._changed:
            oldest = time.monotonic() - NEWS_SECONDS
            self._news = {key: entry for key, entry in self._news.items() if entry[1] >= oldest}
            news = [entry[0] for entry in self._news.values()]
            rows = [f"time={int(time.time())}\n"]
            for one in news:
                rows.append("\t".join((f"job={one.job_id}", one.project, one.status, _one_line(one.text))))
                rows.append(f"\npart={one.job_id}\t{one.fraction:.3f}\n")
            self._spool.write(BOARD, "".join(rows))


def _one_line(text: str) -> str:
    return " ".join(text.split())
