"""How the list of takes looks and answers to mouse, keys and drags."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from PyQt6.QtCore import (
    QEvent,
    QItemSelectionModel,
    QMimeData,
    QModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    QUrl,
    pyqtSignal,
)
from PyQt6.QtGui import (
    QColor,
    QDrag,
    QFont,
    QFontMetrics,
    QImage,
    QMouseEvent,
    QPainter,
    QPen,
    QPixmap,
    QPixmapCache,
    QResizeEvent,
)
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QToolTip,
)

from dcldm_plugin.jobs import JobState
from dcldm_plugin.types import Clip
from ui import theme
from ui.sound import BINS, Outline, Outlines
from ui.takes import ROW, Group, Row, TakesModel, letter, local_time

ROW_HEIGHT = 44
ICON = 16
LEFT = 12
BUTTON = 26  # width of what can be clicked within a row
LOUDNESS_FROM = 440  # width of a list from which rows say how loud they are

_STATE_ICONS = {
    JobState.QUEUED: ("wait", "dim"),
    JobState.RUNNING: ("work", "accent"),
    JobState.PLACING: ("insert", "accent"),
    JobState.FINISHED: ("done", "dim"),
    JobState.FAILED: ("warn", "bad"),
    JobState.CANCELLED: ("close", "dim"),
    JobState.INTERRUPTED: ("warn", "dim"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """Something in a row that can be clicked."""

    name: str
    icon: str
    words: str
    colour: str = "dim"


def parts(row: Row) -> list[Part]:
    """What can be clicked at the right end of a row, from left to right."""
    group = row.group
    if not row.is_heading:
        if row.clip is None:
            return []
        starred = row.clip.marks.favourite
        star = Part("star", "starred" if starred else "star", "Favourite", "accent" if starred else "dim")
        return [star, Part("grip", "grip", "Drag into the DAW")]
    state = group.job.state if group.job is not None else None
    if state is JobState.QUEUED:
        return [
            Part("earlier", "up", "Earlier in the queue"),
            Part("later", "down", "Later in the queue"),
            Part("cancel", "close", "Cancel"),
        ]
    if group.pending:
        return [Part("cancel", "close", "Cancel")]
    found = []
    if state in (JobState.FAILED, JobState.CANCELLED, JobState.INTERRUPTED):
        found.append(Part("retry", "retry", "Retry: makes what is missing"))
    elif group.job is not None and group.job.error and group.request.target is not None:
        found.append(Part("place_again", "retry", "Place again"))
    if group.clips:
        found.append(Part("grip", "grip", "Drag all alternates into the DAW"))
    return found


class TakesDelegate(QStyledItemDelegate):
    """Draws rows. `playing` says which clip is heard, and how far it is, 0 … 1."""

    def __init__(self, outlines: Outlines, playing: Callable[[], tuple[str, float]]) -> None:
        super().__init__()
        self._outlines, self._playing = outlines, playing

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        return QSize(200, ROW_HEIGHT)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        row = index.data(ROW)
        if painter is None or not isinstance(row, Row):
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        tone, area = theme.tones(), option.rect
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(area, QColor(tone.selected))
        if row.is_heading:
            self._heading(painter, area, row, option.font, index)
        else:
            self._take(painter, area, row, option.font)
        view = option.widget
        if isinstance(view, QListView) and view.currentIndex() == index and view.hasFocus():
            painter.fillRect(QRect(area.left(), area.top(), 2, area.height()), QColor(tone.accent))
        painter.restore()

    def _heading(self, painter: QPainter, area: QRect, row: Row, font: QFont, index: QModelIndex) -> None:
        tone, group = theme.tones(), row.group
        if index.row() > 0:
            painter.fillRect(QRect(area.left(), area.top(), area.width(), 1), QColor(tone.line))
        state = group.job.state if group.job is not None else JobState.FINISHED
        name, colour = _STATE_ICONS[state]
        if state is JobState.FINISHED and group.job is not None and group.job.error:
            name, colour = "warn", "bad"
        _icon(painter, name, getattr(tone, colour), area.left() + LEFT, area.center().y() - ICON // 2)
        left = area.left() + LEFT + ICON + 10
        right = _draw_parts(painter, area, row)
        bold = QFont(font)
        bold.setWeight(QFont.Weight.DemiBold)
        top = QRect(left, area.top() + 5, right - left, area.height() // 2 - 4)
        bottom = QRect(left, area.center().y(), right - left, area.height() // 2 - 3)
        draw_text(painter, top, group.request.prompt.text, bold, tone.text)
        small = QFont(font)
        small.setPointSizeF(font.pointSizeF() * 0.88)
        model = index.model()
        status = model.status(group) if isinstance(model, TakesModel) else ""
        bad = bool(group.job is not None and group.job.error)
        when = local_time(group.created)
        facts = [
            when.strftime("%H:%M" if when.date() == when.now().date() else "%d %b") if when else "",
            *_facts(group),
        ]
        words = " · ".join(word for word in facts if word)
        if status:
            used = draw_text(painter, bottom, status, small, tone.bad if bad else tone.accent)
            bottom.setLeft(bottom.left() + used)
            words = f"  ·  {words}"
        if bottom.width() > 40:
            draw_text(painter, bottom, words, small, tone.dim)
        if state is JobState.RUNNING:
            done = self._done(group)
            line = QRectF(area.left(), area.bottom() - 1, area.width() * done, 2)
            painter.fillRect(line, QColor(tone.accent))

    @staticmethod
    def _done(group: Group) -> float:
        """How much of a request is made, 0 … 1: whole alternates, and the part of one that its stage is."""
        made = len(group.clips)
        part = group.progress.fraction if group.progress and group.progress.stage == "denoising" else 0.0
        return min(1.0, (made + 0.9 * part) / len(group.request.seeds))

    def _take(self, painter: QPainter, area: QRect, row: Row, font: QFont) -> None:
        tone, clip = theme.tones(), row.clip
        left = area.left() + LEFT
        playing, position = self._playing()
        is_playing = clip is not None and clip.id == playing
        if clip is not None:
            colour = tone.accent if is_playing else tone.dim
            _icon(painter, "stop" if is_playing else "play", colour, left, area.center().y() - ICON // 2)
        name = QRect(left + ICON + 10, area.top(), 22, area.height() - (8 if clip and clip.marks.rating else 0))
        draw_text(painter, name, letter(row.index), font, tone.dim if clip is None else tone.text)
        if clip is not None and clip.marks.rating:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(tone.accent))
            for number in range(clip.marks.rating):
                painter.drawEllipse(QPointF(left + ICON + 12 + number * 5, area.bottom() - 10), 1.5, 1.5)
        right = _draw_parts(painter, area, row)
        wave = wave_area(area, right)
        if clip is None:
            self._coming(painter, wave, row, font)
            return
        outline = self._outlines.get(clip)
        if outline is None:
            return
        if area.width() >= LOUDNESS_FROM:
            small = QFont(font)
            small.setPointSizeF(font.pointSizeF() * 0.88)
            where = QRect(wave.right() + 6, area.top(), right - wave.right() - 8, area.height())
            words = "–" if math.isnan(outline.loudness) else f"{outline.loudness:.1f}"
            draw_text(painter, where, words, small, tone.dim, Qt.AlignmentFlag.AlignRight)
        ratio = _ratio(painter)
        painter.drawPixmap(wave.topLeft(), waveform_pixmap(clip.sha256, outline, wave.size(), tone.wave, ratio))
        if is_playing:
            played = QRect(wave.left(), wave.top(), round(wave.width() * position), wave.height())
            painter.save()
            painter.setClipRect(played)
            painter.drawPixmap(wave.topLeft(), waveform_pixmap(clip.sha256, outline, wave.size(), tone.accent, ratio))
            painter.restore()
            painter.setPen(QPen(QColor(tone.text), 1))
            painter.drawLine(played.right(), wave.top() - 2, played.right(), wave.bottom() + 2)

    def _coming(self, painter: QPainter, wave: QRect, row: Row, font: QFont) -> None:
        """An alternate that is not there yet: a line, and how far it is."""
        tone, progress = theme.tones(), row.group.progress
        middle = wave.center().y()
        painter.setPen(QPen(QColor(tone.line), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawLine(wave.left(), middle, wave.right(), middle)
        if progress is not None and progress.index == row.index and progress.stage == "denoising":
            painter.setPen(QPen(QColor(tone.accent), 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawLine(wave.left(), middle, wave.left() + round(wave.width() * progress.fraction), middle)


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
            wave = wave_area(area, _parts_left(area, row))
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
            lines = [request.prompt.text, *_facts(row.group), self._model.status(row.group)]
            return "\n".join(line for line in lines if line)
        clip = row.clip
        return f"{clip.path.name}\nseeds {clip.seeds.structure} / {clip.seeds.texture}" if clip is not None else ""


def _facts(group: Group) -> list[str]:
    request = group.request
    control = request.control.kind if request.control is not None else ""
    return [control, request.model, f"{request.seconds:g} s"]


def wave_area(area: QRect, right: int) -> QRect:
    """Where the waveform of a row is: beside its letter, up to `right` or to its loudness."""
    left = area.left() + LEFT + ICON + 36
    end = right - (52 if area.width() >= LOUDNESS_FROM else 6)
    return QRect(left, area.top() + 6, max(10, end - left), area.height() - 12)


def _parts_left(area: QRect, row: Row) -> int:
    return area.right() - 8 - BUTTON * len(parts(row))


def part_at(area: QRect, row: Row, position: QPoint) -> str:
    """The name of what can be clicked there, or an empty text."""
    found = parts(row)
    number = (position.x() - _parts_left(area, row)) // BUTTON
    return found[number].name if 0 <= number < len(found) else ""


def _draw_parts(painter: QPainter, area: QRect, row: Row) -> int:
    """Draw what can be clicked; where it begins."""
    left = _parts_left(area, row)
    for number, part in enumerate(parts(row)):
        x = left + number * BUTTON + (BUTTON - ICON) // 2
        _icon(painter, part.icon, getattr(theme.tones(), part.colour), x, area.center().y() - ICON // 2)
    return left


def _icon(painter: QPainter, name: str, colour: str, x: int, y: int) -> None:
    painter.drawPixmap(x, y, theme.pixmap(name, colour, ICON, _ratio(painter)))


def _ratio(painter: QPainter) -> float:
    """Pixels of the screen per logical one."""
    device = painter.device()
    return device.devicePixelRatioF() if device is not None else 1.0


def draw_text(
    painter: QPainter,
    area: QRect,
    words: str,
    font: QFont,
    colour: str,
    align: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft,
) -> int:
    """Write one line, cut short with dots if need be; its width."""
    metrics = QFontMetrics(font)
    shown = metrics.elidedText(words, Qt.TextElideMode.ElideRight, max(0, area.width()))
    painter.setFont(font)
    painter.setPen(QColor(colour))
    painter.drawText(area, Qt.AlignmentFlag.AlignVCenter | align, shown)
    return metrics.horizontalAdvance(shown)


def waveform_pixmap(key: str, outline: Outline, size: QSize, colour: str, ratio: float) -> QPixmap:
    """The waveform as a picture, kept for the next time."""
    name = f"wave {key} {size.width()} {size.height()} {colour} {ratio}"
    found = QPixmapCache.find(name)
    if found is not None:
        return found
    largest = max(1, int(abs(outline.peaks.astype(int)).max()))  # a row shows the shape, and its level in LUFS
    picture = QPixmap.fromImage(waveform_image(outline, size, colour, ratio, 127.0 / largest))
    QPixmapCache.insert(name, picture)
    return picture


def waveform_image(outline: Outline, size: QSize, colour: str, ratio: float, gain: float = 1.0) -> QImage:
    """The shape between lowest and highest, each pixel as opaque as it is covered.

    Quiet parts keep a hairline, so that silence can be seen as such. `ratio`: pixels of the screen per logical one.
    """
    import numpy as np

    columns, rows = (max(2, round(length * ratio)) for length in (size.width(), size.height()))
    edges = np.linspace(0, BINS, columns + 1).astype(int)[:-1]
    middle, half = rows / 2, rows / 2 - ratio / 2
    high = np.maximum.reduceat(outline.peaks[1], edges) * (gain / 127.0)
    low = np.minimum.reduceat(outline.peaks[0], edges) * (gain / 127.0)
    above, below = middle - np.maximum(high * half, ratio / 2), middle - np.minimum(low * half, -ratio / 2)
    row = np.arange(rows)[:, None]
    covered = np.clip(np.minimum(below, row + 1) - np.maximum(above, row), 0.0, 1.0)  # [rows, columns]
    tone = QColor(colour)
    pixels = (covered[..., None] * [tone.blue(), tone.green(), tone.red(), 255]).astype(np.uint8)
    format = QImage.Format.Format_ARGB32_Premultiplied
    image = QImage(pixels.tobytes(), columns, rows, 4 * columns, format).copy()  # a QImage does not keep the bytes
    image.setDevicePixelRatio(ratio)
    return image
