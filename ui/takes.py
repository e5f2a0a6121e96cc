"""The list of takes: every request with its alternates, the newest first, whether it waits, renders or is done.

One model holds jobs and the library alike, as rows of one height: a heading for each request, then a row for
each alternate, also for those that are still to come. Earlier requests are read from the library as the user
scrolls to them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from functools import lru_cache

from PyQt6.QtCore import QAbstractListModel, QModelIndex, Qt, pyqtSignal

from dcldm_plugin.engine import registry
from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.jobs import Job, JobState
from dcldm_plugin.library import Library
from dcldm_plugin.session import ClipReady, JobChanged, JobProgress, Session
from dcldm_plugin.types import Clip, GenerationRequest, ModelInfo

HEADING = -1  # the index of a row that is no alternate
PAGE = 200  # clips that are read at a time
ROW = Qt.ItemDataRole.UserRole


@dataclass(eq=False)
class Group:
    """One request and what came of it. `request` is the whole one while its job is known, else that of one take."""

    request: GenerationRequest
    created: str
    job: Job | None = None
    clips: dict[int, Clip] = field(default_factory=dict)
    progress: JobProgress | None = None

    @property
    def id(self) -> str:
        return self.request.id

    @property
    def pending(self) -> bool:
        return self.job is not None and not self.job.state.over

    @property
    def ordered(self) -> list[Clip]:
        return [self.clips[index] for index in sorted(self.clips)]

    def indices(self) -> list[int]:
        """Which rows it has: all alternates while they can still come, else those that are there."""
        return list(range(len(self.request.seeds))) if self.pending else sorted(self.clips)

    def rows(self) -> list[Row]:
        return [Row(self, index) for index in (HEADING, *self.indices())]


@dataclass(frozen=True, slots=True)
class Row:
    group: Group
    index: int

    @property
    def clip(self) -> Clip | None:
        return self.group.clips.get(self.index)

    @property
    def is_heading(self) -> bool:
        return self.index == HEADING


def letter(index: int) -> str:
    """Alternates are called A, B, … Z, A2, …"""
    return chr(ord("A") + index % 26) + (str(index // 26 + 1) if index >= 26 else "")


def local_time(created: str) -> datetime | None:
    try:
        return datetime.fromisoformat(created).astimezone()
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which clips are listed."""

    text: str = ""
    favourite: bool = False
    min_rating: int = 0
    rejected: bool = False

    @property
    def is_all(self) -> bool:
        return self == Filter()

    def read(self, library: Library, offset: int) -> list[Clip]:
        return library.clips(
            text=self.text,
            favourite=self.favourite or None,
            min_rating=self.min_rating,
            rejected=self.rejected,
            limit=PAGE,
            offset=offset,
        )


