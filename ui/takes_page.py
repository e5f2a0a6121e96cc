"""The page that is open all day: the prompt above, the takes below it, the current one in full beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from PyQt6.QtCore import QModelIndex, QPoint, QSettings, Qt, QTimer, QUrl, pyqtSignal
from PyQt6.QtGui import (
    QAction,
    QDesktopServices,
    QDragEnterEvent,
    QDropEvent,
    QGuiApplication,
    QIcon,
    QImage,
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
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from bridge.insert import insert
from bridge.program import Program
from dcldm_plugin.audio.clip_file import to_clip
from dcldm_plugin.commands.show import describe
from dcldm_plugin.errors import DcldmError
from dcldm_plugin.jobs import JobState
from dcldm_plugin.rights import check_clip
from dcldm_plugin.session import ClipReady, JobChanged
from dcldm_plugin.types import Clip, GenerationRequest
from dcldm_plugin.variations import vary
from ui import theme
from ui.audition import Audition
from ui.commands import Commands
from ui.detail import Ask, Detail
from ui.editor import picture
from ui.hosts import HostBar
from ui.prompt import PromptPanel
from ui.signals import Background, SessionSignals
from ui.sound import Outlines, read_samples
from ui.takes import Filter, Group, Row, TakesModel
from ui.takes_view import TakesView
from ui.welcome import Welcome
from ui.widgets import file_of, hint, tool

FILTERS = (
    ("All", Filter()),
    ("Favourites", Filter(favourite=True)),
    ("3 stars or more", Filter(min_rating=3)),
    ("Rejected", Filter(rejected=True)),
)
SEARCH_MILLISECONDS = 150  # of quiet after which a search begins
SEEK_SECONDS = 0.5
WIDE = 900  # from this width on, the current take stands beside the list


class TakesPage(QWidget):
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
        self.place = tool(commands["place"], "insert")
        self.prompt.add_tool(self.place)
        self._pictures: tuple[str, QImage] | None = None
        self._undo: list[str] = []  # ids of the clips that were rejected last
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
        theme.set_icon(glass, "search")
        self.search.setClearButtonEnabled(True)
        hint(self.search, "Search takes")
        self.welcome = Welcome()
        self.show_only = QComboBox()
        for words, wanted in FILTERS:
            self.show_only.addItem(words, wanted)
        hint(self.show_only, "Which takes")
        self._list = QStackedWidget()
        self._list.addWidget(self.welcome)
        self._list.addWidget(self.view)
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
        column.addWidget(self._list, 1)
        self._splitter = QSplitter(Qt.Orientation.Vertical)
        self._splitter.setHandleWidth(8)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.addWidget(left)
        self._splitter.addWidget(self.detail)
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
        self.prompt.asked.connect(self.generate)
        self.welcome.example.connect(self._example)
        self.welcome.set_up.connect(self.set_up)
        self.view.moved.connect(self._moved)
        self.view.play_clicked.connect(lambda row, share: self._play_row(row, share))
        self.view.part_clicked.connect(self._part_clicked)
        self.view.may_go = self._may_go
        self.view.dragged.connect(lambda clips: self._inserted(clips, f"{_files(len(clips))} handed over."))
        self.view.customContextMenuRequested.connect(self._menu)
        selection = self.view.selectionModel()
        if selection is not None:
            selection.selectionChanged.connect(lambda *_: self._show_current())
        self.outlines.ready.connect(lambda key: self._show_current() if self._is_current(key) else None)
        self.detail.asked.connect(self.vary)
        self.detail.lineage.connect(self._go_to_clip)
        self.detail.renamed.connect(lambda name: self._try(lambda: self._rename(name)))
        self.detail.noted.connect(lambda words: self._try(lambda: self._mark(notes=words)))
        self.detail.wave.seeked.connect(self._seek_to)
        self.detail.wave.marked.connect(lambda *_: self._loop_changed())
        self.audition.moved.connect(self._heard)
        self.audition.failed.connect(lambda sentence: self.said.emit(sentence, True))
        act = self._commands.actions
        for name in ("loop", "match", "spectrogram", "made", "place"):
            act[name].setCheckable(True)
        does: dict[str, Callable[[], object]] = {
            "generate": self.prompt.ask,
            "prompt": self.prompt.prompt.setFocus,
            "search": self.search.setFocus,
            "play": self.toggle,
            "stop": self._escape,
            "back": lambda: self._step(-SEEK_SECONDS),
            "forward": lambda: self._step(SEEK_SECONDS),
            "swap": self._swap,
            "insert": lambda: self.insert(self.view.selected_clips()),
            "insert_takes": self._insert_takes,
            "place_again": self._place_again,
            "cancel": self._cancel_current,
            "cancel_waiting": self._session.cancel_waiting,
            "cancel_all": self._session.cancel_all,
            "reveal": self._reveal,
            "copy_path": self._copy_paths,
            "like": self._like,
            "favourite": lambda: self._star(self.view.selected_clips()),
            "reject": self._reject,
            "undo": self._undo_reject,
            "rename": self._edit_name,
            **{f"rate_{stars}": partial(self._mark, rating=stars) for stars in range(6)},
        }
        for name, function in does.items():
            act[name].triggered.connect(partial(self._try, function))
        for name in ("loop", "match"):
            act[name].toggled.connect(lambda _: self._loop_changed())
        act["spectrogram"].toggled.connect(lambda _: self._show_picture())
        act["made"].toggled.connect(lambda _: self._show_made())

    # Making

    def generate(self, texts: list[str]) -> None:
        """Ask for clips of each text, as the panel says, to be placed at the cursor if that is switched on."""
        try:
            draft = self.prompt.draft()
            target = self._hosts.state.target() if self._commands["place"].isChecked() else None
            for text in texts:
                self._submit(draft.request(target, text))
        except DcldmError as error:
            self.prompt.say(str(error))
            return
        self.prompt.submitted(texts[0] if len(texts) == 1 else self.prompt.prompt.toPlainText())

    def vary(self, ask: Ask) -> None:
        """Ask for variations of what is selected, as many as the panel says."""
        chosen = self.view.selected_clips() if ask.kind in ("morph", "more") else [self.detail.clip]
        clips = [clip for clip in chosen if clip is not None]

        def submit() -> None:
            target = self._hosts.state.target() if self._commands["place"].isChecked() else None
            count = self.prompt.alternates.value()
            request = vary(
                clips,
                ask.kind,
                amount=ask.amount,
                start=ask.start,
                end=ask.end,
                variations=count,
                model=ask.model or None,
                target=target,
            )
            self._submit(request)

        self._try(submit)

    def _submit(self, request: GenerationRequest) -> None:
        if not self._filter.is_all:
            self._show_all()
        self._session.submit(request)

    def _example(self, words: str) -> None:
        self.prompt.prompt.take(words)
        self.generate([words])

    def _like(self) -> None:
        clip = self.detail.clip
        if clip is not None:
            self.prompt.follow(clip.path)
            self.prompt.prompt.setFocus()

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
            "star": lambda: self._star([row.clip] if row.clip is not None else []),
        }
        self._try(does[name])

    def _cancel_current(self) -> None:
        row = self.model.row(self.view.currentIndex())
        if row is not None and row.group.pending:
            self._session.cancel(row.group.id)

    def _place_again(self) -> None:
        row = self.model.row(self.view.currentIndex())
        if row is not None and row.group.job is not None:
            self._session.place_again(row.group.id)

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

    def _edit_name(self) -> None:
        self.detail.name.setFocus()
        self.detail.name.selectAll()

    # Hearing

    def toggle(self) -> None:
        """Play the current clip from its cursor, or stop what is heard."""
        if self.audition.playing:
            self.audition.stop()
        elif self.detail.clip is not None:
            start = self.detail.wave.position
            self.audition.play(self.detail.clip, start if start < self.detail.clip.seconds - 0.05 else 0.0)

    def _play_row(self, row: Row, share: float) -> None:
        if row.clip is None:
            return
        if share == 0.0 and self.audition.clip is not None and self.audition.clip.id == row.clip.id:
            self.audition.stop()
        else:
            self.audition.play(row.clip, share * row.clip.seconds)

    def _seek_to(self, seconds: float) -> None:
        clip = self.detail.clip
        if clip is not None:
            self.audition.play(clip, seconds)

    def _step(self, seconds: float) -> None:
        clip = self.detail.clip
        if clip is None:
            return
        position = min(max(0.0, self.detail.wave.position + seconds), clip.seconds)
        self.detail.wave.set_position(position)
        if self.audition.playing:
            self.audition.seek(position)

    def _swap(self) -> None:
        other = self.audition.swap()
        if other is not None:
            self._go_to_clip(other.id)

    def _loop_changed(self) -> None:
        self.audition.loop = self._commands["loop"].isChecked()
        self.audition.match = self._commands["match"].isChecked()
        self.audition.range = self.detail.wave.range
        self.audition.update()

    def _escape(self) -> None:
        self.audition.stop()
        focused = QGuiApplication.focusObject()
        if focused is not self.view:
            self.view.setFocus()

    def _heard(self) -> None:
        clip_id, _ = self.audition.heard
        clip = self.detail.clip
        if clip is not None and clip.id == clip_id:
            self.detail.wave.set_position(self.audition.seconds)
            self.detail.time.setText(f"{self.audition.seconds:.2f}")
        self.view.redraw()

    # What is current

    def _moved(self, row: Row | None) -> None:
        """Arrow keys audition what they come to, if that is switched on."""
        self._show_current()
        by_key = self.view.hasFocus() and QGuiApplication.mouseButtons() == Qt.MouseButton.NoButton
        if by_key and row is not None and row.clip is not None and self._commands["auto"].isChecked():
            self.audition.play(row.clip)

    def _show_current(self) -> None:
        row = self.model.row(self.view.currentIndex())
        clip = row.clip if row is not None else None
        outline = self.outlines.get(clip) if clip is not None else None
        before = self.detail.clip
        status = self.model.status(row.group) if row is not None else ""
        self.detail.show_row(row, self.view.selected_clips(), outline, status)
        if clip is not None and (before is None or before.id != clip.id):
            self._loop_changed()
            self._show_picture()
            self._show_made()

    def _is_current(self, sha256: str) -> bool:
        clip = self.detail.clip
        return clip is not None and clip.sha256 == sha256

    def _show_picture(self) -> None:
        clip = self.detail.clip
        if clip is None or not self._commands["spectrogram"].isChecked():
            self.detail.wave.show_picture(None)
        elif self._pictures is not None and self._pictures[0] == clip.id:
            self.detail.wave.show_picture(self._pictures[1])
        else:
            self._background.do(
                lambda: picture(*read_samples(clip.path)),
                lambda image: self._keep_picture(clip.id, image),
                lambda sentence: self.said.emit(sentence, True),
            )

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

    def _keep_picture(self, clip_id: str, image: QImage) -> None:
        self._pictures = (clip_id, image)
        if self.detail.clip is not None and self.detail.clip.id == clip_id:
            self._show_picture()

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
        self._list.setCurrentWidget(self.welcome if empty else self.view)
        for widget in (self.search, self.show_only):
            widget.setVisible(not empty)

    # Choosing

    def _mark(self, **marks: bool | int | str) -> None:
        """Say something of all selected clips."""
        for clip in self.view.selected_clips():
            self.model.clip_changed(self._library.mark(clip.id, **marks))  # type: ignore[arg-type]
        self._show_current()

    def _star(self, clips: list[Clip]) -> None:
        on = not all(clip.marks.favourite for clip in clips)
        for clip in clips:
            self.model.clip_changed(self._library.mark(clip.id, favourite=on))
        self._show_current()

    def _reject(self) -> None:
        """Out of sight, but not gone; or back, where rejected clips are listed."""
        clips = self.view.selected_clips()
        if not clips:
            return
        rejected = not self._filter.rejected
        row = self.view.currentIndex().row()
        self._mark(rejected=rejected)
        self._undo = [clip.id for clip in clips] if rejected else []
        index = self.model.index(min(row, self.model.rowCount() - 1))
        if index.isValid():
            self.view.go_to(index)
        words = f"{_clips(len(clips))} rejected; Undo brings back." if rejected else f"{_clips(len(clips))} back."
        self.said.emit(words[0].upper() + words[1:], False)

    def _undo_reject(self) -> None:
        for clip_id in self._undo:
            self._library.mark(clip_id, rejected=False)
        if self._undo:
            back, self._undo = self._undo[0], []
            self._reload()
            self._go_to_clip(back)

    def _rename(self, name: str) -> None:
        clip = self.detail.clip
        if clip is not None:
            self.model.clip_changed(self._library.rename(clip.id, name))
            self._show_current()

    # To the DAW

    def insert(self, clips: list[Clip]) -> None:
        """Put clips at the cursor of the chosen host; several become takes of one item."""
        if not clips:
            self.said.emit("Choose a clip first.", True)
            return
        self._check_rights(clips)
        state = self._hosts.state
        target = state.target()
        host = self._program.hosts[state.name]
        where = state.folder or f"{target.track or 'a new track'}, {state.where}"
        self.said.emit(f"Placing {_clips(len(clips))} in {state.title} …", False)
        self._background.do(
            lambda: insert(host, clips, target),
            lambda placed: self._inserted(clips, f"{_clips(len(placed))} in {state.title}: {where}."),
            lambda sentence: self.said.emit(sentence, True),
        )

    def _check_rights(self, clips: list[Clip]) -> None:
        """Raises `InvalidInput` for a clip that may not be sold, where only such as may are wanted."""
        for clip in clips if self._session.commercial_only else ():
            check_clip(clip)

    def _may_go(self, clips: list[Clip]) -> bool:
        """Whether clips may be dragged out; says why not."""
        try:
            self._check_rights(clips)
        except DcldmError as error:
            self.said.emit(str(error), True)
            return False
        return True

    def _inserted(self, clips: list[Clip], words: str) -> None:
        """A project refers to these files from now on, so the library is not to move them."""
        for clip in clips:
            self._try(partial(self._note_placed, clip.id))
        self.said.emit(words, False)

    def _note_placed(self, clip_id: str) -> None:
        self.model.clip_changed(self._library.mark(clip_id, placed=True))

    def _insert_takes(self) -> None:
        """All alternates of the current request, the current one first."""
        row = self.model.row(self.view.currentIndex())
        if row is not None:
            current = [row.clip] if row.clip is not None else []
            self.insert(current + [clip for clip in row.group.ordered if clip is not row.clip])

    def _reveal(self) -> None:
        clip = self.detail.clip
        if clip is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(clip.path.parent)))

    def _copy_paths(self) -> None:
        clips = self.view.selected_clips()
        clipboard = QGuiApplication.clipboard()
        if clips and clipboard is not None:
            clipboard.setText("\n".join(str(clip.path) for clip in clips))
            self.said.emit(f"The path of {_clips(len(clips))} is on the clipboard.", False)

    def _menu(self, point: QPoint) -> None:
        index: QModelIndex = self.view.indexAt(point)
        row = self.model.row(index)
        if row is None:
            return
        menu = QMenu(self)
        act = self._commands.actions
        groups = (
            ("play", "loop"),
            ("insert", "insert_takes", "reveal", "copy_path"),
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
        if event is not None and file_of(event) is not None and event.source() is not self.view:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        if event is not None and (file := file_of(event)) is not None:
            event.acceptProposedAction()
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
            self._splitter.setSizes([5, 4] if wide else [6, 5])

    def close_down(self) -> None:
        self._search_timer.stop()
        self.audition.close()


def _whole(row: Row) -> GenerationRequest:
    """What made a row: one take's request with the sampling that was used, or the request of all."""
    clip = row.clip
    if clip is None or clip.request is None:
        return row.group.request
    return replace(clip.request, sampling=clip.sampling, target=None)


def _clips(count: int) -> str:
    return "one clip" if count == 1 else f"{count} clips"


def _files(count: int) -> str:
    return "One file" if count == 1 else f"{count} files"
