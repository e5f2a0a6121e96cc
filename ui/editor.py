"""The large waveform of one clip: seek by clicking, mark a range by dragging, look at its spectrogram."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PyQt6.QtCore import QPoint, QRect, QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QColor, QFont, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QSizePolicy, QWidget

from dcldm_plugin.types import Clip
from ui import theme
from ui.drawing import waveform_image
from ui.sound import Outline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RULER = 20
SHOWN_HZ = 24_000.0  # up to half of what is delivered, so that an empty band is seen as empty
SMALLEST_SECONDS = 0.02  # a shorter drag is a click
PICTURE = (900, 220)


def picture(samples: NDArray[np.float32], sample_rate: int) -> QImage:
    """A spectrogram of samples [time, channels]. May be called on any thread."""
    from dcldm_plugin.audio.picture import spectrogram_png

    mono = samples.mean(axis=1)
    image = QImage()
    image.loadFromData(spectrogram_png(mono, sample_rate, width=PICTURE[0], height=PICTURE[1], band_hz=SHOWN_HZ))
    return image


class WaveEditor(QWidget):
    """What is shown is set from outside; `seeked` (seconds) and `marked` (from, to in seconds) come out."""

    seeked = pyqtSignal(float)
    marked = pyqtSignal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(110)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.IBeamCursor)
        self._clip: Clip | None = None
        self._outline: Outline | None = None
        self._image: QImage | None = None
        self._band_hz = SHOWN_HZ
        self._position = 0.0
        self._pressed: float | None = None
        self.range: tuple[float, float] | None = None
        self._describe()

    def sizeHint(self) -> QSize:
        return QSize(420, 170)

    def show_clip(self, clip: Clip | None, outline: Outline | None, band_hz: float) -> None:
        if clip is None or self._clip is None or clip.id != self._clip.id:
            self.range, self._position, self._image = None, 0.0, None
        self._clip, self._outline, self._band_hz = clip, outline, band_hz
        self._describe()
        self.update()

    def show_picture(self, image: QImage | None) -> None:
        """A spectrogram in place of the waveform, or the waveform again."""
        self._image = image
        self.update()

    def set_position(self, seconds: float) -> None:
        if abs(seconds - self._position) > 1e-3:
            self._position = seconds
            self.update()

    @property
    def position(self) -> float:
        return self._position

    def mark(self, start: float, end: float) -> None:
        """Mark a range; an empty one takes the mark away."""
        self.range = (start, end) if end - start >= SMALLEST_SECONDS else None
        self._describe()
        self.marked.emit(*(self.range or (0.0, 0.0)))
        self.update()

    def _describe(self) -> None:
        words = "no clip"
        if self._clip is not None:
            words = f"{self._clip.seconds:.1f} seconds"
            if self.range is not None:
                words += f", marked from {self.range[0]:.2f} to {self.range[1]:.2f}"
        self.setAccessibleName(f"Waveform, {words}")
        self.setAccessibleDescription("Click to seek, drag to mark. Shift with the arrow keys marks from the cursor.")

    # Input

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and event.button() == Qt.MouseButton.LeftButton and self._clip is not None:
            self._pressed = self._seconds(event.pos())

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        if event is not None and self._pressed is not None:
            here = self._seconds(event.pos())
            start, end = sorted((self._pressed, here))
            self.range = (start, end) if end - start >= SMALLEST_SECONDS else self.range
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        if event is None or self._pressed is None:
            return
        start, end = sorted((self._pressed, self._seconds(event.pos())))
        self._pressed = None
        if end - start >= SMALLEST_SECONDS:
            self.mark(start, end)
        else:
            self.mark(0.0, 0.0)
            self._position = start
            self.seeked.emit(start)
            self.update()

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        if self._clip is not None:
            self.mark(0.0, self._clip.seconds)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Shift with left and right moves the end of the marked range, as in a text."""
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        if event is None or self._clip is None:
            return
        step = steps.get(Qt.Key(event.key()), 0)
        if not step or not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            super().keyPressEvent(event)
            return
        start, end = self.range or (self._position, self._position)
        self.mark(start, min(self._clip.seconds, max(start, end + 0.1 * step)))

    def _seconds(self, point: QPoint) -> float:
        assert self._clip is not None
        area = self._area()
        share = (point.x() - area.left()) / max(1, area.width())
        return min(max(0.0, share), 1.0) * self._clip.seconds

    def _x(self, seconds: float) -> float:
        area = self._area()
        length = self._clip.seconds if self._clip is not None else 1.0
        return area.left() + area.width() * seconds / max(1e-6, length)

    def _area(self) -> QRect:
        return self.rect().adjusted(0, 0, -1, -RULER)

    # Drawing

    def paintEvent(self, event: QPaintEvent | None) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        tone, area = theme.tones(), self._area()
        painter.setPen(QPen(QColor(tone.accent if self.hasFocus() else tone.line), 1))
        painter.setBrush(QColor(tone.window))
        painter.drawRoundedRect(QRectF(area).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        if self._clip is None:
            painter.setPen(QColor(tone.dim))
            painter.drawText(area, Qt.AlignmentFlag.AlignCenter, "Choose one of the takes to see and change it.")
            return
        if self._image is not None:
            self._draw_picture(painter, area, self._image)
        elif self._outline is not None:
            self._draw_levels(painter, area)
            inner, ratio = area.adjusted(1, 8, -1, -8), self.devicePixelRatioF()
            painter.drawImage(inner.topLeft(), waveform_image(self._outline, inner.size(), tone.wave, ratio))
        if self.range is not None:
            self._draw_range(painter, area)
        self._draw_ruler(painter, area)
        x = self._x(self._position)
        painter.setPen(QPen(QColor(tone.accent), 1.5))
        painter.drawLine(round(x), area.top() + 1, round(x), area.bottom() - 1)

    def _draw_levels(self, painter: QPainter, area: QRect) -> None:
        """Lines at -6 and -18 dB of full scale."""
        tone = theme.tones()
        inner = QRectF(area).adjusted(1, 8, -1, -8)
        painter.setFont(self._small())
        for decibels in (-6, -18):
            height = 10 ** (decibels / 20) * inner.height() / 2
            painter.setPen(QPen(QColor(tone.raised), 1))
            for y in (inner.center().y() - height, inner.center().y() + height):
                painter.drawLine(round(inner.left()), round(y), round(inner.right()), round(y))
            if height < self.fontMetrics().height():  # no room between this line and the middle
                continue
            painter.setPen(QColor(tone.dim))
            where = QRectF(inner.right() - 44, inner.center().y() - height + 1, 40, 14)
            painter.drawText(where, Qt.AlignmentFlag.AlignRight, f"{decibels} dB")

    def _draw_picture(self, painter: QPainter, area: QRect, image: QImage) -> None:
        inner = QRectF(area).adjusted(1, 1, -1, -1)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(inner, image)
        if self._band_hz >= SHOWN_HZ:
            return
        from dcldm_plugin.audio.picture import LOWEST_HZ

        # The scale is logarithmic from 60 Hz to 24 kHz; nothing of the model's is above its band.
        share = math.log(SHOWN_HZ / self._band_hz) / math.log(SHOWN_HZ / LOWEST_HZ)
        empty = QRectF(inner.left(), inner.top(), inner.width(), inner.height() * share)
        painter.fillRect(empty, QColor(128, 128, 140, 60))
        painter.fillRect(empty, Qt.BrushStyle.BDiagPattern)
        painter.setFont(self._small())
        painter.setPen(QColor("#e8e9ec"))
        painter.drawText(
            empty.adjusted(8, 2, 0, 0), Qt.AlignmentFlag.AlignLeft, f"nothing above {self._band_hz / 1000:g} kHz"
        )

    def _draw_range(self, painter: QPainter, area: QRect) -> None:
        assert self.range is not None
        accent = QColor(theme.tones().accent)
        left, right = (self._x(seconds) for seconds in self.range)
        accent.setAlpha(46)
        painter.fillRect(QRectF(left, area.top() + 1, right - left, area.height() - 2), accent)
        accent.setAlpha(255)
        painter.setPen(QPen(accent, 1))
        for x in (left, right):
            painter.drawLine(round(x), area.top() + 1, round(x), area.bottom() - 1)

    def _draw_ruler(self, painter: QPainter, area: QRect) -> None:
        assert self._clip is not None
        tone = theme.tones()
        painter.setFont(self._small())
        room = max(1, area.width() // 60)
        step = next((one for one in (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60) if self._clip.seconds / one <= room), 120)
        second = 0.0
        while second <= self._clip.seconds + 1e-6:
            x = self._x(second)
            painter.setPen(QPen(QColor(tone.line), 1))
            painter.drawLine(round(x), area.bottom(), round(x), area.bottom() + 4)
            painter.setPen(QColor(tone.dim))
            left = min(max(0.0, x - 25), self.width() - 50.0)
            align = Qt.AlignmentFlag.AlignHCenter
            if left == 0.0:
                align = Qt.AlignmentFlag.AlignLeft
            elif left == self.width() - 50.0:
                align = Qt.AlignmentFlag.AlignRight
            painter.drawText(QRectF(left, area.bottom() + 4, 50, RULER - 4), align, f"{second:g} s")
            second += step

    def _small(self) -> QFont:
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.85)
        return font
