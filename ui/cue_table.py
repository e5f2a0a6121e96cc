"""The cue table: one row for each line of a sheet, what will be made of it, and how far that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from PyQt6.QtCore import QAbstractTableModel, QModelIndex, QRect, Qt
from PyQt6.QtGui import QColor, QPainter
from PyQt6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from bridge.spotting import Plan, Run
from dcldm_plugin.jobs import Job, JobState
from dcldm_plugin.session import JobProgress, Session
from dcldm_plugin.timecode import FrameRate, timecode
from dcldm_plugin.types import GenerationRequest
from ui import theme
from ui.drawing import draw_text, small
from ui.takes import clock, job_words

COLUMNS = ("Time", "Sound", "Length", "×", "Track", "")
TIME, SOUND, LENGTH, COUNT, TRACK, ACT = range(len(COLUMNS))
ROW_HEIGHT = 40


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
        if self.job.state is JobState.FINISHED and not self.job.error:
            return "Place"
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
        if role == Qt.ItemDataRole.ToolTipRole and column == SOUND:
            return "\n".join(word for word in (self.text(row, column), self.state(row)) if word)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            words = f"Row {row.row}, {COLUMNS[column] or 'action'}: {self.text(row, column) or 'none'}"
            return f"{words}; {self.state(row)}" if column == SOUND else words
        if role == Qt.ItemDataRole.ForegroundRole:
            return QColor(theme.tones().accent if column == ACT else theme.tones().dim)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in (LENGTH, COUNT):
            return Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        return None

    def text(self, row: CueRow, column: int) -> str:
        """What a cell says."""
        request = row.request
        if column == ACT:
            return "" if row.action == "Place" and self.busy else row.action  # the run is going to do that
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

    @property
    def busy(self) -> bool:
        """Whether something is being made or placed."""
        return any(row.action == "Cancel" for row in self.rows)

    def state(self, row: CueRow) -> str:
        """How far a row is, or what is wrong with it, in words."""
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

    @staticmethod
    def state_colour(row: CueRow) -> str:
        """In which of the tones its state is said."""
        tone = theme.tones()
        if row.request is None or (row.job is not None and row.job.error):
            return tone.bad
        return tone.good if row.done else tone.dim


class SoundDelegate(QStyledItemDelegate):
    """The sound, and beneath it how far it is; of a line with an error, what is wrong with it."""

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        table = index.model()
        if painter is None or not isinstance(table, CueTable):
            return
        row, area = table.rows[index.row()], option.rect
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(area, QColor(theme.tones().selected))
        inner = area.adjusted(6, 3, -6, -3)
        state = table.state(row)
        if row.request is None:
            painter.setFont(small(option.font))
            painter.setPen(QColor(table.state_colour(row)))
            painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextWordWrap, state)
        else:
            upper = QRect(inner.left(), inner.top(), inner.width(), inner.height() // 2) if state else inner
            lower = QRect(inner.left(), inner.center().y(), inner.width(), inner.height() // 2)
            draw_text(painter, upper, row.request.prompt.text, option.font, theme.tones().text)
            draw_text(painter, lower, state, small(option.font), table.state_colour(row))
        painter.restore()


def _at(request: GenerationRequest) -> Fraction | None:
    target = request.target
    return None if target is None else Fraction(target.position, target.sample_rate)
