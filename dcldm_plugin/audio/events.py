"""What happens in a sound, in numbers: when events begin, how fast they follow one another, how high they are.

All take samples [time] in -1 … 1 at one rate. The measures are simple, and not always right:
`evaluation.attributes.reliability` says how often they agree with the synthesiser, which knows what it did.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

FRAME_SECONDS, HOP_SECONDS = 0.02, 0.005
RISE_DB = 9.0  # an event: the level rises by this much over its lowest since the last one was over,
FALL_DB = 6.0  # which it is when the level has fallen by this much from its highest,
RANGE_DB = 26.0  # to within this much of the loudest,
APART_SECONDS = 0.07  # and not sooner than this after the one before
LOW_HZ = 30.0

Audio = NDArray[np.floating[Any]]


def pitch_hz(audio: Audio, rate: int) -> float:
    """Where the energy is: the geometric mean of the frequencies above 30 Hz, weighted by power."""
    frequencies, power = signal.welch(audio, rate, nperseg=min(len(audio), 2048))
    heard = frequencies >= LOW_HZ
    weight = power[heard] / max(float(power[heard].sum()), 1e-20)
    return float(np.exp((weight * np.log(frequencies[heard])).sum()))


def level_db(audio: Audio, rate: int) -> NDArray[np.float64]:
    """The level every 5 ms, of the 20 ms around."""
    size, hop = round(FRAME_SECONDS * rate), round(HOP_SECONDS * rate)
    padded = np.pad(np.asarray(audio, np.float64), (size, size))
    window = np.hanning(size) / np.hanning(size).sum()
    power = signal.fftconvolve(padded**2, window, mode="same")[size::hop]
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-12)))


def event_times(audio: Audio, rate: int) -> list[float]:
    """When events begin, in seconds: where the level has risen by 9 dB from its lowest since the last event was over,
    so that a slow rise is one event.

    Finer than `audio.measures.onsets`, which compares takes and has no need to tell fourteen events a second apart.
    """
    levels = level_db(audio, rate)
    threshold = levels.max() - RANGE_DB
    found: list[float] = []
    lowest, highest = -120.0, -120.0  # since the last event was over, and in it
    inside = False
    for index, level in enumerate(levels):
        if inside:
            highest, lowest = max(highest, level), level
            inside = highest - level < FALL_DB
            continue
        lowest = min(lowest, level)
        if level < threshold or level - lowest < RISE_DB:
            continue
        time = index * HOP_SECONDS
        if not found or time - found[-1] >= APART_SECONDS:
            found.append(time)
        inside, highest = True, level
    return found


def rate_hz(audio: Audio, rate: int) -> float:
    """Events a second: one over the median time between them; nought where there are fewer than two."""
    times = event_times(audio, rate)
    return float(1.0 / np.median(np.diff(times))) if len(times) > 1 else 0.0
