"""From a rendered take to samples that can be delivered: a list of small steps, each its own function.

DC is measured on what is kept, and goes before resampling, which would ring at its edges. The fades sit at
the ends of the sound itself, so that padding never starts with a step. Everything is float64 until the one
rounding at the end, which is dithered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcldm_plugin.audio.loops import wrap
from dcldm_plugin.audio.loudness import (
    METER_MARGIN_DB,
    MOMENTARY_SECONDS,
    SHORT_TERM_SECONDS,
    Loudness,
    decibels,
    limit,
    loudness_by,
    measure,
    true_peak,
)
from dcldm_plugin.audio.settings import FinishSettings
from dcldm_plugin.errors import EngineFailed, InvalidInput
from dcldm_plugin.types import Level

FULL_SCALE = 2**23  # 24-bit integers
SILENCE = 0.5 / FULL_SCALE  # a peak below half a step is nothing that 24 bits could hold
WRAP_SECONDS = 0.1  # of a loop's other end, at each end while it is filtered: longer than the filters
TRIM_FRAME_SECONDS = 0.005
TAIL_DB = 10.0  # what decays is followed this much further down than what begins
SIDE_DELAYS_SECONDS = (0.0113, 0.0047, 0.0029)  # of the all-passes that widen; no common factors
SIDE_GAIN = 0.6
SIDE_LOWEST_HZ = 150.0  # below it everything stays in the middle


@dataclass(frozen=True, slots=True)
class Finished:
    """A take ready to be written: 24-bit integers [channels, time] in int32, as loud as measured before rounding.

    done: what the steps found out, as plain JSON values: how much was trimmed, limited, faded into a loop.
    goes_round: its end leads into its beginning.
    """

    samples: NDArray[np.int32]
    sample_rate: int
    loudness: Loudness
    gain_db: float
    settings: FinishSettings
    done: Mapping[str, Any]

    @property
    def goes_round(self) -> bool:
        return self.settings.loop or "wrap" in self.done

    @property
    def peak_frame(self) -> int:
        """Where the largest sample is."""
        return int(np.abs(self.samples).max(axis=0).argmax())

    @property
    def pcm(self) -> bytes:
        """The samples as the body of a `data` chunk: interleaved, 24 bit, little-endian."""
        return pcm_bytes(self.samples)

    def record(self) -> dict[str, Any]:
        """What was done, as plain JSON values, for the file's own history."""
        measured = {name: None if value is None else round(value, 3) for name, value in asdict(self.loudness).items()}
        return asdict(self.settings) | {"gain_db": round(self.gain_db, 3), "measured": measured, "done": {**self.done}}


def pcm_bytes(samples: NDArray[np.int32]) -> bytes:
    """24-bit integers [channels, time] as bytes: interleaved, little-endian."""
    interleaved = np.ascontiguousarray(samples.T, dtype="<i4")  # [time, channels]
    return interleaved.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


@dataclass(frozen=True, slots=True)
class _Take:
    """What the steps hand on: float64 samples [channels, time], their rate, and what was done so far."""

    samples: NDArray[np.float64]
    sample_rate: int
    gain_db: float = 0.0
    done: Mapping[str, Any] = field(default_factory=dict)


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
    loudness = measure(take.samples, take.sample_rate)
    pcm = quantise(take.samples, settings.dither_seed)
    return Finished(pcm, take.sample_rate, loudness, take.gain_db, settings, take.done)


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


def extend(take: _Take, settings: FinishSettings) -> _Take:
    """Another package's bandwidth extension, if one is asked for (`audio/extension.py`)."""
    if settings.extend is None:
        return take
    from dcldm_plugin.audio.extension import extended

    samples, sample_rate, done = extended(settings.extend, take.samples, take.sample_rate)
    return replace(take, samples=samples, sample_rate=sample_rate, done={**take.done, "extend": done})


def trim(take: _Take, settings: FinishSettings) -> _Take:
    """Drop the silence at both ends (see `FinishSettings.trim_db`). A take that is all silence stays."""
    if settings.trim_db is None or settings.loop:
        return take
    frame = max(1, round(TRIM_FRAME_SECONDS * take.sample_rate))
    frames = take.samples.shape[1]
    padded = np.pad(take.samples, ((0, 0), (0, -frames % frame)))
    level = (padded.reshape(len(padded), -1, frame) ** 2).mean(axis=2).max(axis=0)
    if level.max() < SILENCE**2:
        return take
    heard = np.flatnonzero(level >= level.max() * 10.0 ** (settings.trim_db / 10.0))
    decays = np.flatnonzero(level >= level.max() * 10.0 ** ((settings.trim_db - TAIL_DB) / 10.0))
    start = max(0, int(heard[0]) * frame - round(settings.pre_roll_seconds * take.sample_rate))
    end = min(frames, (int(decays[-1]) + 1) * frame)
    trimmed = {"start_seconds": start / take.sample_rate, "end_seconds": (frames - end) / take.sample_rate}
    return replace(take, samples=take.samples[:, start:end], done={**take.done, "trimmed": trimmed})


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


def high_pass(take: _Take, settings: FinishSettings) -> _Take:
    """A Butterworth high-pass of second order."""
    if settings.high_pass_hz is None:
        return take
    return replace(take, samples=_filtered(take, settings.high_pass_hz, settings.loop))


def make_loop(take: _Take, settings: FinishSettings) -> _Take:
    """Make the clip go round (see `loops.wrap`), unless it was made to."""
    if settings.wrap_seconds is None or settings.loop:
        return take
    wrapped = wrap(take.samples, round(settings.wrap_seconds * take.sample_rate))
    if not wrapped.overlap_frames:
        return take
    done = {"overlap_frames": wrapped.overlap_frames, "correlation": round(wrapped.correlation, 3)}
    return replace(take, samples=wrapped.samples, done={**take.done, "wrap": done})