class TakesModel(QAbstractListModel):
    """Rows of the list. `loaded` is emitted when it was read anew."""

    loaded = pyqtSignal()

    def __init__(self, session: Session, library: Library) -> None:
        super().__init__()
        self._session, self._library = session, library
        self._groups: dict[str, Group] = {}
        self._rows: list[Row] = []
        self._filter = Filter()
        self._read = 0  # clips of the library
        self._more = False
        self._jobs: list[Job] = []  # newest first: those that are older than what was read of the library

    # Reading

    def load(self, wanted: Filter | None = None) -> None:
        """Read jobs and clips anew, those that are wanted or all that are not rejected."""
        self.beginResetModel()
        self._filter = wanted = wanted or Filter()
        self._groups, self._read, self._more = {}, 0, True
        self._jobs = self._session.jobs()
        self._rows = [row for group in self._next_page() for row in group.rows()]
        self.endResetModel()
        self.loaded.emit()

    def canFetchMore(self, parent: QModelIndex | None = None) -> bool:
        return self._more

    def fetchMore(self, parent: QModelIndex | None = None) -> None:
        rows = [row for group in self._next_page() for row in group.rows()]
        if rows:
            self.beginInsertRows(QModelIndex(), len(self._rows), len(self._rows) + len(rows) - 1)
            self._rows += rows
            self.endInsertRows()

    def _next_page(self) -> list[Group]:
        """Groups that were not known before; what belongs to known ones is put there."""
        clips = self._filter.read(self._library, self._read)
        self._read += len(clips)
        self._more = len(clips) == PAGE
        oldest = clips[-1].created if self._more else ""
        new: dict[str, Group] = {}
        while self._jobs and self._jobs[0].created >= oldest:
            job = self._jobs.pop(0)
            if job.id not in self._groups:
                new[job.id] = Group(job.request, job.created, job)
        by_id = {job.id: job for job in self._jobs}
        for clip in clips:
            known = self._groups.get(clip.request_id)
            if known is not None:
                known.clips[clip.index] = clip
                self._sync(known)
            elif clip.request is not None:
                group = new.get(clip.request_id)
                if group is None:
                    earlier = by_id.get(clip.request_id)
                    request = earlier.request if earlier is not None else clip.request
                    group = new[clip.request_id] = Group(request, clip.created, earlier)
                group.clips[clip.index] = clip
        ordered = sorted(new.values(), key=lambda group: group.created, reverse=True)
        shown = [group for group in ordered if group.clips or (self._filter.is_all and self._worth_a_row(group))]
        self._groups |= {group.id: group for group in shown}
        return shown

    @staticmethod
    def _worth_a_row(group: Group) -> bool:
        """Whether a request without clips is shown: while it can still become something, or says what went wrong."""
        return group.job is not None and (group.pending or not group.job.clip_ids)

    # What happens

    def job_changed(self, event: JobChanged) -> None:
        job = event.job
        group = self._groups.get(job.id)
        if group is None:
            if not self._filter.is_all:
                return  # it is found when the search is over
            group = self._groups[job.id] = Group(job.request, job.created, job)
            self.beginInsertRows(QModelIndex(), 0, 0)
            self._rows.insert(0, Row(group, HEADING))
            self.endInsertRows()
        group.job, group.request = job, job.request
        if job.state.over or job.state is JobState.QUEUED:
            group.progress = None
        self._sync(group)

    def progress(self, event: JobProgress) -> None:
        group = self._groups.get(event.job_id)
        if group is not None:
            group.progress = event
            self._touch(group)

    def clip_ready(self, event: ClipReady) -> None:
        group = self._groups.get(event.job_id)
        if group is not None:
            group.clips[event.clip.index] = event.clip
            self._read += 1
            self._sync(group)

    def clip_changed(self, clip: Clip) -> None:
        """Show a clip with what is said of it now; one that does not belong here any more leaves the list."""
        group = self._groups.get(clip.request_id)
        if group is None or clip.index not in group.clips:
            return
        if self._filter.rejected == clip.marks.rejected:
            group.clips[clip.index] = clip
        else:
            del group.clips[clip.index]
            self._read -= 1
        self._sync(group)
        if not group.indices() and not self._worth_a_row(group):
            start = self._start(group)
            self.beginRemoveRows(QModelIndex(), start, start)
            del self._rows[start], self._groups[group.id]
            self.endRemoveRows()

    def _sync(self, group: Group) -> None:
        """Let a group that is in the list have just the rows that it should."""
        start = self._start(group)
        wanted = group.indices()
        at = start + 1
        while at < len(self._rows) and self._rows[at].group is group:
            if self._rows[at].index in wanted:
                at += 1
                continue
            self.beginRemoveRows(QModelIndex(), at, at)
            del self._rows[at]
            self.endRemoveRows()
        for offset, index in enumerate(wanted, start + 1):
            if offset >= len(self._rows) or self._rows[offset] != Row(group, index):
                self.beginInsertRows(QModelIndex(), offset, offset)
                self._rows.insert(offset, Row(group, index))
                self.endInsertRows()
        self._touch(group)

    def _touch(self, group: Group) -> None:
        start = self._start(group)
        self.dataChanged.emit(self.index(start), self.index(start + len(group.indices())))

    def _start(self, group: Group) -> int:
        return next(number for number, row in enumerate(self._rows) if row.group is group)

    # As Qt asks

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role == ROW:
            return row
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self.spoken(row)
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        plain = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        row = self.row(index)
        can_drag = row is not None and (row.clip is not None or (row.is_heading and bool(row.group.clips)))
        return plain | Qt.ItemFlag.ItemIsDragEnabled if can_drag else plain

    def row(self, index: QModelIndex) -> Row | None:
        return self._rows[index.row()] if index.isValid() else None

    def group(self, group_id: str) -> Group | None:
        return self._groups.get(group_id)

    def index_of(self, clip_id: str) -> QModelIndex:
        """Where a clip is listed; invalid if it is not."""
        for number, row in enumerate(self._rows):
            if row.clip is not None and row.clip.id == clip_id:
                return self.index(number)
        return QModelIndex()

    def index_of_group(self, group_id: str) -> QModelIndex:
        group = self._groups.get(group_id)
        return self.index(self._start(group)) if group is not None else QModelIndex()

    def spoken(self, row: Row) -> str:
        """A row as a screen reader says it."""
        if row.is_heading:
            there = len(row.group.clips)
            return f"{row.group.request.prompt.text}; {there} alternates; {self.status(row.group)}"
        clip = row.clip
        state = f"{clip.seconds:.1f} seconds" if clip is not None else "not ready yet"
        if clip is not None and clip.marks.favourite:
            state += ", favourite"
        if clip is not None and clip.marks.rating:
            state += f", {clip.marks.rating} stars"
        if clip is not None and clip.rights is not None and not clip.rights.commercial_use:
            state += ", not to be sold"
        return f"Alternate {letter(row.index)} of {row.group.request.prompt.text}, {state}"

    def status(self, group: Group) -> str:
        """What a request is doing, in words; empty if all is done and well."""
        job = group.job
        if job is None:
            return ""
        return job_words(job, len(group.clips), self._session.place_in_queue(job.id), group.progress)


