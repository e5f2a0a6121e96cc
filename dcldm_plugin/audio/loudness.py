"""How loud a sound is, by the recommendations that deliveries are held to, and what keeps it below a ceiling.

Samples are float64 [channels, time], nominally within -1 … 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

OVERSAMPLING = 8  # ITU-R BS.1770-5, annex 2, asks for at least 4 at 48 kHz; 8 halves the dB that are missed
METER_MARGIN_DB = 0.05  # what 8 times oversampling can miss of a tone at 13 kHz (20 log10 cos(pi f / 8 fs))
BLOCK_FRAMES = 2**17  # bounds the memory that metering a long clip takes
MOMENTARY_SECONDS = 0.4
SHORT_TERM_SECONDS = 3.0
LOOK_AHEAD_SECONDS = 0.005  # of the limiter, to both sides
SILENCE_LUFS = -70.0  # the absolute gate

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Loudness:
    """ITU-R BS.1770 and EBU Tech 3342; None for what the clip is too short or too quiet for."""

    integrated_lufs: float | None
    max_momentary_lufs: float | None
    max_short_term_lufs: float | None
    range_lu: float | None
    sample_peak_dbfs: float | None
    true_peak_dbtp: float | None


def measure(samples: Samples, sample_rate: int) -> Loudness:
    """All measures of a clip. Up to five channels; of more, the first five count for loudness."""
    seconds = samples.shape[1] / sample_rate
    integrated = momentary = short_term = span = None
    if seconds >= MOMENTARY_SECONDS:
        integrated, momentary = _gated(samples, sample_rate, MOMENTARY_SECONDS, 0.75)
    if seconds >= SHORT_TERM_SECONDS:
        _, short_term = _gated(samples, sample_rate, SHORT_TERM_SECONDS, 0.97)
        span = _range(samples, sample_rate)
    return Loudness(
        integrated_lufs=integrated,
        max_momentary_lufs=momentary,
        max_short_term_lufs=short_term,
        range_lu=span,
        sample_peak_dbfs=_finite(decibels(float(np.abs(samples).max(initial=0.0)))),
        true_peak_dbtp=_finite(decibels(true_peak(samples, sample_rate))),
    )


def loudness_by(samples: Samples, sample_rate: int, window_seconds: float) -> float | None:
    """Integrated loudness for a window of 0.4 s, the maximum for one of 3 s; of a shorter clip, as far as it goes."""
    short = samples.shape[1] < window_seconds * sample_rate
    if short:  # the window is filled by repeating the clip: what it would be if it went on
        times = math.ceil(window_seconds * sample_rate / samples.shape[1]) + 1
        samples = np.tile(samples, times)
    integrated, most = _gated(samples, sample_rate, window_seconds, 0.75 if window_seconds < 1.0 else 0.97)
    return integrated if window_seconds < 1.0 else most


def _gated(samples: Samples, sample_rate: int, window: float, overlap: float) -> tuple[float | None, float | None]:
    """Gated loudness over all windows of a clip, and the loudest of them, in LUFS."""
    import pyloudnorm

    meter = pyloudnorm.Meter(sample_rate, block_size=window, overlap=overlap)
    with np.errstate(divide="ignore", invalid="ignore"):  # silent windows
        gated = float(meter.integrated_loudness(np.ascontiguousarray(samples[:5].T)))
    return _audible(gated), _audible(max(meter.blockwise_loudness, default=-math.inf))


def _range(samples: Samples, sample_rate: int) -> float | None:
    import pyloudnorm

    with np.errstate(divide="ignore", invalid="ignore"):
        return _finite(float(pyloudnorm.Meter(sample_rate).loudness_range(np.ascontiguousarray(samples[:5].T))))


def limit(samples: Samples, sample_rate: int, ceiling: float, *, goes_round: bool = False) -> tuple[Samples, float]:
    """Keep the true peak at or below `ceiling` (linear); returns the samples and the most it took away, in dB.

    The gain falls and rises within 5 ms around a peak: the smallest gain that is needed within that reach,
    averaged over the same reach, which at every sample is at most what that sample needs.
    """
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    peaks = _peaks(samples, sample_rate)
    if peaks.max(initial=0.0) <= ceiling:
        return samples, 0.0
    width = 2 * round(LOOK_AHEAD_SECONDS * sample_rate) + 1
    needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-12))
    mode: Literal["wrap", "nearest"] = "wrap" if goes_round else "nearest"
    gain = uniform_filter1d(minimum_filter1d(needed, width, mode=mode), width, mode=mode)
    limited = samples * gain
    over = true_peak(limited, sample_rate) / ceiling  # the changing gain itself can add a little between samples
    if over > 1.0:
        limited, gain = limited / over, gain / over
    return limited, -decibels(float(gain.min()))


def _peaks(samples: Samples, sample_rate: int) -> Samples:
    """The largest absolute value of any channel around each sample, between samples too. [time]"""
    import soxr

    fine = soxr.resample(np.ascontiguousarray(samples.T), sample_rate, 4 * sample_rate, quality="HQ")
    found = np.abs(fine).max(axis=1)
    found = np.pad(found, (0, max(0, 4 * samples.shape[1] - len(found))))[: 4 * samples.shape[1]]
    around: Samples = found.reshape(-1, 4).max(axis=1)
    before = np.roll(around, 1)
    before[0] = 0.0
    peaks: Samples = np.maximum(np.maximum(around, before), np.abs(samples).max(axis=0))
    return peaks


def true_peak(samples: Samples, sample_rate: int) -> float:
    """The largest absolute value of the waveform between and at the samples [channels, time], linear.

    ITU-R BS.1770-5, annex 2: oversample, take the maximum. The interpolator is soxr's HQ low-pass, run in
    blocks. The samples themselves count as well.
    """
    import soxr

    highest = float(np.abs(samples).max(initial=0.0))
    if highest == 0.0:
        return 0.0
    # Metered relative to the sample peak: the interpolator is float32 and must neither under- nor overflow.
    scaled = np.ascontiguousarray((samples / highest).T, dtype=np.float32)  # [time, channels]
    stream = soxr.ResampleStream(sample_rate, OVERSAMPLING * sample_rate, scaled.shape[1], dtype="float32")
    relative = 1.0
    for start in range(0, len(scaled), BLOCK_FRAMES):
        block = scaled[start : start + BLOCK_FRAMES]
        between = stream.resample_chunk(block, last=start + BLOCK_FRAMES >= len(scaled))
        relative = max(relative, float(np.abs(between).max(initial=0.0)))
    return highest * relative


def decibels(amplitude: float) -> float:
    """20 log10; -inf for zero."""
    return 20.0 * math.log10(amplitude) if amplitude > 0.0 else -math.inf


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _audible(value: float) -> float | None:
    return value if value > SILENCE_LUFS else None
