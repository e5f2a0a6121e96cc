"""The cue table: one row for each line of a sheet, what will be made of it, and how far that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from PyQt6.QtCore import QAbstractTableModel, QModelIndex, Qt
from PyQt6.QtGui import QColor

from bridge.spotting import Plan, Run
from dcldm_plugin.jobs import Job, JobState
from dcldm_plugin.session import JobProgress, Session
from dcldm_plugin.timecode import FrameRate, timecode
from dcldm_plugin.types import GenerationRequest
from ui import theme
from ui.takes import clock, job_words

COLUMNS = ("Time", "Sound", "Length", "×", "Track", "State", "")
TIME, SOUND, LENGTH, COUNT, TRACK, STATE, ACT = range(len(COLUMNS))


@dataclass(frozen=True, slots=True)
class CueRow:
    """A line of the sheet: what is asked for, or what is wrong with it."""

    row: int
    request: GenerationRequest | None
    error: str = ""
    at: Fraction | None = None  # seconds from the timeline's beginning
    job: Job | None = None
    progress: JobProgress | None = None

    @property
    def action(self) -> str:
        """What can be done with it now, in a word; empty if nothing."""
        if self.request is None:
            return ""
        if self.job is None:
            return "Spot"
        if not self.job.state.over:
            return "Cancel"
        if self.done:
            return "Takes"
        return "" if self.job.refused else "Retry"

    @property
    def done(self) -> bool:
        """Made, and on the timeline if it has a place there."""
        job = self.job
        return job is not None and job.state is JobState.FINISHED and (not job.request.target or bool(job.placements))


class CueTable(QAbstractTableModel):
    """Rows by line of the sheet. What happens to their jobs is told by `job_changed` and `progress`."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._rate: FrameRate | None = None
        self.rows: list[CueRow] = []
        self._by_request: dict[str, int] = {}

    def show_plan(self, plan: Plan, rate: FrameRate | None, times: Mapping[int, Fraction]) -> None:
        """Show what a run would do. `times`: seconds by row, of cues that have no place on a timeline yet."""
        rows = [
            CueRow(row, request, at=times.get(row, _at(request)), job=self._session.job(request.id))
            for row, request in plan.requests.items()
        ]
        rows += [CueRow(error.row, None, error.sentence) for error in plan.errors]
        self._show(rows, rate)

    def show_run(self, run: Run) -> None:
        """Show a run of an earlier time. What it was counted in is not known any more, so times are clock times."""
        rows = [CueRow(state.row, state.request, at=_at(state.request), job=state.job) for state in run.rows]
        rows += [CueRow(error.row, None, error.sentence) for error in run.plan.errors]
        self._show(rows, None)

    def _show(self, rows: Sequence[CueRow], rate: FrameRate | None) -> None:
        self.beginResetModel()
        self._rate = rate
        self.rows = sorted(rows, key=lambda row: row.row)
        self._by_request = {row.request.id: number for number, row in enumerate(self.rows) if row.request is not None}
        self.endResetModel()

    def job_changed(self, job: Job) -> None:
        over = job.state.over
        self._change(job.id, lambda row: replace(row, job=job, progress=None if over else row.progress))

    def progress(self, event: JobProgress) -> None:
        self._change(event.job_id, lambda row: replace(row, progress=event))

    def _change(self, request_id: str, change: Callable[[CueRow], CueRow]) -> None:
        number = self._by_request.get(request_id)
        if number is not None:
            self.rows[number] = change(self.rows[number])
            self.dataChanged.emit(self.index(number, 0), self.index(number, len(COLUMNS) - 1))

    # As Qt asks

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return COLUMNS[section] if orientation is Qt.Orientation.Horizontal else str(self.rows[section].row)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        row, column = self.rows[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self.text(row, column)
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.text(row, column)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"Row {row.row}, {COLUMNS[column] or 'action'}: {self.text(row, column) or 'none'}"
        if role == Qt.ItemDataRole.ForegroundRole:
            return self._colour(row, column)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (LENGTH, COUNT):
            return Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        return None

    def text(self, row: CueRow, column: int) -> str:
        """What a cell says."""
        request = row.request
        if column == STATE:
            return self._state(row)
        if column == ACT:
            return row.action
        if request is None:
            return ""
        if column == TIME:
            if row.at is None:
                return ""
            return clock(row.at) if self._rate is None else timecode(row.at, self._rate)
        return {
            SOUND: request.prompt.text,
            LENGTH: f"{request.seconds:g} s",
            COUNT: str(len(request.seeds)),
            TRACK: "" if request.target is None else request.target.track,
        }[column]

    def _state(self, row: CueRow) -> str:
        job = row.job
        if row.request is None:
            return row.error
        if job is None:
            return ""
        if job.state is JobState.FINISHED and not job.error:
            if not row.done:
                return "made, waits for its place"
            return "placed" if job.placements else "made"
        return job_words(job, len(job.clip_ids), self._session.place_in_queue(job.id), row.progress)

    def _colour(self, row: CueRow, column: int) -> QColor | None:
        tone = theme.tones()
        if row.request is None or (column == STATE and row.job is not None and row.job.error):
            return QColor(tone.bad)
        if column == ACT:
            return QColor(tone.accent)
        if column == STATE:
            return QColor(tone.good if row.done else tone.dim)
        return None if column == SOUND else QColor(tone.dim)


def _at(request: GenerationRequest) -> Fraction | None:
    target = request.target
    return None if target is None else Fraction(target.position, target.sample_rate)
