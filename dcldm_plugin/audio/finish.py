"""From a rendered take to samples that can be delivered: a list of small steps, each its own function.

DC is measured on what is kept, and goes before resampling, which would ring at its edges. The fades sit at
the ends of the sound itself, so that padding never starts with a step. Everything is float64 until the one
rounding at the end, which is dithered.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcldm_plugin.errors import EngineFailed, InvalidInput
from dcldm_plugin.types import Level

FULL_SCALE = 2**23  # 24-bit integers
SILENCE = 0.5 / FULL_SCALE  # a peak below half a step is nothing that 24 bits could hold
OVERSAMPLING = 8  # ITU-R BS.1770-5, annex 2, asks for at least 4 at 48 kHz; 8 halves the dB that are missed
METER_MARGIN_DB = 0.05  # what 8 times oversampling can miss of a tone at 13 kHz (20 log10 cos(pi f / 8 fs))
WRAP_SECONDS = 0.1  # of a loop's other end, at each end while it is resampled: longer than the filter
BLOCK_FRAMES = 2**17  # bounds the memory that metering a long clip takes


@dataclass(frozen=True, slots=True)
class FinishSettings:
    """What finishing does. Levels are true peaks in dBTP; None leaves a step out.

    A take above `ceiling_dbtp` is turned down to it. One below `lift_below_dbtp` is turned up to it, by at
    most `lift_limit_db`, so that near-silence does not become noise. Between the two nothing is touched:
    the loudness that the model chose stays.
    `level`, where it is given, is taken as it is: the offset and gain of the take that this one is in part.
    A loop has no fades, and is resampled as one that goes round.
    """

    seconds: float | None = None  # exact: round(seconds * sample_rate) samples; None: as rendered
    sample_rate: int = 48_000
    remove_dc: bool = True
    fade_seconds: float = 0.005
    ceiling_dbtp: float = -1.0
    lift_below_dbtp: float | None = -12.0
    lift_limit_db: float = 30.0
    loop: bool = False
    level: Level | None = None
    dither_seed: int | None = 0  # fixed, so that equal renders give equal files; None rounds without dither


@dataclass(frozen=True, slots=True)
class Finished:
    """A take ready to be written: 24-bit integers [channels, time] in int32."""

    samples: NDArray[np.int32]
    sample_rate: int
    true_peak_dbtp: float  # as metered before rounding; -inf for silence
    gain_db: float
    settings: FinishSettings

    @property
    def pcm(self) -> bytes:
        """The samples as the body of a `data` chunk: interleaved, 24 bit, little-endian."""
        interleaved = np.ascontiguousarray(self.samples.T, dtype="<i4")  # [time, channels]
        return interleaved.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()

    def record(self) -> dict[str, Any]:
        """What was done, as plain JSON values, for the file's own history."""
        peak = round(self.true_peak_dbtp, 3) if math.isfinite(self.true_peak_dbtp) else None
        return asdict(self.settings) | {"true_peak_dbtp": peak, "gain_db": round(self.gain_db, 3)}


@dataclass(frozen=True, slots=True)
class _Take:
    """What the steps hand on: float64 samples [channels, time], their rate, and the gain given so far."""

    samples: NDArray[np.float64]
    sample_rate: int
    gain_db: float = 0.0


def finish(samples: NDArray[np.floating[Any]], sample_rate: int, settings: FinishSettings | None = None) -> Finished:
    """Finish one take: `samples` [channels, time], nominally within -1 … 1, at `sample_rate` Hz.

    Raises `EngineFailed` if the take is empty or holds NaN or infinity, `InvalidInput` for an impossible
    rate. The same input gives the same samples, bit for bit.
    """
    settings = settings or FinishSettings()
    if not 1_000 <= sample_rate <= 768_000:
        raise InvalidInput(f"A sample rate of {sample_rate} Hz cannot be finished; render at 8 to 192 kHz.")
    if samples.ndim != 2 or samples.size == 0:
        raise EngineFailed("The model rendered no samples; try again with another seed or model.")
    if not np.isfinite(samples).all():
        raise EngineFailed("The model rendered values that are no numbers; try another seed.")
    if settings.seconds is None:
        settings = replace(settings, seconds=samples.shape[1] / sample_rate)
    take = _Take(samples.astype(np.float64), sample_rate)
    for step in STEPS:
        take = step(take, settings)
    peak = true_peak(take.samples, take.sample_rate)
    pcm = quantise(take.samples, settings.dither_seed)
    return Finished(pcm, take.sample_rate, _decibels(peak), take.gain_db, settings)


def cut(take: _Take, settings: FinishSettings) -> _Take:
    """Drop what goes past the asked length."""
    return replace(take, samples=take.samples[:, : _frames(take, settings)])


