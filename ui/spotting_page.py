"""Spotting: a sound for every cue of a sheet or of the DAW's own markers; looked at first, then made and placed."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from PyQt6.QtCore import QModelIndex, Qt, pyqtSignal
from PyQt6.QtGui import QKeyEvent, QShowEvent
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from bridge.program import Program
from bridge.spotting import Plan, Run, make_plan, run_name
from dcldm_plugin.cues import CueSheet, Defaults, read_sheet
from dcldm_plugin.engine import registry
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.session import JobChanged
from dcldm_plugin.timecode import RATES, frame_rate
from dcldm_plugin.types import DEFAULT_SECONDS, MAX_SECONDS, MAX_VARIATIONS, MIN_SECONDS, TimelineTarget
from ui.cue_table import ACT, COUNT, LENGTH, ROW_HEIGHT, SOUND, TIME, TRACK, CueRow, CueTable, SoundDelegate
from ui.hosts import HostBar
from ui.signals import Background, SessionSignals
from ui.widgets import TakesFile, hint, text_label

AS_SHEET = "the sheet's"
SNAPS = {"beginning": "", "onset": "onset", "peak": "peak"}
WIDTHS = {TIME: 90, LENGTH: 60, COUNT: 28, TRACK: 72, ACT: 58}
STATES = {"done": "done", "error": "not all of it was done", "progress": "under way"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A sheet as it was read."""

    path: Path
    sheet: CueSheet


class CueView(QTableView):
    """`acted` is emitted with the number of a row whose action was clicked, or that Return was pressed on."""

    acted = pyqtSignal(int)

    def __init__(self, model: CueTable) -> None:
        super().__init__()
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        hint(self, "Cues", "")
        self.setAccessibleDescription("One row for each cue. Return does what its last column says.")
        header, numbers = self.horizontalHeader(), self.verticalHeader()
        assert header is not None and numbers is not None
        header.setAccessibleName("Columns of the cues")
        numbers.setAccessibleName("Lines of the sheet")
        header.setMinimumSectionSize(24)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for column, width in WIDTHS.items():
            self.setColumnWidth(column, width)
        header.setSectionResizeMode(SOUND, QHeaderView.ResizeMode.Stretch)
        self._delegate = SoundDelegate()
        self.setItemDelegateForColumn(SOUND, self._delegate)
        numbers.setHighlightSections(False)
        numbers.setDefaultSectionSize(ROW_HEIGHT)
        self.clicked.connect(self._clicked)
        model.modelReset.connect(lambda: self._span(model))

    def _span(self, model: CueTable) -> None:
        """What is wrong with a line may take the room of all that it does not have."""
        self.clearSpans()
        for number, row in enumerate(model.rows):
            if row.request is None:
                self.setSpan(number, SOUND, 1, TRACK - SOUND + 1)

    def _clicked(self, index: QModelIndex) -> None:
        if index.column() == ACT:
            self.acted.emit(index.row())

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if event is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            selection = self.selectionModel()
            for index in selection.selectedRows() if selection is not None else []:
                self.acted.emit(index.row())
            return
        super().keyPressEvent(event)


