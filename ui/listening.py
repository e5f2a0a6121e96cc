"""Hearing and seeing the current take: what the keys of the transport do."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import Qt
from PyQt6.QtGui import QGuiApplication, QImage

from dcldm_plugin.types import Clip
from ui.audition import Audition
from ui.commands import Commands
from ui.detail import Detail
from ui.editor import picture
from ui.signals import Background
from ui.sound import read_samples
from ui.takes import Row
from ui.takes_view import TakesView

SEEK_SECONDS = 0.5


class Listening:
    """`say` takes a sentence and whether it is bad news, `go_to_clip` the id of a clip to show."""

    def __init__(
        self,
        audition: Audition,
        view: TakesView,
        detail: Detail,
        commands: Commands,
        background: Background,
        say: Callable[[str, bool], None],
        go_to_clip: Callable[[str], None],
    ) -> None:
        self._audition, self._view, self._detail, self._commands = audition, view, detail, commands
        self._background, self._say, self._go_to_clip = background, say, go_to_clip
        self._picture: tuple[str, QImage] | None = None  # of a clip by its id
        self.does: dict[str, Callable[[], object]] = {
            "play": self.toggle,
            "stop": self._escape,
            "back": lambda: self._step(-SEEK_SECONDS),
            "forward": lambda: self._step(SEEK_SECONDS),
            "swap": self._swap,
        }
        for name in ("loop", "match"):
            commands[name].toggled.connect(lambda _: self._update())
        commands["spectrogram"].toggled.connect(lambda _: self.show_picture())
        view.play_clicked.connect(self._play_row)
        detail.wave.seeked.connect(self._seek_to)
        detail.beside.clicked.connect(self._play_beside)
        detail.wave.marked.connect(lambda *_: self._update())
        self._update()
        audition.moved.connect(self._heard)
        audition.failed.connect(lambda sentence: say(sentence, True))

    def toggle(self) -> None:
        """Play the current clip from its cursor, or stop what is heard."""
        clip = self._detail.clip
        if self._audition.playing:
            self._audition.stop()
        elif clip is not None:
            start = self._detail.wave.position
            self._audition.play(clip, start if start < clip.seconds - 0.05 else 0.0)

    def arrived(self, row: Row | None) -> None:
        """Arrow keys audition what they come to, if that is switched on."""
        by_key = self._view.hasFocus() and QGuiApplication.mouseButtons() == Qt.MouseButton.NoButton
        if by_key and row is not None and row.clip is not None and self._commands["auto"].isChecked():
            self._audition.play(row.clip)

    def another_clip(self) -> None:
        """The current clip is another one than before."""
        self._update()
        self.show_picture()

    def show_picture(self) -> None:
        """The spectrogram of the current clip where that is wanted, else its waveform."""
        clip = self._detail.clip
        if clip is None or not self._commands["spectrogram"].isChecked():
            self._detail.wave.show_picture(None)
        elif self._picture is not None and self._picture[0] == clip.id:
            self._detail.wave.show_picture(self._picture[1])
        else:
            self._background.do(
                lambda: picture(*read_samples(clip.path)),
                lambda image: self._keep_picture(clip, image),
                lambda sentence: self._say(sentence, True),
            )

    def _keep_picture(self, clip: Clip, image: QImage) -> None:
        self._picture = (clip.id, image)
        if self._detail.clip is not None and self._detail.clip.id == clip.id:
            self.show_picture()

    def _play_row(self, row: Row, share: float) -> None:
        if row.clip is None:
            return
        heard = self._audition.clip
        if share == 0.0 and heard is not None and heard.id == row.clip.id:
            self._audition.stop()
        else:
            self._audition.play(row.clip, share * row.clip.seconds)

    def _seek_to(self, seconds: float) -> None:
        if self._detail.clip is not None:
            self._audition.play(self._detail.clip, seconds)

    def _play_beside(self) -> None:
        """Hear what the current clip was made from, from the same moment on; or stop it."""
        parent = self._detail.beside.clip
        if parent is None:
            return
        heard = self._audition.clip
        if heard is not None and heard.id == parent.id:
            self._audition.stop()
        else:
            self._audition.play(parent, self._audition.seconds if heard is not None else 0.0, self._detail.clip)

    def _step(self, seconds: float) -> None:
        clip = self._detail.clip
        if clip is None:
            return
        position = min(max(0.0, self._detail.wave.position + seconds), clip.seconds)
        self._detail.wave.set_position(position)
        if self._audition.playing:
            self._audition.seek(position)

    def _swap(self) -> None:
        other = self._audition.swap()
        if other is not None:
            self._go_to_clip(other.id)

    def _update(self) -> None:
        """What is looped and matched now."""
        self._audition.loop = self._commands["loop"].isChecked()
        self._audition.match = self._commands["match"].isChecked()
        self._audition.range = self._detail.wave.range
        self._audition.update()

    def _escape(self) -> None:
        self._audition.stop()
        if QGuiApplication.focusObject() is not self._view:
            self._view.setFocus()

    def _heard(self) -> None:
        clip_id, share = self._audition.heard
        clip = self._detail.clip
        self._detail.beside.show_heard(clip_id, share)
        if clip is not None and clip.id == clip_id:
            self._detail.wave.set_position(self._audition.seconds)
            self._detail.time.setText(f"{self._audition.seconds:.2f}")
        self._view.redraw()