def remove_dc(take: _Take, settings: FinishSettings) -> _Take:
    """Centre each channel on zero. What is left below half a 24-bit step becomes exact silence."""
    if not settings.remove_dc:
        return take
    offset = take.samples.mean(axis=1) if settings.level is None else np.array(settings.level.offset)
    centred = take.samples - offset[:, None]
    if np.abs(centred).max(initial=0.0) < SILENCE:
        centred = np.zeros_like(centred)
    return replace(take, samples=centred)


def resample(take: _Take, settings: FinishSettings) -> _Take:
    """To the delivered rate by soxr's very high quality recipe (https://sourceforge.net/p/soxr)."""
    if take.sample_rate == settings.sample_rate:
        return take
    import soxr

    wrap = round(WRAP_SECONDS * take.sample_rate) if settings.loop else 0
    given = np.pad(take.samples, ((0, 0), (wrap, wrap)), mode="wrap")
    resampled = soxr.resample(given.T, take.sample_rate, settings.sample_rate, quality="VHQ").T
    begin = round(wrap * settings.sample_rate / take.sample_rate)
    kept = resampled[:, begin : resampled.shape[1] - begin]
    return replace(take, samples=np.ascontiguousarray(kept), sample_rate=settings.sample_rate)


def fade(take: _Take, settings: FinishSettings) -> _Take:
    """Raised-cosine fades at both ends, from and to exact zero; never longer than half the sound."""
    frames = min(round(settings.fade_seconds * take.sample_rate), take.samples.shape[1] // 2)
    if frames == 0 or settings.loop:
        return take
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(frames) / frames)
    faded = take.samples.copy()
    faded[:, :frames] *= ramp
    faded[:, -frames:] *= ramp[::-1]
    return replace(take, samples=faded)


def level(take: _Take, settings: FinishSettings) -> _Take:
    """One gain for the whole take, all channels alike, by its true peak (see `FinishSettings`)."""
    if settings.level is not None:
        gain_db = settings.level.gain_db
        return replace(take, samples=take.samples * 10.0 ** (gain_db / 20.0), gain_db=gain_db)
    peak = true_peak(take.samples, take.sample_rate)
    if peak < SILENCE:
        return take
    wanted_db = settings.ceiling_dbtp - METER_MARGIN_DB - _decibels(peak)
    too_quiet = settings.lift_below_dbtp is not None and _decibels(peak) < settings.lift_below_dbtp
    if wanted_db > 0.0 and not too_quiet:
        return take
    gain_db = min(wanted_db, settings.lift_limit_db)
    return replace(take, samples=take.samples * 10.0 ** (gain_db / 20.0), gain_db=take.gain_db + gain_db)


def level_of(samples: NDArray[np.floating[Any]], sample_rate: int, settings: FinishSettings) -> Level:
    """What finishing does to the level of a take (see `finish`), for another that is to sit at the same."""
    if settings.level is not None:
        return settings.level
    first = cut(_Take(samples.astype(np.float64), sample_rate), settings)
    offset = first.samples.mean(axis=1) if settings.remove_dc else np.zeros(len(samples))
    return Level(tuple(map(float, offset)), finish(samples, sample_rate, settings).gain_db)


def pad(take: _Take, settings: FinishSettings) -> _Take:
    """Silence at the end, up to the asked length."""
    missing = _frames(take, settings) - take.samples.shape[1]
    return replace(take, samples=np.pad(take.samples, ((0, 0), (0, missing)))) if missing > 0 else take


Step = Callable[[_Take, FinishSettings], _Take]
STEPS: tuple[Step, ...] = (cut, remove_dc, resample, cut, fade, level, pad)  # resampling can add a sample


def true_peak(samples: NDArray[np.float64], sample_rate: int) -> float:
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


def quantise(samples: NDArray[np.float64], dither_seed: int | None) -> NDArray[np.int32]:
    """Round -1 … 1 to 24-bit integers, with triangular dither of two steps peak to peak.

    S. P. Lipshitz, R. A. Wannamaker, J. Vanderkooy, "Quantization and dither: a theoretical survey", J. AES
    40 (1992): the sum of two uniform values makes the error's mean and variance independent of the signal.
    Digital silence has no error to hide and stays zero.
    """
    steps = samples * FULL_SCALE
    if dither_seed is not None and np.any(samples):
        generator = np.random.default_rng(dither_seed)
        steps += generator.random(samples.shape)
        steps -= generator.random(samples.shape)
    return np.clip(np.rint(steps), -FULL_SCALE, FULL_SCALE - 1).astype(np.int32)


def _frames(take: _Take, settings: FinishSettings) -> int:
    return max(1, round((settings.seconds or 0.0) * take.sample_rate))


def _decibels(amplitude: float) -> float:
    return 20.0 * math.log10(amplitude) if amplitude > 0.0 else -math.inf
