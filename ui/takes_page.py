"""The page that is open all day: the prompt above, the takes below it, the current one in full beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from PyQt6.QtCore import QModelIndex, QPoint, QSettings, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import (
    QAction,
    QDragEnterEvent,
    QIcon,
    QResizeEvent,
)
from PyQt6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from bridge.program import Program
from dcldm_plugin.audio.clip_file import to_clip
from dcldm_plugin.commands.show import describe
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.jobs import JobState
from dcldm_plugin.session import ClipReady, JobChanged
from dcldm_plugin.types import Clip, GenerationRequest
from ui import theme
from ui.audition import Audition
from ui.choosing import Choosing
from ui.commands import Commands
from ui.detail import Detail
from ui.hosts import HostBar
from ui.listening import Listening
from ui.making import Making
from ui.prompt import PromptPanel
from ui.signals import Background, SessionSignals
from ui.sound import Outlines
from ui.takes import Filter, Group, Row, TakesModel
from ui.takes_view import TakesView
from ui.to_daw import ToDaw
from ui.welcome import Welcome
from ui.widgets import TakesFile, clearable, hint, tool

FILTERS = (
    ("All", Filter()),
    ("Favourites", Filter(favourite=True)),
    ("3 stars or more", Filter(min_rating=3)),
    ("Rejected", Filter(rejected=True)),
)
SEARCH_MILLISECONDS = 150  # of quiet after which a search begins
WIDE = 900  # from this width on, the current take stands beside the list
# How the list and the current take share the room until the user says otherwise.
SHARES = {Qt.Orientation.Horizontal: [5, 4], Qt.Orientation.Vertical: [2, 1]}
MOST_PIXELS = 1 << 16


class TakesPage(TakesFile, QWidget):
    """`said` is emitted with a sentence for the status line, and whether it is bad news."""

    said = pyqtSignal(str, bool)
    set_up = pyqtSignal()

    def __init__(
        self,
        program: Program,
        signals: SessionSignals,
        background: Background,
        hosts: HostBar,
        commands: Commands,
        stored: QSettings,
    ) -> None:
        super().__init__()
        self.setAcceptDrops(True)
        self._program, self._background, self._hosts, self._commands = program, background, hosts, commands
        self._session, self._library = program.session, program.library
        self.outlines = Outlines(program.settings.home / "outlines.sqlite", background)
        self.audition = Audition(self.outlines, background)
        self.prompt = PromptPanel(program.settings.model)
        self.model = TakesModel(self._session, self._library)
        self.view = TakesView(self.model, self.outlines, lambda: self.audition.heard)
        self.detail = Detail(commands.actions)
        self.place, self.fit = tool(commands["place"], "insert"), tool(commands["fit"], "fit")
        self.prompt.add_tool(self.place)
        self.prompt.add_tool(self.fit, 1)
        say, detail = self.said.emit, self.detail
        self.listening = Listening(self.audition, self.view, detail, commands, background, say, self._go_to_clip)
        self.to_daw = ToDaw(program, hosts, background, self.model, self.view, detail, say)
        self.making = Making(self.prompt, self.view, detail, hosts, commands, self.to_daw, self._submit, say)
        self.choosing = Choosing(self._library, self.model, self.view, detail, self._bring_back, say)
        self._build()
        self._connect(signals)
        self.audition.player.device = str(stored.value("device", ""))
        self.model.load()
        self._offer_interrupted()
        self.prompt.prompt.set_history([job.request.prompt.text for job in self._session.jobs()])

    def _build(self) -> None:
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search takes")
        glass = self.search.addAction(QIcon(), QLineEdit.ActionPosition.LeadingPosition)
        assert glass is not None
        glass.setText("Search")
        theme.set_icon(glass, "search")
        clearable(self.search)
        hint(self.search, "Search takes")
        self.welcome = Welcome()
        self.show_only = QComboBox()
        self.show_only.addItems([words for words, _ in FILTERS])
        hint(self.show_only, "Which takes")
        self._banner = QFrame()
        self._banner.setObjectName("banner")
        banner = QHBoxLayout(self._banner)
        banner.setContentsMargins(10, 4, 4, 4)
        self._banner_words = QLabel()
        resume, dismiss = QPushButton("Go on"), QPushButton("Leave them")
        resume.clicked.connect(self._resume_interrupted)
        dismiss.clicked.connect(self._banner.hide)
        banner.addWidget(self._banner_words, 1)
        banner.addWidget(resume)
        banner.addWidget(dismiss)
        self._banner.hide()
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.prompt)
        column.addWidget(self._banner)
        find = QHBoxLayout()
        find.setSpacing(6)
        find.addWidget(self.search, 1)
        find.addWidget(self.show_only)
        column.addLayout(find)
        column.addWidget(self.welcome, 1)
        column.addWidget(self.view, 1)
        self._splitter, self._shares = QSplitter(Qt.Orientation.Vertical), dict(SHARES)
        self._splitter.setHandleWidth(8)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.splitterMoved.connect(lambda *_: self._shared())
        self._splitter.addWidget(left)
        self._splitter.addWidget(self.detail)
        # Not what it needs side by side, or a wide window could never be made narrow again.
        self._splitter.setMinimumWidth(max(each.minimumSizeHint().width() for each in (left, self.detail)))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._splitter)
        self._search_timer = QTimer(self)
        self._search_timer.setSingleShot(True)
        self._search_timer.setInterval(SEARCH_MILLISECONDS)

    def _connect(self, signals: SessionSignals) -> None:
        signals.job_changed.connect(self._job_changed)
        signals.progress.connect(self.model.progress)
        signals.clip_ready.connect(self._clip_ready)
        self.search.textChanged.connect(lambda: self._search_timer.start())
        self._search_timer.timeout.connect(self._reload)
        self.show_only.currentIndexChanged.connect(lambda _: self._reload())
        self.model.loaded.connect(self._list_changed)
        self.model.rowsInserted.connect(self._list_changed)
        self.welcome.example.connect(self.making.example)
        self.welcome.set_up.connect(self.set_up)
        self.view.moved.connect(self._moved)
        self.view.part_clicked.connect(self._part_clicked)
        self.view.customContextMenuRequested.connect(self._menu)
        selection = self.view.selectionModel()
        if selection is not None:
            selection.selectionChanged.connect(lambda *_: self._show_current())
        self.outlines.ready.connect(lambda key: self._show_current() if self._is_current(key) else None)
        self.detail.lineage.connect(self._go_to_clip)
        self.detail.renamed.connect(lambda name: self._try(lambda: self.choosing.rename(name)))
        self.detail.noted.connect(lambda words: self._try(lambda: self.choosing.mark(notes=words)))
        self.choosing.changed = self._show_current
        act = self._commands.actions
        does: dict[str, Callable[[], object]] = {
            "search": self.search.setFocus,
            "cancel": self._cancel_current,
            "cancel_waiting": self._session.cancel_waiting,
            "cancel_all": self._session.cancel_all,
            "item": self._open_item,
            **self.making.does,
            **self.listening.does,
            **self.to_daw.does,
            **self.choosing.does,
        }
        for name, function in does.items():
            act[name].triggered.connect(partial(self._try, function))
        act["made"].toggled.connect(lambda _: self._show_made())

    # Making

    def _submit(self, request: GenerationRequest) -> None:
        if not self._filter.is_all:
            self._show_all()
        self._session.submit(request)

    def _open_item(self) -> None:
        """Show the clip that is selected in the DAW."""
        self.open_file(self.to_daw.selected_clip().path)

    # Jobs

    def _job_changed(self, event: JobChanged) -> None:
        new = self.model.group(event.job.id) is None
        self.model.job_changed(event)
        if new and not self.view.hasFocus():
            self.view.go_to(self.model.index_of_group(event.job.id))
        elif self.detail.clip is None:
            self._show_current()

    def _clip_ready(self, event: ClipReady) -> None:
        self.model.clip_ready(event)
        row = self.model.row(self.view.currentIndex())
        # Whoever waits at the heading is taken to the first clip; whoever listens elsewhere is left alone.
        if row is not None and row.is_heading and row.group.id == event.job_id and not self.view.hasFocus():
            self.view.go_to(self.model.index_of(event.clip.id))
        else:
            self._show_current()

    def _part_clicked(self, name: str, row: Row) -> None:
        job_id = row.group.id
        does: dict[str, Callable[[], object]] = {
            "cancel": lambda: self._session.cancel(job_id),
            "retry": lambda: self._session.resume(job_id),
            "place_again": lambda: self._session.place_again(job_id),
            "earlier": lambda: self._session.move(job_id, -1),
            "later": lambda: self._session.move(job_id, 1),
            "star": lambda: self.choosing.star([row.clip] if row.clip is not None else []),
        }
        self._try(does[name])

    def _cancel_current(self) -> None:
        row = self.model.row(self.view.currentIndex())
        if row is not None and row.group.pending:
            self._session.cancel(row.group.id)

    def _offer_interrupted(self) -> None:
        self._interrupted = [job.id for job in self._session.jobs() if job.state is JobState.INTERRUPTED]
        if self._interrupted:
            count = len(self._interrupted)
            one = "One request was" if count == 1 else f"{count} requests were"
            self._banner_words.setText(f"{one} interrupted when dcldm ended.")
            self._banner.show()

    def _resume_interrupted(self) -> None:
        self._banner.hide()
        for job_id in reversed(self._interrupted):
            self._try(partial(self._session.resume, job_id))

    # What is current

    def _moved(self, row: Row | None) -> None:
        self._show_current()
        self.listening.arrived(row)

    def _show_current(self) -> None:
        row = self.model.row(self.view.currentIndex())
        clip = row.clip if row is not None else None
        outline = self.outlines.get(clip) if clip is not None else None
        before = self.detail.clip
        status = self.model.status(row.group) if row is not None else ""
        self.detail.show_row(row, self.view.selected_clips(), outline, status)
        parent = self._parent_of(clip)
        self.detail.beside.show_clip(parent, self.outlines.get(parent) if parent is not None else None)
        if clip is not None and (before is None or before.id != clip.id):
            self.listening.another_clip()
            self._show_made()

    def _parent_of(self, clip: Clip | None) -> Clip | None:
        """What a clip was made from, if that is in the library."""
        control = clip.request.control if clip is not None and clip.request is not None else None
        return self._library.get(control.parents[0].clip) if control is not None and control.parents else None

    def _is_current(self, sha256: str) -> bool:
        return any(clip is not None and clip.sha256 == sha256 for clip in (self.detail.clip, self.detail.beside.clip))

    def _show_made(self) -> None:
        """How the clip was made, in place of what can be made of it, where that is asked for."""
        clip = self.detail.clip
        if clip is None or not self._commands["made"].isChecked():
            self.detail.show_made(None)
            return

        def show(said: list[tuple[str, str]]) -> None:
            if self.detail.clip is not None and self.detail.clip.id == clip.id and self._commands["made"].isChecked():
                self.detail.show_made(said)

        self._background.do(
            lambda: list(describe(clip, self._library.record_at(clip.path))),
            show,
            lambda sentence: show([("", sentence)]),
        )

    def go_to_request(self, request_id: str) -> None:
        """Show a request and its alternates, whatever was searched for."""
        if not self._filter.is_all:
            self._show_all()
        while self.model.group(request_id) is None and self.model.canFetchMore():
            self.model.fetchMore()
        self.view.go_to(self.model.index_of_group(request_id))
        self.view.setFocus()

    def _show_all(self) -> None:
        self.search.clear()
        self.show_only.setCurrentIndex(0)
        self._reload()

    def _bring_back(self, clip_id: str) -> None:
        """Show a clip that was out of sight."""
        self._reload()
        self._go_to_clip(clip_id)

    def _go_to_clip(self, clip_id: str) -> None:
        index = self.model.index_of(clip_id)
        while not index.isValid() and self.model.canFetchMore():
            self.model.fetchMore()
            index = self.model.index_of(clip_id)
        if index.isValid():
            self.view.go_to(index)
        else:
            self.said.emit("That clip is not in the library any more.", True)

    @property
    def _filter(self) -> Filter:
        return replace(FILTERS[self.show_only.currentIndex()][1], text=self.search.text())

    def _reload(self) -> None:
        self._search_timer.stop()
        self.model.load(self._filter)

    def _list_changed(self) -> None:
        empty = self.model.rowCount() == 0 and self._filter.is_all
        self.welcome.setVisible(empty)
        for widget in (self.search, self.show_only, self.view):
            widget.setVisible(not empty)

    def _menu(self, point: QPoint) -> None:
        index: QModelIndex = self.view.indexAt(point)
        row = self.model.row(index)
        if row is None:
            return
        menu = QMenu(self)
        act = self._commands.actions
        groups = (
            ("play", "loop"),
            ("insert", "insert_takes", "replace", "reveal", "copy_path"),
            ("regenerate", "vary", "like"),
            ("favourite", "reject", "rename"),
        )
        for names in groups:
            menu.addActions([act[name] for name in names])
            menu.addSeparator()
        again = QAction("Take over into the prompt", menu)
        again.triggered.connect(lambda: self.prompt.recall(_whole(row)))
        menu.addAction(again)
        if row.group.pending:
            menu.addAction(act["cancel"])
        viewport = self.view.viewport()
        if viewport is not None:
            menu.exec(viewport.mapToGlobal(point))
        menu.deleteLater()

    # Files that are dropped here

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        if event is not None and event.source() is not self.view:
            super().dragEnterEvent(event)

    def take_file(self, file: Path) -> None:
        self.open_file(file)

    def open_file(self, path: Path) -> None:
        """Show how a file was made; one that is not ours becomes the reference of the next prompt."""
        path = path.absolute()
        try:
            clip = to_clip(self._library.record_at(path), path)
        except DcldmError:
            self.prompt.follow(path)
            self.said.emit(f"{path.name} does not say how it was made; the next prompt follows its timing.", False)
            return
        if self._library.get(clip.id) is not None:
            self._go_to_clip(clip.id)
        elif clip.request is not None:
            row = Row(Group(clip.request, clip.created, clips={clip.index: clip}), clip.index)
            self.detail.show_row(row, [clip], self.outlines.get(clip))
        self._commands["made"].setChecked(True)
        self._show_made()
        self.said.emit(f"{path.name}: made by {clip.model} from “{clip.prompt.text}”.", False)

    def _try(self, function: Callable[[], object], _checked: bool = False) -> None:
        """Do something that the user asked for; what is wrong with it becomes a sentence. Actions say `_checked`."""
        try:
            function()
        except DcldmError as error:
            self.said.emit(str(error), True)

    # Layout

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        wide = self.width() >= WIDE
        wanted = Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical
        if self._splitter.orientation() != wanted:
            self._splitter.setOrientation(wanted)
            self._splitter.setSizes(self._shares[wanted])

    def _shared(self) -> None:
        """The user has moved the border; sizes from before that also come from a take that is not there yet."""
        self._shares[self._splitter.orientation()] = self._splitter.sizes()

    def store_settings(self, stored: QSettings) -> None:
        """Keep how the room is shared, side by side and one above the other, and what is in the prompt."""
        for way, sizes in self._shares.items():
            stored.setValue(f"shares/{way.name}", sizes)
        self.prompt.store_settings(stored)

    def recall_settings(self, stored: QSettings) -> None:
        for way in self._shares:
            said = stored.value(f"shares/{way.name}")
            sizes = [int(size) for size in said if str(size).isdecimal()] if isinstance(said, list) else []
            if len(sizes) == 2 and all(0 < size < MOST_PIXELS for size in sizes):
                self._shares[way] = sizes
        self._splitter.setSizes(self._shares[self._splitter.orientation()])
        self.prompt.recall_settings(stored)

    def close_down(self) -> None:
        self._search_timer.stop()
        self.outlines.close()
        self.audition.close()


def _whole(row: Row) -> GenerationRequest:
    """What made a row: one take's request with the sampling that was used, or the request of all."""
    clip = row.clip
    if clip is None or clip.request is None:
        return row.group.request
    return replace(clip.request, sampling=clip.sampling, target=None)
