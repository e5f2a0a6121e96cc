"""Sounds as training takes them: a length, a rate, a level; and mixtures of two, as TANGO makes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dcldm_plugin.errors import InvalidInput
from dcldm_plugin.models.encodings import PEAK, QUIETEST
from dcldm_plugin.training.manifest import Complain, Item

GAIN_WINDOW = 2048

Audio = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clip:
    """What is learned from: one sound, or two that are mixed. `key` names the content, the length and the level."""

    key: str
    caption: str
    of: tuple[Item, ...]


def clips_of(items: list[Item], seconds: float, level: bool, mixes: float, seed: int, complain: Complain) -> list[Clip]:
    """The clips of sounds that are there, then `mixes` mixtures a sound, which depend on the seed alone."""
    made = []
    for item in items:
        try:
            content = f"{_digest(item.path)} {item.start:.4f} {item.end} {seconds} {level}"
        except OSError as error:
            complain(f"{item.path} cannot be read ({error.strerror or error}); it is left out.")
            continue
        made.append(Clip(hashlib.sha256(content.encode()).hexdigest()[:24], item.caption, (item,)))
    random = np.random.default_rng([seed, 0x313])
    for _ in range(round(mixes * len(made)) if len(made) > 1 else 0):
        first, second = (made[int(row)] for row in random.choice(len(made), 2, replace=False))
        caption = f"{first.caption} and {second.caption[:1].lower()}{second.caption[1:]}"
        key = hashlib.sha256(f"{first.key} and {second.key}".encode()).hexdigest()[:24]
        made.append(Clip(key, caption, first.of + second.of))
    return made


@cache
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_clip(clip: Clip, seconds: float, rate: int, level: bool) -> Audio:
    """Samples [seconds x rate], silence after the end. Raises `InvalidInput` with a sentence."""
    sounds = [_read(item, seconds, rate, level) for item in clip.of]
    return sounds[0] if len(sounds) == 1 else mixed(sounds[0], sounds[1], rate)


def _read(item: Item, seconds: float, rate: int, level: bool) -> Audio:
    import soundfile
    import soxr

    wanted = round(seconds * rate)
    if item.path.suffix == ".npy":  # what `compose.py` writes: int16 at 16 kHz
        flat = np.load(item.path, mmap_mode="r").reshape(-1)
        start = round(item.start * 16_000)
        mono, given = flat[start : start + round(seconds * 16_000)].astype(np.float32) / 32768.0, 16_000
    else:
        try:
            with soundfile.SoundFile(item.path) as file:
                given = int(file.samplerate)
                end = min(item.end or np.inf, item.start + seconds)
                file.seek(min(round(item.start * given), file.frames))
                frames = min(file.frames, round(end * given) if np.isfinite(end) else file.frames) - file.tell()
                mono = file.read(max(0, frames), dtype="float32", always_2d=True).mean(axis=1)
        except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
            raise InvalidInput(f"{item.path} can't be read as audio ({error!s:.80}); it is left out.") from error
    if not np.isfinite(mono).all():
        raise InvalidInput(f"{item.path} holds numbers that are no sound; it is left out.")
    if given != rate:
        mono = soxr.resample(mono, given, rate, quality="VHQ")
    if level and len(mono):
        mono = mono - mono.mean()
        peak = float(np.abs(mono).max())
        if peak < QUIETEST:
            raise InvalidInput(f"{item.path} is silent; it is left out.")
        mono = mono * (PEAK / peak)
    return np.pad(mono[:wanted], (0, max(0, wanted - len(mono)))).astype(np.float32)


def mixed(first: Audio, second: Audio, rate: int) -> Audio:
    """Two sounds so that they are about as loud, with the energy of one (Tokozume et al. 2018, equation 2,
    https://arxiv.org/abs/1711.10282; TANGO, section 2.3), at a peak of 0.5."""
    difference = _loudness(first, rate) - _loudness(second, rate)
    share = 1.0 / (1.0 + 10.0 ** (difference / 20.0))
    both = (share * first + (1.0 - share) * second) / np.sqrt(share**2 + (1.0 - share) ** 2)
    return np.asarray(both * (PEAK / max(float(np.abs(both).max()), QUIETEST)), dtype=np.float32)


def _loudness(audio: Audio, rate: int) -> float:
    """The loudest window's A-weighted level in dB (IEC 61672-1 for the weights)."""
    windows = np.lib.stride_tricks.sliding_window_view(audio, GAIN_WINDOW)[:: GAIN_WINDOW // 2]
    power = np.abs(np.fft.rfft(windows * np.hanning(GAIN_WINDOW), axis=1)) ** 2
    f2 = np.fft.rfftfreq(GAIN_WINDOW, 1.0 / rate) ** 2
    poles = (f2 + 20.6**2) * np.sqrt((f2 + 107.7**2) * (f2 + 737.9**2)) * (f2 + 12_194.0**2)
    weighted = power * (12_194.0**2 * f2**2 / poles) ** 2
    return float(10.0 * np.log10(weighted.sum(axis=1).max() + 1e-12))
