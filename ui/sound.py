"""What the window shows of a clip's sound: its peaks and loudness, kept in a small cache, and its spectrogram."""

from __future__ import annotations

import math
import sqlite3
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PyQt6.QtCore import QObject, pyqtSignal

from dcldm_plugin.errors import DcldmError
from dcldm_plugin.types import Clip
from ui.signals import Background

if TYPE_CHECKING:  # the window is there before it is loaded
    import numpy as np
    from numpy.typing import NDArray

BINS = 1024  # of a clip, whatever its length: more than a row has pixels
KEPT = 4000  # outlines in memory: 2 KB each
_SCHEMA = "CREATE TABLE IF NOT EXISTS outlines (sha256 TEXT PRIMARY KEY, loudness REAL, peaks BLOB)"


@dataclass(frozen=True, slots=True)
class Outline:
    """peaks: int8 [2, BINS], lowest and highest, ±127 is full scale. loudness: LUFS, or NaN where none can be told."""

    peaks: NDArray[np.int8]
    loudness: float


def read_samples(path: Path) -> tuple[NDArray[np.float32], int]:
    """Samples [time, channels] and their rate in Hz. Raises `DcldmError`."""
    import soundfile

    try:
        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise DcldmError(f"{path} can't be read ({error}); if it was moved, put it back.") from error
    return samples, int(sample_rate)


def peaks_of(samples: NDArray[np.float32]) -> NDArray[np.int8]:
    """Lowest and highest of samples [time, channels] in each of `BINS` equal parts."""
    import numpy as np

    edges = np.linspace(0, len(samples), BINS + 1).astype(int)[:-1]
    edges = np.minimum(edges, max(0, len(samples) - 1))
    low = np.minimum.reduceat(samples.min(axis=1), edges) if len(samples) else np.zeros(BINS)
    high = np.maximum.reduceat(samples.max(axis=1), edges) if len(samples) else np.zeros(BINS)
    return np.clip(np.round(np.stack([low, high]) * 127.0), -127, 127).astype(np.int8)


def loudness(samples: NDArray[np.float32], sample_rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4). A sound under 0.4 s has none: it is repeated to that length.

    So a short hit counts as loud as it would in a row of hits, which is what matching two of them needs.
    """
    import numpy as np
    import pyloudnorm

    block = round(0.4 * sample_rate) + 1
    if 0 < len(samples) < block:
        samples = np.tile(samples, (math.ceil(block / len(samples)), 1))
    with np.errstate(divide="ignore"):
        value = pyloudnorm.Meter(sample_rate).integrated_loudness(samples)
    return float(value) if math.isfinite(value) else math.nan


class Outlines(QObject):
    """Outlines of clips: from memory at once, else from the cache or the file, and then `ready` tells whose.

    The peaks of a new file come first, without a loudness: the meter takes longer to load than to use.
    """

    ready = pyqtSignal(str)  # the SHA-256 of the samples
    _made = pyqtSignal(str, object)

    def __init__(self, file: Path, background: Background) -> None:
        super().__init__()
        self._file = file
        self._background = background
        self._known: OrderedDict[str, Outline] = OrderedDict()
        self._asked: set[str] = set()
        self._made.connect(self._keep)

    def get(self, clip: Clip) -> Outline | None:
        """A clip's outline, or None and `ready` later."""
        found = self._known.get(clip.sha256)
        if found is None and clip.sha256 not in self._asked:
            self._asked.add(clip.sha256)
            # A file that is gone has no waveform; whoever plays it is told why.
            self._background.do(lambda: self._load(clip.path, clip.sha256), lambda _: None)
        return found

    def close(self) -> None:
        """Tell nothing any more, also of what is on its way."""
        self.blockSignals(True)

    def _keep(self, key: str, made: Outline) -> None:
        self._known[key] = made
        if len(self._known) > KEPT:
            gone, _ = self._known.popitem(last=False)
            self._asked.discard(gone)
        self.ready.emit(key)

    def _load(self, path: Path, key: str) -> None:
        import numpy as np

        with suppress(sqlite3.Error):  # a cache that can't be used is done without
            if (cached := self._ask("SELECT loudness, peaks FROM outlines WHERE sha256 = ?", key)) is not None:
                value, blob = cached
                peaks = np.frombuffer(blob, np.int8).reshape(2, BINS)
                self._made.emit(key, Outline(peaks, math.nan if value is None else value))
                return
        samples, sample_rate = read_samples(path)
        peaks = peaks_of(samples)
        self._made.emit(key, Outline(peaks, math.nan))
        value = loudness(samples, sample_rate)
        self._made.emit(key, Outline(peaks, value))
        with suppress(sqlite3.Error):
            stored = None if math.isnan(value) else value
            self._ask("INSERT OR REPLACE INTO outlines VALUES (?, ?, ?)", key, stored, peaks.tobytes())

    def _ask(self, statement: str, *values: object) -> Any:
        connection = sqlite3.connect(self._file, timeout=5.0)
        try:
            with connection:
                connection.execute(_SCHEMA)
                return connection.execute(statement, values).fetchone()
        finally:
            connection.close()