def job_words(job: Job, made: int, place: int, progress: JobProgress | None) -> str:
    """What a job is doing; `made` clips are there, `place` jobs come first. Empty if all is done and well."""
    count = len(job.request.seeds)
    match job.state:
        case JobState.QUEUED:
            return "next" if place == 0 else f"waits, {place + 1} in the queue" if place > 0 else "waits"
        case JobState.PLACING:
            return "placing"
        case JobState.RUNNING:
            return "starting" if progress is None else _progress_words(progress, job.request)
        case JobState.CANCELLED:
            return f"cancelled, {made} of {count} made"
        case JobState.INTERRUPTED:
            return f"interrupted, {made} of {count} made"
    return job.error


def _progress_words(progress: JobProgress, request: GenerationRequest) -> str:
    """Steps where their number is known, else a share."""
    count, stage, fraction = len(request.seeds), progress.stage, progress.fraction
    which = f"{letter(progress.index)} of {count}: " if count > 1 else ""
    info = info_of(request.model)
    steps = request.sampling.steps or (None if info is None else info.steps)
    if stage == "denoising" and steps is not None:
        return f"{which}{stage} {min(steps, round(fraction * steps) + 1)} of {steps}"
    # Stages without a measure go from 0 to 1 at once; a percentage would say nothing.
    return f"{which}{stage}{f' {fraction * 100:.0f} %' if 0.0 < fraction < 1.0 else ''}"


def clock(seconds: Fraction | float) -> str:
    """A time as minutes and seconds."""
    minutes, rest = divmod(float(seconds), 60.0)
    return f"{minutes:.0f}:{rest:06.3f}"


@lru_cache(maxsize=64)  # to look through all that is installed takes long for something that every arrow key asks
def info_of(model: str) -> ModelInfo | None:
    """What is known of a model, which may be one that is not here any more."""
    try:
        return registry.describe(model)
    except InvalidInput:
        return None
