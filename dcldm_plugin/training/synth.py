"""Synthesised sounds with captions, made without any recording.

Every clip is drawn from one of the families in `FAMILIES`: a recipe picks parameters at random, renders them
and says in words what it picked, so a model trained on the clips can learn what the words mean.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from dcldm_plugin.training.recipes import CATEGORIES, FAMILIES
from dcldm_plugin.training.recipes.blocks import MAXIMUM_LENGTH, RATE

__all__ = ["CATEGORIES", "FAMILIES", "MAXIMUM_LENGTH", "PEAK", "RATE", "render", "synthesise"]

PEAK = 0.5
"""The largest absolute sample value of any clip."""

_BLOCK_DC = signal.butter(2, 22.0, "highpass", fs=RATE, output="sos")


def synthesise(seed: int, index: int) -> tuple[NDArray[np.float32], str, str, bool]:
    """Make clip number `index` of the endless series that belongs to `seed` (both non-negative).

    Returns mono samples at 16 kHz (at most 163,840 of them, within -0.5..0.5), the caption, the category and
    whether the clip is a texture: a sound that fills its whole length evenly and may be cut or looped
    anywhere. The same arguments always give the same clip.
    """
    rng = np.random.default_rng([seed, index])
    names = list(FAMILIES)
    return render(names[int(rng.integers(len(names)))], rng)


def render(family: str, rng: np.random.Generator) -> tuple[NDArray[np.float32], str, str, bool]:
    """Make one clip of `family` (a key of `FAMILIES`) from `rng`; returns the same as `synthesise`."""
    sound = FAMILIES[family](rng)
    level = PEAK * sound.loudness * rng.uniform(0.7, 1.0)
    samples = _finished(sound.samples, level, sound.is_texture)
    return samples, sound.caption, CATEGORIES[family], sound.is_texture


def _finished(samples: NDArray[np.float64], peak: float, is_texture: bool) -> NDArray[np.float32]:
    """Cut to the length limit, drop a silent tail, remove DC, fade both ends and scale to `peak`."""
    too_long = len(samples) > MAXIMUM_LENGTH
    samples = np.asarray(signal.sosfilt(_BLOCK_DC, samples[:MAXIMUM_LENGTH]))
    if not is_texture:
        audible = np.flatnonzero(np.abs(samples) > 1e-3 * np.max(np.abs(samples)))
        samples = samples[: audible[-1] + 1]
    # A one-shot's attack must survive the fade, whereas a texture begins in the middle of a sound.
    fade_in = min(len(samples), RATE // 50 if is_texture else RATE // 1000)
    fade_out = min(len(samples), RATE // 2 if too_long and not is_texture else RATE // 40)
    samples[:fade_in] *= np.linspace(0.0, 1.0, fade_in)
    samples[len(samples) - fade_out :] *= np.linspace(1.0, 0.0, fade_out)
    samples -= np.mean(samples) * signal.windows.tukey(len(samples), 0.1)
    return np.asarray(samples * (peak / np.max(np.abs(samples))), dtype=np.float32)
