"""How a row of the list of takes looks, and what in it can be clicked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from PyQt6.QtCore import QModelIndex, QPoint, QPointF, QRect, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QPainter, QPen
from PyQt6.QtWidgets import QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from dcldm_plugin.jobs import JobState
from ui import theme
from ui.drawing import ICON, draw_icon, draw_text, ratio_of, small, waveform_pixmap
from ui.sound import Outlines
from ui.takes import ROW, Group, Row, TakesModel, letter, local_time

ROW_HEIGHT = 44
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
        draw_icon(painter, name, getattr(tone, colour), area.left() + LEFT, area.center().y() - ICON // 2)
        left = area.left() + LEFT + ICON + 10
        right = _draw_parts(painter, area, row)
        bold = QFont(font)
        bold.setWeight(QFont.Weight.DemiBold)
        top = QRect(left, area.top() + 5, right - left, area.height() // 2 - 4)
        bottom = QRect(left, area.center().y(), right - left, area.height() // 2 - 3)
        draw_text(painter, top, group.request.prompt.text, bold, tone.text)
        model = index.model()
        status = model.status(group) if isinstance(model, TakesModel) else ""
        bad = bool(group.job is not None and group.job.error)
        when = local_time(group.created)
        facts = [
            when.strftime("%H:%M" if when.date() == when.now().date() else "%d %b") if when else "",
            *facts_of(group),
        ]
        words = " · ".join(word for word in facts if word)
        if status:
            used = draw_text(painter, bottom, status, small(font), tone.bad if bad else tone.accent)
            bottom.setLeft(bottom.left() + used)
            words = f"  ·  {words}"
        if bottom.width() > 40:
            draw_text(painter, bottom, words, small(font), tone.dim)
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
            draw_icon(painter, "stop" if is_playing else "play", colour, left, area.center().y() - ICON // 2)
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
            where = QRect(wave.right() + 6, area.top(), right - wave.right() - 8, area.height())
            words = "–" if math.isnan(outline.loudness) else f"{outline.loudness:.1f}"
            draw_text(painter, where, words, small(font), tone.dim, Qt.AlignmentFlag.AlignRight)
        ratio = ratio_of(painter)
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


def facts_of(group: Group) -> list[str]:
    request = group.request
    control = request.control.kind if request.control is not None else ""
    return [control, request.model, f"{request.seconds:g} s"]


def wave_area(area: QRect, right: int) -> QRect:
    """Where the waveform of a row is: beside its letter, up to `right` or to its loudness."""
    left = area.left() + LEFT + ICON + 36
    end = right - (52 if area.width() >= LOUDNESS_FROM else 6)
    return QRect(left, area.top() + 6, max(10, end - left), area.height() - 12)


def parts_left(area: QRect, row: Row) -> int:
    return area.right() - 8 - BUTTON * len(parts(row))


def part_at(area: QRect, row: Row, position: QPoint) -> str:
    """The name of what can be clicked there, or an empty text."""
    found = parts(row)
    number = (position.x() - parts_left(area, row)) // BUTTON
    return found[number].name if 0 <= number < len(found) else ""


def _draw_parts(painter: QPainter, area: QRect, row: Row) -> int:
    """Draw what can be clicked; where it begins."""
    left = parts_left(area, row)
    for number, part in enumerate(parts(row)):
        x = left + number * BUTTON + (BUTTON - ICON) // 2
        draw_icon(painter, part.icon, getattr(theme.tones(), part.colour), x, area.center().y() - ICON // 2)
    return left
