"""What is drawn by hand in several places: text on one line, icons, and waveforms as pictures."""

from __future__ import annotations

from PyQt6.QtCore import QRect, QSize, Qt
from PyQt6.QtGui import QColor, QFont, QFontMetrics, QImage, QPainter, QPixmap, QPixmapCache

from ui import theme
from ui.sound import BINS, Outline

ICON = 16  # logical pixels


def draw_icon(painter: QPainter, name: str, colour: str, x: int, y: int) -> None:
    painter.drawPixmap(x, y, theme.pixmap(name, colour, ICON, ratio_of(painter)))


def ratio_of(painter: QPainter) -> float:
    """Pixels of the screen per logical one."""
    device = painter.device()
    return device.devicePixelRatioF() if device is not None else 1.0


def small(font: QFont) -> QFont:
    """The type of what stands beneath or beside something."""
    made = QFont(font)
    made.setPointSizeF(font.pointSizeF() * 0.88)
    return made


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
