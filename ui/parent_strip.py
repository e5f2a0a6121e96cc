"""The take that the current one was made from, beneath it: what was changed is seen, and heard by a click."""

from __future__ import annotations

from PyQt6.QtCore import QRect, QSize, Qt
from PyQt6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PyQt6.QtWidgets import QAbstractButton

from dcldm_plugin.types import Clip
from ui import theme
from ui.drawing import ICON, draw_icon, draw_text, ratio_of, small, waveform_pixmap
from ui.sound import Outline
from ui.widgets import hint

HEIGHT, NAME_WIDTH, LOUDNESS_WIDTH, GAP = 32, 96, 44, 8


class ParentStrip(QAbstractButton):
    """One row: a sign for playing, the model, the waveform, the loudness in LUFS. Hidden where there is no parent."""

    def __init__(self) -> None:
        super().__init__()
        self.clip: Clip | None = None
        self._outline: Outline | None = None
        self._heard = 0.0  # how much of it, 0 … 1, while it is heard
        self.setFixedHeight(HEIGHT)
        self.show_clip(None, None)

    def show_clip(self, clip: Clip | None, outline: Outline | None) -> None:
        self.clip, self._outline = clip, outline
        self.setVisible(clip is not None)
        if clip is not None:
            hint(self, f"Made from: {clip.path.stem}, {clip.model}", "What it was made from: click to hear it instead")
        self.update()

    def show_heard(self, clip_id: str, share: float) -> None:
        """How far the clip is that is heard now, whichever it is."""
        heard = share if self.clip is not None and self.clip.id == clip_id else 0.0
        if heard != self._heard:
            self._heard = heard
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(NAME_WIDTH + LOUDNESS_WIDTH, HEIGHT)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        if self.clip is None:
            return
        painter, tone, area = QPainter(self), theme.tones(), self.rect().adjusted(0, 0, -1, -1)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(tone.accent if self.hasFocus() else tone.line), 1))
        painter.drawRoundedRect(area, 6, 6)
        sign, colour = ("stop", tone.accent) if self._heard else ("play", tone.dim)
        draw_icon(painter, sign, colour, GAP, area.center().y() - ICON // 2)
        name = QRect(GAP + ICON + GAP, 0, NAME_WIDTH, area.height())
        draw_text(painter, name, self.clip.model, small(self.font()), tone.dim)
        wave = QRect(name.right() + GAP, 4, area.width() - name.right() - 2 * GAP - LOUDNESS_WIDTH, area.height() - 8)
        if self._outline is None or wave.width() < ICON:
            return
        picture = waveform_pixmap(self.clip.sha256, self._outline, wave.size(), tone.wave, ratio_of(painter))
        painter.drawPixmap(wave.topLeft(), picture)
        if self._heard:
            x = wave.left() + round(wave.width() * self._heard)
            painter.fillRect(QRect(x, wave.top(), 2, wave.height()), QColor(tone.accent))
        loudness = self._outline.loudness
        words = f"{loudness:.1f}" if loudness == loudness else ""
        side = QRect(wave.right() + 1, 0, LOUDNESS_WIDTH, area.height())
        draw_text(painter, side, words, small(self.font()), tone.dim, Qt.AlignmentFlag.AlignRight)
