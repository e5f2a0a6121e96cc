"""How alike two sounds are, in time and in spectrum: what the promises of the variation controls are held to.

All take samples [time] in -1 … 1 at one rate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FRAME_SECONDS = 0.02
WINDOW = 1024
FLOOR_DB = -60.0  # below the loudest band; what is quieter is not compared
BANDS = 40

Samples = NDArray[np.floating[Any]]


def envelope(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    """Level in dB every 20 ms, no lower than 60 dB below the loudest."""
    frame = round(FRAME_SECONDS * sample_rate)
    count = max(1, len(samples) // frame)
    power = np.asarray(samples[: count * frame], dtype=np.float64).reshape(count, -1) ** 2
    return _floored(10.0 * np.log10(power.mean(axis=1) + 1e-12))


def envelope_correlation(one: Samples, other: Samples, sample_rate: int) -> float:
    """Pearson's r of the two envelopes, -1 … 1; 0 where one of them is flat."""
    a, b = envelope(one, sample_rate), envelope(other, sample_rate)
    count = min(len(a), len(b))
    a, b = a[:count] - a[:count].mean(), b[:count] - b[:count].mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale > 0.0 else 0.0


def spectrum(samples: Samples, sample_rate: int, hop: int = WINDOW // 2) -> NDArray[np.float64]:
    """Levels in dB [frames, 40 bands of equal width on a logarithmic scale]."""
    padded = np.pad(np.asarray(samples, dtype=np.float64), (0, max(0, WINDOW - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), axis=1)) ** 2
    edges = np.geomspace(80.0, sample_rate / 2, BANDS + 1) / (sample_rate / WINDOW)
    first = np.minimum(np.floor(edges[:-1]).astype(int), power.shape[1] - 1)
    last = np.maximum(first + 1, np.ceil(edges[1:]).astype(int))
    bands = np.stack([power[:, low:high].mean(axis=1) for low, high in zip(first, last, strict=True)], axis=1)
    levels: NDArray[np.float64] = 10.0 * np.log10(bands + 1e-12)
    return levels


def spectral_distance(one: Samples, other: Samples, sample_rate: int) -> float:
    """Root mean square of the difference of the two spectra over time and bands, in dB.

    Both have the floor of the louder: else what is silent in both would count by as much as one is louder.
    """
    a, b = (spectrum(each, sample_rate) for each in (one, other))
    count, peak = min(len(a), len(b)), max(a.max(), b.max())
    return float(np.sqrt(((_floored(a[:count], peak) - _floored(b[:count], peak)) ** 2).mean()))


def onsets(samples: Samples, sample_rate: int, rise_db: float = 12.0) -> list[float]:
    """Seconds at which the level rises by at least `rise_db` within 60 ms, each a quarter of a second apart."""
    level = envelope(samples, sample_rate)
    rise = _rise(level)
    found: list[float] = []
    for index in np.flatnonzero((rise >= rise_db) & (level[3:] > level.max() - 30.0)):
        second = float(index + 3) * FRAME_SECONDS
        if not found or second - found[-1] > 0.25:
            found.append(second)
    return found


def rises(samples: Samples, sample_rate: int, second: float, within: float, rise_db: float = 6.0) -> bool:
    """Whether the level rises by at least `rise_db` in 60 ms, no further than `within` seconds from a time.

    It takes less than `onsets` does, so that what is just an onset in one sound is not lost in another that has it a
    little softer.
    """
    level = envelope(samples, sample_rate)
    rise, at, near = _rise(level), round(second / FRAME_SECONDS) - 3, round(within / FRAME_SECONDS)
    return bool(rise[max(0, at - near) : at + near + 1].max(initial=0.0) >= rise_db)


def _rise(level: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much an envelope rises in 60 ms."""
    rise: NDArray[np.float64] = level[3:] - level[:-3]
    return rise


def flux(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    """How much the spectrum rises from one frame to the next, in dB, every 8 ms: what a seam or click shows in."""
    levels = _floored(spectrum(samples, sample_rate, hop=WINDOW // 8))
    rises: NDArray[np.float64] = np.maximum(0.0, np.diff(levels, axis=0)).mean(axis=1)
    return rises


def seam(samples: Samples, sample_rate: int, turns: int) -> tuple[float, float]:
    """The largest flux where a sound that goes round so many times begins anew, and the largest within it."""
    rises = flux(np.tile(samples, turns), sample_rate)
    hop = WINDOW // 8
    seams = [round(turn * len(samples) / hop) for turn in range(1, turns)]
    at_seams = max(float(rises[at - 8 : at + 1].max()) for at in seams)
    return at_seams, float(rises[: round(len(samples) / hop) - 16].max())


def largest_repetition(samples: Samples, window: int) -> float:
    """The largest normalised cross-correlation, 0 … 1, of two parts of so many samples that do not overlap."""
    starts = range(0, len(samples) - window + 1, window)
    parts = [samples[start : start + window] - samples[start : start + window].mean() for start in starts]
    largest = 0.0
    for index, one in enumerate(parts):
        for other in parts[index + 1 :]:
            across = np.fft.irfft(np.fft.rfft(one, 2 * window) * np.conj(np.fft.rfft(other, 2 * window)))
            scale = float(np.sqrt((one**2).sum() * (other**2).sum()))
            largest = max(largest, float(np.abs(across).max()) / max(scale, 1e-9))
    return largest


def _floored(levels: NDArray[np.float64], peak: float | None = None) -> NDArray[np.float64]:
    floored: NDArray[np.float64] = np.maximum(levels, (levels.max() if peak is None else peak) + FLOOR_DB)
    return floored