class SpottingPage(TakesFile, QWidget):
    """`said`: a sentence for the status line, and whether it is bad news. `takes_wanted`: the id of a cue's job."""

    said = pyqtSignal(str, bool)
    takes_wanted = pyqtSignal(str)

    def __init__(self, program: Program, signals: SessionSignals, background: Background, hosts: HostBar) -> None:
        super().__init__()
        self.setAcceptDrops(True)
        self._program, self._background, self._hosts = program, background, hosts
        self._opened: Opened | None = None
        self._plan: Plan | None = None  # what the table shows
        self._fresh_id = ""  # of a run of the opened sheet that was begun anew
        self.table = CueTable(program.session)
        self.view = CueView(self.table)
        self._build()
        signals.job_changed.connect(self._job_changed)
        signals.progress.connect(self.table.progress)
        signals.run_changed.connect(self._run_changed)
        self.view.acted.connect(self._act)
        self._show_sum()

    def _build(self) -> None:
        self.sheet = QPushButton("Open a sheet …")
        hint(self.sheet, "Open a cue sheet", "CSV with a time and a prompt in each line; or drop one here")
        self.sheet.clicked.connect(self._choose_sheet)
        self.markers = QPushButton("The DAW's markers")
        hint(self.markers, "The DAW's markers", "Make a sound for every marker of the open session, by its name")
        self.markers.clicked.connect(self.open_markers)
        self.earlier = QComboBox()
        hint(self.earlier, "Earlier runs")
        self.earlier.activated.connect(lambda number: self._open_run(str(self.earlier.itemData(number) or "")))
        top = QHBoxLayout()
        for widget in (self.sheet, self.markers):
            top.addWidget(widget)
        top.addStretch(1)
        top.addWidget(self.earlier)
        self.problem = text_label("Problem", "error")
        self.problem.hide()
        self.sum = text_label("What will be made")
        self.only_make = QCheckBox("Only make, don't place")
        hint(self.only_make, "Only make, don't place")
        self.only_make.toggled.connect(lambda _: self._read_again())
        self.leave_out = QCheckBox("Skip rows with errors")
        hint(self.leave_out, "Skip rows with errors")
        self.leave_out.toggled.connect(lambda _: self._show_sum())
        self.cancel = QPushButton("Cancel")
        hint(self.cancel, "Cancel the run", "Clips that are there stay")
        self.cancel.clicked.connect(self._cancel)
        self.go = QPushButton("Spot all")
        self.go.setObjectName("primary")
        self.go.clicked.connect(self._spot_all)
        below = QHBoxLayout()
        below.addWidget(self.only_make)
        below.addWidget(self.leave_out)
        below.addStretch(1)
        below.addWidget(self.cancel)
        below.addWidget(self.go)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        layout.addLayout(top)
        layout.addWidget(self._defaults())
        layout.addWidget(self.problem)
        layout.addWidget(self.sum)
        layout.addWidget(self.view, 1)
        layout.addLayout(below)

    def _defaults(self) -> QWidget:
        """What holds for rows that don't say."""
        self.seconds = QDoubleSpinBox()
        self.seconds.setRange(MIN_SECONDS, MAX_SECONDS)
        self.seconds.setDecimals(1)
        self.seconds.setValue(DEFAULT_SECONDS)
        self.seconds.setSuffix(" s")
        self.variations = QSpinBox()
        self.variations.setRange(1, MAX_VARIATIONS)
        self.variations.setPrefix("× ")
        self.snap, self.rate, self.models = QComboBox(), QComboBox(), QComboBox()
        self.snap.addItems(list(SNAPS))
        self.rate.addItems([AS_SHEET, *RATES, "29.97 drop", "59.94 drop"])
        self.models.addItems(list(registry.models()))
        self.models.setCurrentText(self._program.settings.model)
        self.start, self.track = QLineEdit(), QLineEdit()
        self.start.setPlaceholderText("0")
        self.track.setPlaceholderText("a new one")
        fields: tuple[tuple[str, QWidget, str], ...] = (
            ("Length", self.seconds, "Length of cues without one"),
            ("Alternates", self.variations, "Alternates of cues that don't say"),
            ("On the cue", self.snap, "Which moment of a sound falls on its time"),
            ("Model", self.models, "Model"),
            ("Frames", self.rate, "Frame rate of the sheet's timecode"),
            ("Starts at", self.start, "The sheet's time where the timeline begins"),
            ("Track", self.track, "Track of cues that name none"),
        )
        card = QFrame()
        card.setObjectName("card")
        grid = QGridLayout(card)
        grid.setContentsMargins(14, 10, 14, 10)
        grid.setHorizontalSpacing(8)
        for number, (name, field, meaning) in enumerate(fields):
            label = QLabel(name)
            label.setObjectName("dim")
            hint(field, name, meaning)
            grid.addWidget(label, number // 4 * 2, number % 4)
            grid.addWidget(field, number // 4 * 2 + 1, number % 4)
            grid.setColumnStretch(number % 4, 1)
        for spin in (self.seconds, self.variations):
            spin.editingFinished.connect(self._read_again)
        for choice in (self.snap, self.rate, self.models):
            choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            choice.textActivated.connect(lambda _: self._read_again())
        for line in (self.start, self.track):
            line.editingFinished.connect(self._read_again)
        return card

    # Opening

    def open_sheet(self, path: Path) -> None:
        """Read a sheet and show what would be made of it; what is wrong with it is said in place."""
        self._fresh_id = ""
        self._try(lambda: self._open(path))

    def open_markers(self) -> None:
        """The markers of the session that is open in the chosen DAW."""
        state = self._hosts.state
        host = self._program.hosts[state.name]

        def show(path: Path) -> None:
            self.open_sheet(path)
            if not self.table.rows:
                self._say(f"{state.title} has no markers here; name some by the sounds that belong there.")

        self._background.do(lambda: host.cue_sheet(state.project), show, self._say)

    def _open(self, path: Path) -> None:
        rate = self.rate.currentText()
        defaults = Defaults(
            rate=None if rate == AS_SHEET else frame_rate(rate),
            start=self.start.text().strip(),
            seconds=self.seconds.value(),
            variations=self.variations.value(),
            track=self.track.text().strip(),
            snap=SNAPS[self.snap.currentText()],
        )
        self._opened = Opened(path.absolute(), read_sheet(path, defaults))
        self._make_plan()

    def _make_plan(self) -> None:
        """What the opened sheet asks for, with the chosen host as it is now. A host that is away has no place yet."""
        assert self._opened is not None
        sheet, target = self._opened.sheet, self._target()
        name = run_name(self._opened.path, target.host if target else "", target.project if target else "")
        self._plan = make_plan(sheet, id=self._fresh_id or name, model=self.models.currentText(), target=target)
        self.table.show_plan(self._plan, sheet.rate, {cue.row: cue.at for cue in sheet.cues})
        self._show_sum()

    def _target(self) -> TimelineTarget | None:
        state = self._hosts.state
        return None if self.only_make.isChecked() or not state.connected else state.target()

    def _read_again(self) -> None:
        opened = self._opened
        if opened is not None:
            self._try(lambda: self._open(opened.path))

    def _choose_sheet(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Cue sheet", "", "Cue sheets (*.csv *.tsv *.txt);;All files (*)")
        if path:
            self.open_sheet(Path(path))

    def _open_run(self, run_id: str) -> None:
        run = self._program.spotting.run(run_id) if run_id else None
        if run is not None:
            self._show_run(run)

    def _show_run(self, run: Run) -> None:
        """Show a run of an earlier time, so that it can go on."""
        self._opened, self._plan = None, run.plan
        self.table.show_run(run)
        self._say("")
        self._show_sum()

    def showEvent(self, event: QShowEvent | None) -> None:
        """The host may be another one now; and a run that was interrupted is shown without being asked for."""
        super().showEvent(event)
        runs = self._list_runs()
        if self._opened is not None:
            self._read_again()
        elif self._plan is None and runs and runs[0].status in ("interrupted", "progress"):
            self._show_run(runs[0])

    def _list_runs(self) -> list[Run]:
        self.earlier.clear()
        runs = self._program.spotting.runs()
        self.earlier.addItem("Earlier runs" if runs else "No earlier runs")
        for run in runs[:50]:
            self.earlier.addItem(f"{run.plan.title}: {STATES.get(run.status, run.status)}", run.id)
        self.earlier.setEnabled(bool(runs))
        return runs

    # Doing

    @property
    def _all_done(self) -> bool:
        rows = [row for row in self.table.rows if row.request is not None]
        return self._opened is not None and bool(rows) and all(row.done for row in rows)

    def _spot_all(self) -> None:
        if self._all_done:
            self._fresh_id = uuid.uuid4().hex
        self._try(self._start)

    def _start(self, rows: Collection[int] | None = None) -> None:
        """Begin, or go on with, all rows or some; of an opened sheet with the host as it is now."""
        if self._opened is not None:
            if not self.only_make.isChecked():
                self._hosts.state.target()  # says it if nobody is there
            self._make_plan()
        plan, spotting = self._plan, self._program.spotting
        assert plan is not None
        leave_out = rows is not None or self._opened is None or self.leave_out.isChecked()
        self._background.do(
            lambda: spotting.start(plan, leave_out_errors=leave_out, rows=rows), lambda _: self._show_sum(), self._say
        )

    def _act(self, number: int) -> None:
        """What the last column of a row says."""
        row = self.table.rows[number]
        does: dict[str, Callable[[CueRow], object]] = {
            "Spot": lambda row: self._start([row.row]),
            "Retry": lambda row: self._start([row.row]),
            "Place": lambda row: self._start([row.row]),
            "Cancel": lambda row: self._program.session.cancel(row.job.id if row.job is not None else ""),
            "Takes": lambda row: self.takes_wanted.emit(row.job.id if row.job is not None else ""),
        }
        if row.action:
            self._try(lambda: does[row.action](row))

    def _cancel(self) -> None:
        plan = self._plan
        if plan is not None:
            self._try(lambda: self._program.spotting.cancel(plan.id))

    def _run_changed(self, run: Run) -> None:
        self._show_sum()
        if run.status != "progress":
            self._list_runs()

    def _job_changed(self, event: JobChanged) -> None:
        self.table.job_changed(event.job)
        if self._plan is not None and any(request.id == event.job.id for request in self._plan.requests.values()):
            self._show_sum()

    # Telling

    def _show_sum(self) -> None:
        """How much there is to do, or is left; what the buttons can do now."""
        rows = [row for row in self.table.rows if row.request is not None]
        errors = len(self.table.rows) - len(rows)
        done = sum(row.done for row in rows)
        busy = self.table.busy
        words = "Open a cue sheet, or take the DAW's markers; nothing is made before you say so."
        if self._plan is not None:
            clips = sum(len(row.request.seeds) for row in rows if row.request is not None)
            seconds = sum(row.request.seconds * len(row.request.seeds) for row in rows if row.request is not None)
            words = f"{self._plan.title}: {len(rows)} cues, {clips} clips, {seconds:g} s of sound"
            words += f"; {done} done" if done else ""
            words += f"; {errors} {'row' if errors == 1 else 'rows'} can't be done" if errors else ""
        self.sum.setText(words)
        self.leave_out.setVisible(errors > 0 and self._opened is not None)
        self.cancel.setEnabled(busy)
        begun = any(row.job is not None for row in rows)
        self.go.setText("New takes of all" if self._all_done else "Go on" if begun else "Spot all")
        refused = errors > 0 and self._opened is not None and not self.leave_out.isChecked()
        self.go.setEnabled(bool(rows) and not busy and not refused and (self._all_done or done < len(rows)))
        hint(self.go, self.go.text(), "Correct the rows with errors, or leave them out" if refused else words)

    def _say(self, sentence: str) -> None:
        """What went wrong, in place; an empty text takes it away."""
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))

    def _try(self, function: Callable[[], object]) -> None:
        try:
            function()
        except DcldmError as error:
            self._say(str(error))
        else:
            self._say("")

    # A sheet that is dropped here

    def take_file(self, file: Path) -> None:
        self.open_sheet(file)
