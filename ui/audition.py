"""Hearing clips in the window: which one, from where, looped or not, and equally loud if that is wished."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from PyQt6.QtCore import QObject, QTimer, pyqtSignal

from dcldm_plugin.types import Clip
from ui.player import Player, Voice
from ui.signals import Background
from ui.sound import Outlines, read_samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MATCHED_LUFS = -24.0  # low enough that hardly any clip has to be turned up
FRAME_MILLISECONDS = 33


class Audition(QObject):
    """`moved` is emitted while a clip is heard and when it ends, `failed` with a sentence if it can't be."""

    moved = pyqtSignal()
    failed = pyqtSignal(str)
    _ended = pyqtSignal()

    def __init__(self, outlines: Outlines, background: Background) -> None:
        super().__init__()
        self._outlines, self._background = outlines, background
        self.player = Player(self._ended.emit)
        self._clip: Clip | None = None
        self._before: Clip | None = None  # what was heard before it: the other of A and B
        self._voice: Voice | None = None
        self._length = 1
        self._rate = 48_000
        self._wanted = 0  # counts what was asked for, so that a file that was slow to read is not heard late
        self._kept: tuple[Path, NDArray[np.float32], int] | None = None
        self.loop = False
        self.match = False
        self.range: tuple[float, float] | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(FRAME_MILLISECONDS)
        self._timer.timeout.connect(self._tick)
        self._ended.connect(self._tick)

    @property
    def clip(self) -> Clip | None:
        """What is heard now."""
        return self._clip if self.playing else None

    @property
    def playing(self) -> bool:
        return self._voice is not None and not self._voice.over

    @property
    def seconds(self) -> float:
        """How far into the clip."""
        return self._voice.position / self._rate if self._voice is not None else 0.0

    @property
    def heard(self) -> tuple[str, float]:
        """The id of what is heard and how much of it was, 0 … 1; an empty id for nothing."""
        if self._voice is None or self._clip is None or self._voice.over:
            return "", 0.0
        return self._clip.id, self._voice.position / max(1, self._length)

    def play(self, clip: Clip, start: float = 0.0, other: Clip | None = None) -> None:
        """Hear a clip from `start` seconds on. `other`: what to swap it with, if not what was heard before."""
        before = other or self._clip
        if before is not None and before.id != clip.id:
            self._before = before
        self._clip = clip
        self._wanted += 1
        wanted = self._wanted

        def begin(read: tuple[NDArray[np.float32], int]) -> None:
            if wanted == self._wanted:
                self._kept = (clip.path, *read)
                self._begin(clip, *read, start)

        if self._kept is not None and self._kept[0] == clip.path:
            begin(self._kept[1:])
        else:
            self._background.do(lambda: read_samples(clip.path), begin, self.failed.emit)

    def stop(self) -> None:
        self._wanted += 1
        self.player.stop()
        self._voice = None
        self.moved.emit()

    def seek(self, seconds: float) -> None:
        if self._voice is not None:
            self._voice.seek(round(seconds * self._rate))

    def swap(self) -> Clip | None:
        """Hear the one that was heard before, from the same place on: A and B. Returns it."""
        other = self._before
        if other is not None:
            self.play(other, self.seconds if self.playing else 0.0)
        return other

    def update(self) -> None:
        """Let changes of `loop`, `match` and `range` be heard at once."""
        if self._voice is not None and self._clip is not None:
            self._voice.loop = self._loop()
            self._voice.set_gain(self._gain(self._clip))

    def close(self) -> None:
        self._timer.stop()
        self.player.close()

    def _begin(self, clip: Clip, samples: NDArray[np.float32], sample_rate: int, start: float) -> None:
        self._rate, self._length = sample_rate, len(samples)
        voice = Voice(samples, sample_rate, start=round(start * sample_rate), gain=self._gain(clip))
        voice.loop = self._loop()
        try:
            self.player.play(voice, sample_rate, samples.shape[1])
        except Exception as error:  # whatever PortAudio says: everything else goes on without sound
            self._voice = None
            self.failed.emit(str(error))
            return
        self._voice = voice
        self._timer.start()
        self.moved.emit()

    def _loop(self) -> tuple[int, int] | None:
        if not self.loop:
            return None
        if self.range is None:
            return 0, self._length
        first, last = (min(self._length, round(seconds * self._rate)) for seconds in self.range)
        return (first, last) if last - first > 1 else (0, self._length)

    def _gain(self, clip: Clip) -> float:
        """What brings a clip to the common loudness, but not beyond full scale; 1 if that is not wished."""
        outline = self._outlines.get(clip) if self.match else None
        if outline is None or math.isnan(outline.loudness):
            return 1.0
        peak = max(1.0, float(abs(outline.peaks.astype(int)).max())) / 127.0
        return float(min(10.0 ** ((MATCHED_LUFS - outline.loudness) / 20.0), 1.0 / peak))

    def _tick(self) -> None:
        if not self.playing:
            self._timer.stop()
        self.moved.emit()