def widen(take: _Take, settings: FinishSettings) -> _Take:
    """Mono to two channels: what an all-pass chain makes of the sound is added left and subtracted right.

    So the sum of both is the mono again, whatever the width. M. R. Schroeder, "An artificial stereophonic
    effect obtained from a single audio signal", J. AES 6 (1958).
    """
    if settings.stereo_width == 0.0 or len(take.samples) != 1:
        return take
    from scipy.signal import lfilter

    goes_round = settings.loop or "wrap" in take.done
    side = _filtered(take, SIDE_LOWEST_HZ, goes_round)[0]
    side = np.tile(side, 2) if goes_round else side  # the second round is that of a loop which has gone on for long
    for seconds in SIDE_DELAYS_SECONDS:
        delay = round(seconds * take.sample_rate)
        forward = np.zeros(delay + 1)
        forward[0], forward[-1] = -SIDE_GAIN, 1.0
        side = lfilter(forward, forward[::-1], side)
    side = settings.stereo_width * side[-take.samples.shape[1] :]
    return replace(take, samples=np.stack([take.samples[0] + side, take.samples[0] - side]))


def fade(take: _Take, settings: FinishSettings) -> _Take:
    """Raised-cosine fades at both ends, from and to exact zero; never longer than half the sound."""
    if settings.loop or "wrap" in take.done:
        return take
    fade_out = settings.fade_seconds if settings.fade_out_seconds is None else settings.fade_out_seconds
    half = take.samples.shape[1] // 2
    first, last = (min(round(seconds * take.sample_rate), half) for seconds in (settings.fade_seconds, fade_out))
    faded = take.samples.copy()
    faded[:, :first] *= _ramp(first)
    faded[:, faded.shape[1] - last :] *= _ramp(last)[::-1]
    return replace(take, samples=faded)


def level(take: _Take, settings: FinishSettings) -> _Take:
    """One gain for the whole take, all channels alike, and what exceeds the ceiling then (see `FinishSettings`)."""
    if settings.level_by == "keep" and settings.level is not None:
        return _louder(take, settings.level.gain_db)
    peak = true_peak(take.samples, take.sample_rate)
    if peak < SILENCE:
        return take
    headroom_db = settings.ceiling_dbtp - METER_MARGIN_DB - decibels(peak)
    if settings.level_by == "keep":
        too_quiet = settings.lift_below_dbtp is not None and decibels(peak) < settings.lift_below_dbtp
        quiet_enough = headroom_db > 0.0 and not too_quiet
        return take if quiet_enough else _louder(take, min(headroom_db, settings.lift_limit_db))
    if settings.level_by == "peak":
        wanted_db = min(settings.target - METER_MARGIN_DB - decibels(peak), headroom_db)
        return _louder(take, min(wanted_db, settings.lift_limit_db))
    window = MOMENTARY_SECONDS if settings.level_by == "integrated" else SHORT_TERM_SECONDS
    now = loudness_by(take.samples, take.sample_rate, window)
    if now is None:
        return take
    gain_db = min(settings.target - now, headroom_db + settings.limit_db, settings.lift_limit_db)
    louder = _louder(take, gain_db)
    ceiling = 10.0 ** ((settings.ceiling_dbtp - METER_MARGIN_DB) / 20.0)
    goes_round = settings.loop or "wrap" in take.done
    limited, most_db = limit(louder.samples, take.sample_rate, ceiling, goes_round=goes_round)
    done = {**take.done, "limited_db": round(most_db, 3)} if most_db else take.done
    return replace(louder, samples=limited, done=done)


def level_of(samples: NDArray[np.floating[Any]], sample_rate: int, settings: FinishSettings) -> Level:
    """What finishing does to the level of a take (see `finish`), for another that is to sit at the same."""
    if settings.level is not None:
        return settings.level
    first = cut(_Take(samples.astype(np.float64), sample_rate), settings)
    offset = first.samples.mean(axis=1) if settings.remove_dc else np.zeros(len(samples))
    return Level(tuple(map(float, offset)), finish(samples, sample_rate, settings).gain_db)


def pad(take: _Take, settings: FinishSettings) -> _Take:
    """Silence at the end, up to the asked length, where that is kept."""
    if not settings.keeps_length:
        return take
    missing = _frames(take, settings) - take.samples.shape[1]
    return replace(take, samples=np.pad(take.samples, ((0, 0), (0, missing)))) if missing > 0 else take


Step = Callable[[_Take, FinishSettings], _Take]
# Resampling can add a sample, so it is cut off once more.
STEPS: tuple[Step, ...] = (cut, extend, remove_dc, trim, resample, cut, high_pass, make_loop, widen, fade, level, pad)


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


def _ramp(frames: int) -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(np.pi * np.arange(frames) / max(1, frames))


def _louder(take: _Take, gain_db: float) -> _Take:
    return replace(take, samples=take.samples * 10.0 ** (gain_db / 20.0), gain_db=take.gain_db + gain_db)


def _filtered(take: _Take, hertz: float, goes_round: bool) -> NDArray[np.float64]:
    """The samples through a high-pass; those of a loop as if it had gone round before."""
    from scipy.signal import butter, sosfilt

    sections = butter(2, hertz, "highpass", fs=take.sample_rate, output="sos")
    before = min(round(WRAP_SECONDS * take.sample_rate), take.samples.shape[1]) if goes_round else 0
    led_in = np.concatenate([take.samples[:, take.samples.shape[1] - before :], take.samples], axis=1)
    kept: NDArray[np.float64] = sosfilt(sections, led_in, axis=1)[:, before:]
    return kept
