"""The list of takes: how it answers to mouse, keys and drags."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import QEvent, QItemSelectionModel, QMimeData, QModelIndex, QPoint, QRect, Qt, QUrl, pyqtSignal
from PyQt6.QtGui import QDrag, QMouseEvent, QResizeEvent
from PyQt6.QtWidgets import QAbstractItemView, QListView, QToolTip

from dcldm_plugin.types import Clip
from ui import theme
from ui.sound import Outlines
from ui.takes import Row, TakesModel
from ui.takes_rows import TakesDelegate, facts_of, part_at, parts, parts_left, wave_area


class TakesView(QListView):
    """The list. What is clicked in a row comes out as a signal with the row."""

    part_clicked = pyqtSignal(str, object)  # the name of a `Part`, the Row
    play_clicked = pyqtSignal(object, float)  # the Row, from where in it, 0 … 1
    moved = pyqtSignal(object)  # the Row that is current now, or None
    dragged = pyqtSignal(list)  # the clips whose files were dropped somewhere

    def __init__(self, model: TakesModel, outlines: Outlines, playing: Callable[[], tuple[str, float]]) -> None:
        super().__init__()
        self._model = model
        self.setModel(model)
        self._delegate = TakesDelegate(outlines, playing)
        self.setItemDelegate(self._delegate)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragOnly)
        self.setMouseTracking(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAccessibleName("Takes")
        self.setAccessibleDescription("Requests and their alternates, the newest first. Arrow keys audition.")
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        outlines.ready.connect(lambda _: self.redraw())
        self.may_go: Callable[[list[Clip]], bool] = lambda clips: True  # asked before files are handed over
        self._pressed: QPoint | None = None

    def redraw(self) -> None:
        """Draw all rows anew: something that is no part of the model has changed."""
        viewport = self.viewport()
        if viewport is not None:
            viewport.update()

    def selected_rows(self) -> list[Row]:
        """The selected rows, from the top."""
        selection = self.selectionModel()
        indexes = sorted(selection.selectedIndexes(), key=lambda index: index.row()) if selection else []
        return [row for index in indexes if (row := self._model.row(index)) is not None]

    def selected_clips(self) -> list[Clip]:
        """The clips of the selected rows, from the top; a heading stands for all of its alternates."""
        found: dict[str, Clip] = {}
        for row in self.selected_rows():
            for clip in row.group.ordered if row.is_heading else [row.clip]:
                if clip is not None:
                    found.setdefault(clip.id, clip)
        return list(found.values())

    def go_to(self, index: QModelIndex) -> None:
        selection = self.selectionModel()
        if index.isValid() and selection is not None:
            selection.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)
            self.scrollTo(index)

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:
        super().currentChanged(current, previous)
        self.moved.emit(self._model.row(current))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """What is current stays in sight when something beside the list takes room."""
        super().resizeEvent(event)
        self.scrollTo(self.currentIndex())

    def startDrag(self, actions: Qt.DropAction) -> None:
        """Offer the complete files of the selected rows. To copy only: a host that moved one would delete it."""
        clips = [clip for clip in self.selected_clips() if clip.path.is_file()]
        if not clips or not self.may_go(clips):
            return
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(clip.path)) for clip in clips])
        drag = QDrag(self)
        drag.setMimeData(mime)
        drag.setPixmap(theme.pixmap("ear", theme.tones().accent, 24, self.devicePixelRatioF()))
        if drag.exec(Qt.DropAction.CopyAction) != Qt.DropAction.IgnoreAction:
            self.dragged.emit(clips)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        self._pressed = event.pos() if event is not None else None
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        super().mouseReleaseEvent(event)
        pressed, self._pressed = self._pressed, None
        if event is None or pressed is None or event.button() != Qt.MouseButton.LeftButton or event.modifiers():
            return
        index = self.indexAt(pressed)
        row = self._model.row(index)
        if row is None or (event.pos() - pressed).manhattanLength() > 6:
            return
        area = self.visualRect(index)
        name = part_at(area, row, pressed)
        if name and name != "grip":
            self.part_clicked.emit(name, row)
        elif row.clip is not None:
            wave = wave_area(area, parts_left(area, row))
            if pressed.x() < wave.left():
                self.play_clicked.emit(row, 0.0)
            elif wave.left() <= pressed.x() <= wave.right():
                self.play_clicked.emit(row, (pressed.x() - wave.left()) / max(1, wave.width()))

    def viewportEvent(self, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.ToolTip:
            index = self.indexAt(event.pos())  # type: ignore[attr-defined]
            row = self._model.row(index)
            if row is not None:
                QToolTip.showText(event.globalPos(), self._tip(row, self.visualRect(index), event.pos()), self)  # type: ignore[attr-defined]
                return True
        return super().viewportEvent(event)

    def _tip(self, row: Row, area: QRect, position: QPoint) -> str:
        name = part_at(area, row, position)
        if name:
            return next(part.words for part in parts(row) if part.name == name)
        if row.is_heading:
            request = row.group.request
            lines = [request.prompt.text, *facts_of(row.group), self._model.status(row.group)]
            return "\n".join(line for line in lines if line)
        clip = row.clip
        return f"{clip.path.name}\nseeds {clip.seeds.structure} / {clip.seeds.texture}" if clip is not None else ""
